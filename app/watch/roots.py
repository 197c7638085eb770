"""Which folders may be watched: those below the roots that whoever started the server named, and no others.

A page can be opened by a remote person, who must neither read nor find out what lies elsewhere on the server.
"""

from __future__ import annotations

import os
from pathlib import Path

from sarm_core.errors import SarmError
from sarm_core.watch.logs import LOGS

__all__ = ["ROOTS", "allowed", "roots", "runs"]

ROOTS = "SARM_RUNS"
"""The environment variable with the roots, separated as in PATH"""
_DEPTH, _MOST, _LOOKED = 3, 50, 2_000


def roots() -> list[Path]:
    """The folders of $SARM_RUNS; without it `runs` where the server was started."""
    stated = os.environ.get(ROOTS)
    named = [Path(name) for name in stated.split(os.pathsep) if name] if stated else [Path("runs")]
    return [path.resolve() for path in named]


def allowed(text: str) -> Path:
    """The run that a person names: a path, or one from a root on. Raises SarmError, in the same words whether there is
    something outside or not."""
    for root in roots():
        try:
            path = (root / text).resolve()  # links are followed: one that leads out is outside
            if path.is_relative_to(root) and path.exists():
                return path
        except (OSError, ValueError, RuntimeError):
            continue
    below = ", ".join(map(str, roots()))
    raise SarmError(
        f"no such run below {below}: folders elsewhere are opened by starting the app with {ROOTS}=FOLDER"
    )


def runs() -> list[str]:
    """Folders below the roots that hold a log, the last changed first, as `allowed` takes them."""
    found: list[tuple[float, str]] = []
    for root in roots():
        looked = [root]
        for _ in range(_DEPTH):
            below: list[Path] = []
            for folder in looked[:_LOOKED]:
                try:
                    paths = [path for log in LOGS for path in log.files(folder)]
                    if paths and folder.name != "completions":
                        found.append(
                            (max(path.stat().st_mtime for path in paths), str(folder.relative_to(root)))
                        )
                    below += [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()]
                except OSError:
                    continue
            looked = below
    return list(dict.fromkeys(name for _, name in sorted(found, reverse=True)))[:_MOST]
