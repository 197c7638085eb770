"""Reading files nobody vouches for, and writing files that are whole or absent.

Nothing read here is ever executed, unpickled or used as a path. Every refusal names the file and the place in it.
"""

from __future__ import annotations

import gzip
import json
import lzma
import math
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from feature_db.errors import RowError, StoreError
from feature_db.harvest.row_values import FLOAT32_MAX

__all__ = [
    "csv_cell",
    "csv_text",
    "finite",
    "json_rows",
    "members",
    "read_json",
    "read_json_any",
    "short",
    "strings",
    "whole",
    "written_beside",
]

LARGEST_LINE = 64 * 2**20
"""Bytes of one row; a longer one is refused before it is read whole."""
LARGEST_JSON = 4 * 2**30

# What files, gzip, zipfile and the codecs of its members raise for what is damaged, encrypted or packed in a way
# they do not know.
_UNREADABLE = (
    *(OSError, EOFError, RuntimeError, ValueError, OverflowError, struct.error),
    *(zlib.error, lzma.LZMAError, zipfile.BadZipFile),
)
_WHOLE = re.compile(r"[+-]?[0-9]{1,24}")


def read_json(path: str | Path) -> dict[str, Any]:
    """A JSON object. Raises StoreError naming the file."""
    data = read_json_any(path)
    if not isinstance(data, dict):
        raise StoreError(f"{path}: expected a JSON object, found {type(data).__name__}")
    return data


def read_json_any(path: str | Path) -> Any:
    """Any JSON value. Raises StoreError naming the file."""
    path = Path(path)
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise StoreError(f"{path}: larger than 4 GiB; split it by features")
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{path}: not valid JSON ({error})") from None
    return data


def members(path: str | Path) -> dict[str, int]:
    """Names of all files of a folder or .zip, with "/" between parts, and their sizes in bytes.

    Raises StoreError when a name of the archive leads outside of it. Links that lead outside a folder are
    refused as well.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _folder_members(path)
        with zipfile.ZipFile(path) as archive:
            # Not `is_dir()`: Python 3.11's fails on a member without a name.
            found = {
                info.filename: info.file_size
                for info in archive.infolist()
                if not info.filename.endswith("/")
            }
    except _UNREADABLE as error:
        raise StoreError(f"{path}: is neither a folder nor a readable .zip ({_reason(error)})") from None
    if "" in found:
        raise StoreError(f"{path}: refused, it has a member without a name: pack it again")
    for name in found:
        parts = PurePosixPath(name.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts or ":" in name.split("/")[0]:
            raise StoreError(f"{path}: refused, its member {name!r} leads outside the archive")
    return found


def _folder_members(path: Path) -> dict[str, int]:
    root = path.resolve()
    sizes = {}
    for found in sorted(path.rglob("*")):
        if not found.resolve().is_relative_to(root):
            raise StoreError(f"{path}: {found.relative_to(path)} links to a place outside the folder")
        if found.is_file():
            sizes[found.relative_to(path).as_posix()] = found.stat().st_size
    return sizes


@contextmanager
def _open(path: Path, name: str | None) -> Iterator[IO[bytes]]:
    if name is None or path.is_dir():
        with open(path if name is None else path / name, "rb") as file:
            yield file
    else:
        # Read in place: no name of the archive ever becomes a path.
        with zipfile.ZipFile(path) as archive, archive.open(name) as member:
            yield member


def json_rows(
    path: str | Path,
    name: str | None = None,
    on_bytes: Callable[[int], Any] | None = None,
    on_bad: Callable[[RowError], Any] | None = None,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of a file of JSON lines, gzipped or not, or of member `name` of a folder or .zip.

    `on_bytes` is told how many more bytes of the file were read, `on_bad` of a line that holds no object, which is then
    passed over. Raises RowError naming the file and the line.
    """
    path = Path(path)
    source = str(path) if name is None else f"{path}/{name}"
    for row, line in enumerate(_lines(path, name, source, on_bytes), 1):
        if len(line) == LARGEST_LINE:
            raise RowError("longer than 64 MiB", source=source, row=row)
        if line.strip():
            try:
                found = _object(line, source, row)
            except RowError as error:
                if on_bad is None:
                    raise
                on_bad(error)
            else:
                yield row, found


def _lines(
    path: Path, name: str | None, source: str, on_bytes: Callable[[int], Any] | None
) -> Iterator[bytes]:
    row = read = 0
    try:
        with _open(path, name) as raw:
            # By its first bytes: some write a batch without packing it, whatever its name says.
            packed = raw.peek(2)[:2] == b"\x1f\x8b"  # type: ignore[attr-defined]
            lines = gzip.GzipFile(fileobj=raw) if packed else raw
            while line := lines.readline(LARGEST_LINE):
                row += 1
                if on_bytes is not None and raw.tell() != read:
                    on_bytes(raw.tell() - read)
                    read = raw.tell()
                yield line
    except _UNREADABLE as error:
        raise RowError(f"cannot be read ({_reason(error)})", source=source, row=row + 1) from None


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)[:200] or type(error).__name__


def _object(line: bytes, source: str, row: int) -> dict[str, Any]:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RowError(f"not valid JSON ({error})", source=source, row=row) from None
    if not isinstance(data, dict):
        raise RowError(f"expected an object, found {type(data).__name__}", source=source, row=row)
    return data


# A spreadsheet would run a cell that begins so.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")


def csv_cell(value: Any) -> Any:
    """`value` as a CSV cell: text that a spreadsheet would run as a formula gets a leading apostrophe."""
    return "'" + value if isinstance(value, str) and value.startswith(_FORMULA) else value


def csv_text(cell: str) -> str:
    """The text that `csv_cell` wrote."""
    return cell[1:] if cell[:1] == "'" and cell[1:].startswith(_FORMULA) else cell


def whole(value: Any, name: str, low: int = 0, high: int = 2**63 - 1) -> int:
    """`value`, an int or its decimal digits, between `low` and `high`. Raises RowError without a place."""
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise RowError(f"{name} must be a whole number, not {short(value)}")
    if not low <= value <= high:
        raise RowError(f"{name} must lie between {low} and {high}, not {short(value)}")
    return value


def finite(value: Any, name: str) -> float:
    """`value` as a finite float in the range of float32, which models compute in. Raises RowError without a place."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise RowError(f"{name} must be a number, not {short(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise RowError(f"{name} must be a finite number, not {short(value)}")
    if abs(number) > FLOAT32_MAX:
        raise RowError(f"{name} must fit float32 (up to 3.4e38), not {short(value)}")
    return number


def strings(value: Any, name: str) -> list[str]:
    """`value` as a list of strings. Raises RowError without a place."""
    if not isinstance(value, list) or not {str}.issuperset(map(type, value)):
        raise RowError(f"{name} must be a list of strings")
    return value


def short(value: Any) -> str:
    """`value` as a person may read it in a line."""
    # repr of an int beyond 4,300 digits raises, and a long one does not fit a line.
    if isinstance(value, int) and abs(value) >= 10**30:
        return "a number of more than 30 digits"
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "an object"
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


@contextmanager
def written_beside(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it when the block ends well and removed when it does not.

    Raises StoreError when the place cannot be written.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield beside
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror or error})") from None
