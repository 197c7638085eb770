"""Output files that are whole or absent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sarm_core.errors import SarmError

__all__ = ["written_whole"]


@contextmanager
def written_whole(path: str | Path) -> Iterator[IO[str]]:
    """A text file (UTF-8) that appears under `path` only when the block ends well.

    It is written beside its place and renamed. Raises SarmError when the place cannot be written.
    """
    path = Path(path)
    if path.is_dir():
        raise SarmError(f"{path}: cannot be written (it is a folder); choose another --out")
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        file = beside.open("w", encoding="utf-8", newline="\n")
    except OSError as error:
        raise SarmError(f"{path}: cannot be written ({error.strerror}); choose another --out") from None
    try:
        with file:
            yield file
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
