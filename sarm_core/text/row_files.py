"""Files of rows, whatever they are kept in: JSON lines, one JSON array, tables, each also compressed.

Strict where leniency would hide a loss: NaN, doubled keys, halves of characters and overlong lines are
defects of a row, reported as `RowError` with the row's number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from sarm_core.errors import RowError
from sarm_core.text.containers import damaged, opened, seekable, utf8
from sarm_core.text.json_array import array_rows
from sarm_core.text.json_lines import Run, line_runs
from sarm_core.text.strict_json import BLANK, MAX_ROW_BYTES
from sarm_core.text.tables import (
    Note,
    NumberedRow,
    arrow_rows,
    csv_rows,
    delimiter_of,
    parquet_count,
    parquet_rows,
    saved_files,
)

__all__ = [
    "COMPRESSED_ENDINGS",
    "ROW_ENDINGS",
    "OnError",
    "count_rows",
    "ending_of",
    "read_rows",
]

_BLOCK = 1 << 20
_CSV_NAMES = (".csv", ".tsv")
_JSON_NAMES = (".jsonl", ".json", ".ndjson")
_COMPRESSED_NAMES = (".gz", ".zst", ".bz2", ".xz")
ROW_ENDINGS = (*_JSON_NAMES, *_CSV_NAMES, ".parquet", ".pq", ".arrow", ".feather")
"""Of files of rows, each also followed by one of `COMPRESSED_ENDINGS`"""
COMPRESSED_ENDINGS = _COMPRESSED_NAMES
OnError = Callable[[RowError], None]


def read_rows(
    path: str | Path, on_error: OnError | None = None, note: Note | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (row number, object) from a file of rows, or from a folder that `datasets` saved.

    Read by their first bytes: JSON lines, one JSON array, CSV and TSV with a header (by name, or by the signs between
    its columns), Parquet, Arrow and Feather; each also as .gz, .zst, .bz2 or .xz; text as UTF-8 or UTF-16, with a byte
    order mark or without. Row numbers count from 1: lines of JSON lines and CSV (blank lines are counted, then
    skipped), elements of an array, rows of a table. Values of tables are what JSON has words for: times as ISO text,
    NaN as null; bytes are left out, of which `note` is told.

    Memory is bounded by `MAX_ROW_BYTES`, for a table by its largest row group or record batch. Raises RowError naming
    file and row. With `on_error`, a bad row is passed to it and reading goes on; a file that cannot be read, has no
    rows, or an array whose syntax breaks still raises.
    """
    return chain.from_iterable(_read(path, on_error, note or _no_note))


def _read(
    path: str | Path, on_error: OnError | None, note: Note
) -> Iterator[Iterable[tuple[int, dict[str, Any]]]]:
    """The rows of `read_rows` as iterables of several: nothing is done for each row but to hand it over."""
    try:
        if Path(path).is_dir():
            yield from _good(_saved_runs(path, note), path, on_error)
            return
        with opened(path) as (stream, kind):
            if kind == "text" and str(path).lower().endswith((".parquet", ".pq", ".arrow", ".feather")):
                raise RowError(
                    "not readable as Parquet or Arrow, as its name says: its first bytes are neither's"
                )
            yield from _good(_runs_of(stream, kind, path, note), path, on_error)
    except RowError as error:
        raise (
            error if error.source is not None else RowError(error.reason, source=path, row=error.row)
        ) from None
    except FileNotFoundError as error:
        raise RowError(f"cannot be read ({error.strerror})", source=path) from None
    except damaged as error:
        reason = getattr(error, "strerror", None) or str(error).split("\n")[0][:200] or type(error).__name__
        raise RowError(f"cannot be read ({reason})", source=path) from None


def ending_of(name: str) -> str:
    """The ending by which a file's name says what it holds; "" where it says nothing."""
    name = name.lower()
    packed = next((ending for ending in COMPRESSED_ENDINGS if name.endswith(ending)), "")
    held = next((ending for ending in ROW_ENDINGS if name.removesuffix(packed).endswith(ending)), "")
    return held + packed


def count_rows(path: str | Path) -> int:
    """About how many rows a file has, for a progress bar: without parsing them where that is possible.

    Raises RowError for a file that cannot be read.
    """
    try:
        if Path(path).is_dir():
            return sum(count_rows(file) for file in saved_files(path))
        with opened(path) as (stream, kind):
            if kind == "parquet":
                with seekable(stream) as file:
                    return parquet_count(file, path)
            if kind == "text":
                text = utf8(stream)
                if _first_character(text) != b"[":
                    return _count_lines(text)
        return sum(1 for _ in read_rows(path, lambda _error: None))
    except RowError as error:
        raise (
            error if error.source is not None else RowError(error.reason, source=path, row=error.row)
        ) from None
    except damaged as error:
        raise RowError(f"cannot be read ({getattr(error, 'strerror', None) or error})", source=path) from None


def _count_lines(file: BinaryIO) -> int:
    count, last = 0, b"\n"
    while block := file.read(_BLOCK):
        count += block.count(b"\n")
        last = block[-1:]
    return count + (last != b"\n")


def _no_note(_text: str) -> None:
    pass


def _saved_runs(folder: str | Path, note: Note) -> Iterator[Run]:
    number = 1
    for file in saved_files(folder):
        with opened(file) as (stream, kind):
            for _, rows in _runs_of(stream, kind, file, note):
                yield number, rows
                number += 1 if isinstance(rows, RowError) else len(rows)


def _runs_of(stream: BinaryIO, kind: str, path: str | Path, note: Note) -> Iterator[Run]:
    if kind == "text":
        text = utf8(stream)
        first = _first_character(text)
        if first == b"[":
            yield from _singly(array_rows(text, path))
        elif first not in (b"{", b"[") and _is_csv(text, path):
            yield from _singly(csv_rows(text, path, MAX_ROW_BYTES))
        else:
            yield from line_runs(text)
        return
    with seekable(stream) as file:
        if kind == "parquet":
            yield from _singly(parquet_rows(file, path, note))
        else:
            yield from _singly(arrow_rows(file, kind, path, note))


def _singly(rows: Iterable[NumberedRow]) -> Iterator[Run]:
    for number, row in rows:
        yield number, row if isinstance(row, RowError) else [row]


def _is_csv(text: BinaryIO, path: str | Path) -> bool:
    """By its name, or where the name says nothing by its first line."""
    name = str(path).lower()
    for ending in _COMPRESSED_NAMES:
        name = name.removesuffix(ending)
    if name.endswith(_CSV_NAMES):
        return True
    head = text.peek(4096)[:4096]  # type: ignore[attr-defined]
    line = head.lstrip(BLANK).split(b"\n", 1)[0].decode("utf-8", "replace")
    return not name.endswith(_JSON_NAMES) and "\ufffd" not in line and delimiter_of(line) is not None


def _good(
    runs: Iterable[Run], path: str | Path, on_error: OnError | None
) -> Iterator[Iterable[tuple[int, dict[str, Any]]]]:
    """Good rows; bad ones raise, or are handed on, with their place."""
    seen = False
    for number, rows in runs:
        seen = True
        if not isinstance(rows, RowError):
            yield enumerate(rows, number)
            continue
        error = rows.at(path, number)
        if on_error is None:
            raise error
        on_error(error)
    if not seen:
        raise RowError("the file has no rows: it needs one JSON object a line", source=path)


def _first_character(file: BinaryIO) -> bytes:
    """The first byte that is no white space, which is left to be read."""
    return file.peek(4096).lstrip(BLANK)[:1]  # type: ignore[attr-defined]
