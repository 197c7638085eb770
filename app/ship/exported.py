"""A steered model as a .zip on disk: written, loaded again, checked, packed."""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
import threading
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from app.session.engine import Engine
from sarm_core.errors import SarmError
from sarm_core.model.checkpoint import Checkpoint
from sarm_core.ship.check import ExportCheck, trial
from sarm_core.ship.layouts import AnyLayout
from sarm_core.ship.ship import ship, shipped_name
from sarm_core.steering import Steering
from sarm_core.text.rows import Conversation

__all__ = ["LARGEST_DOWNLOAD", "Exported", "command_line", "in_bytes", "make_export"]

LARGEST_DOWNLOAD = 400_000_000
"""Bytes. Streamlit holds a file in memory while it sends it, and the check loads the model a second time."""

PREFIX = "sarm-export-"

_one_at_a_time = threading.Lock()


@dataclass
class Exported:
    """A packed export. Its folder goes with this object: when the session ends, or the page calls `cleanup`."""

    key: tuple[str, ...]
    """What it was made of."""
    folder: tempfile.TemporaryDirectory[str]
    path: Path
    size: int
    check: ExportCheck


def make_export(
    engine: Engine,
    steering: Steering,
    layout: AnyLayout,
    rows: list[Conversation],
    *,
    key: tuple[str, ...],
    size: int,
    say: Callable[[str], None],
) -> Exported:
    """Write, reload, check and pack; `size` is what the weights will take, `say` hears what is being done.

    Raises SteeringError for what cannot be folded, CheckpointError, also when the check fails, and
    SarmError for a full disk.
    """
    _remove_left_behind()
    folder = tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-", ignore_cleanup_errors=True)
    try:
        root = Path(folder.name)
        if shutil.disk_usage(root).free < 2.2 * size:
            raise SarmError(
                f"{root.parent}: {in_bytes(int(2.2 * size))} are needed while the file is made, and there is less "
                "room; use the command line with --out on another disk, or set TMPDIR"
            )
        if _one_at_a_time.locked():
            say("Waiting for another export on this server …")
        with _one_at_a_time:
            checkpoint = engine.scorer.checkpoint
            written = root / shipped_name(checkpoint, layout)
            asked = trial(engine.scorer, rows, steering)
            check = ship(checkpoint, steering, written, layout, asked, say)
            assert check is not None
            say("Packing …")
            path = _packed(written, root / f"{written.name}.zip")
            shutil.rmtree(written, ignore_errors=True)
        return Exported(key, folder, path, path.stat().st_size, check)
    except OSError as error:
        folder.cleanup()
        raise SarmError(f"{folder.name}: {error.strerror or error}") from None
    except BaseException:
        folder.cleanup()
        raise


def _remove_left_behind() -> None:
    """Exports of servers that were killed: nothing of theirs ran any more to give the disk back."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
        process = path.name.removeprefix(PREFIX).split("-")[0]
        try:
            mine = path.lstat().st_uid == os.getuid() and path.is_dir() and not path.is_symlink()
            if mine and process.isascii() and process.isdecimal():
                os.kill(int(process), 0)  # asks only whether there is such a process
        except (ProcessLookupError, OverflowError):
            shutil.rmtree(path, ignore_errors=True)
        except OSError:
            continue


def _packed(written: Path, target: Path) -> Path:
    """One folder in the archive; weights are stored as they are, for they do not get smaller."""
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(written.rglob("*")):
            if file.is_file():
                how = zipfile.ZIP_STORED if file.suffix == ".safetensors" else zipfile.ZIP_DEFLATED
                archive.write(file, Path(written.name) / file.relative_to(written), compress_type=how)
    return target


def command_line(checkpoint: Checkpoint, layout: AnyLayout) -> str:
    """What does the same from a shell, with the steering saved as `steering.json`."""
    words = [
        "sarm",
        "export",
        "--model",
        checkpoint.source,
        "--steering",
        "steering.json",
    ]
    return shlex.join([*words, "--layout", layout, "--out", shipped_name(checkpoint, layout)])


def in_bytes(size: int) -> str:
    """`92.9 MB` or `8.03 GB`."""
    for unit, many in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= many:
            return f"{size / many:.3g} {unit}"
    return f"{size} bytes"
