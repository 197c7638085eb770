"""A command of `sarm` that runs beside the app, as a process of its own: it outlives page reloads, and the app itself.

What is known of it lies in its folder: `job.json` (what was asked, the process), `log.txt` (what the command says).
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sarm_core.files import whole_file

__all__ = [
    "ended",
    "error_in",
    "kept_jobs",
    "kept_uploads",
    "log_of",
    "new_folder",
    "run_beside",
    "runs",
    "stop",
]

ROOT = Path(__file__).resolve().parents[2]
_STARTED: dict[int, subprocess.Popen[bytes]] = {}
"""Processes of this app, which have to be waited for; those of an earlier one are nobody's."""


def new_folder(of: Path) -> Path:
    """A folder of its own below `of`; their names sort by time."""
    folder = of / f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"
    folder.mkdir(parents=True)
    return folder


def kept_uploads(folder: Path, uploads: Sequence[tuple[str, bytes]]) -> list[str]:
    """Paths of files (name, content) written into `folder`; of a name from a browser only harmless letters stay."""
    paths = []
    for number, (name, data) in enumerate(uploads):
        harmless = re.sub(r"[^\w.-]", "_", name)[-80:]
        path = folder / f"{number}-{harmless}"
        path.write_bytes(data)
        paths.append(str(path))
    return paths


def run_beside(folder: Path, words: Sequence[str], asked: dict[str, Any]) -> tuple[int, float]:
    """Start `sarm` with these words; process and when it began (seconds since 1970). `asked` is kept in job.json."""
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "sarm_core", *words],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    _STARTED[process.pid] = process
    began = time.time()
    with whole_file(folder / "job.json") as file:
        json.dump({"asked": asked, "pid": process.pid, "began": began}, file)
    return process.pid, began


def kept_jobs(of: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """(folder, what job.json holds) of every job below `of`, the last one first; what cannot be read is left out."""
    for path in sorted(of.glob("*/job.json"), reverse=True):
        try:
            held = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(held, dict):
            yield path.parent, held


def runs(pid: int, mark: str) -> bool:
    """Whether the process still runs; `mark` is one of its words, as another may have its number by now."""
    own = _STARTED.get(pid)
    if own is not None:
        return own.poll() is None
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return mark.encode() in words


def ended(pid: int) -> int | None:
    """The exit code of a process of this app that has ended; None where it is not known."""
    own = _STARTED.get(pid)
    return None if own is None else own.poll()


def stop(pid: int, mark: str) -> None:
    """End it as Ctrl-C does."""
    if runs(pid, mark):
        os.killpg(pid, signal.SIGINT)


def log_of(folder: Path) -> list[str]:
    """What it said so far, a line each."""
    try:
        return (folder / "log.txt").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def error_in(lines: Sequence[str]) -> str | None:
    """The line with which a command refused, None without one."""
    return next((line.removeprefix("error: ") for line in lines if line.startswith("error: ")), None)
