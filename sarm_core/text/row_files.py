"""Files of rows: JSONL read line by line, one JSON array, or Parquet.

Strict where leniency would hide a loss: NaN, doubled keys, halves of characters and overlong lines are
defects of a row, reported as `RowError` with the row's number.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from sarm_core.errors import RowError
from sarm_core.text.rows import kind_of

__all__ = ["MAX_ROW_BYTES", "OnError", "count_parquet_rows", "is_parquet", "read_rows"]

MAX_ROW_BYTES = 10_000_000
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_SPACE = re.compile(r"[ \t\r\n]*")
_BLANK = b" \t\r\n"
OnError = Callable[[RowError], None]


def read_rows(path: str | Path, on_error: OnError | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (row number, object) from a JSONL file, a file that holds one JSON array, or a Parquet file.

    Row numbers count from 1: lines of JSONL (blank lines are counted, then skipped), elements of an array,
    rows of Parquet (where NaN, its word for a missing number, becomes null).
    JSONL is read line by line, so memory is bounded by `MAX_ROW_BYTES`; Parquet by its largest row group; an array
    is read whole. Raises RowError naming file and row. With `on_error`, a bad row is passed to it and reading goes
    on; a file that cannot be read, has no rows, or an array whose syntax breaks still raises.
    """
    try:
        if is_parquet(path):
            yield from _checked(_parquet_rows(path), path, on_error)
            return
        with open(path, "rb") as file:
            yield from _rows_of(file, path, on_error)
    except OSError as error:
        raise RowError(f"cannot be read ({error.strerror or error})", source=path) from None


def is_parquet(path: str | Path) -> bool:
    """Whether the name says Parquet."""
    return str(path).lower().endswith((".parquet", ".pq"))


def count_parquet_rows(path: str | Path) -> int:
    """Rows of a Parquet file, from its footer. Raises RowError naming the file."""
    with _parquet(path) as file:
        return int(file.metadata.num_rows)


@contextmanager
def _parquet(path: str | Path) -> Iterator[Any]:
    """A `pyarrow.parquet.ParquetFile`; what makes the file as a whole unreadable, now or later, is a RowError."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise RowError(
            "reading Parquet needs pyarrow: pip install pyarrow, or convert to JSONL", source=path
        ) from None
    with open(path, "rb") as file:
        try:
            with pyarrow.parquet.ParquetFile(file) as opened:
                yield opened
        except (OSError, UnicodeDecodeError, pyarrow.ArrowException) as error:  # OSError: a damaged page
            raise RowError(f"not readable as Parquet ({_reason(error)})", source=path) from None


def _parquet_rows(path: str | Path) -> Iterator[tuple[int, dict[str, Any] | RowError]]:
    number = 0
    with _parquet(path) as file:
        # One row group after the other: they are what a Parquet file is read by, and what it costs in memory.
        for group in range(file.num_row_groups):
            for batch in file.iter_batches(batch_size=256, row_groups=[group]):
                for row in _objects(batch):
                    number += 1
                    if not isinstance(row, RowError):
                        row = {key: None if value != value else value for key, value in row.items()}
                    yield number, row


def _objects(batch: Any) -> Iterator[dict[str, Any] | RowError]:
    """Rows of a record batch: all at once or, when a value in it has no place in Python, one by one."""
    try:
        yield from batch.to_pylist()
        return
    except (ValueError, OverflowError):  # ArrowInvalid and UnicodeDecodeError are ValueErrors
        pass
    for place in range(batch.num_rows):
        try:
            yield from batch.slice(place, 1).to_pylist()
        except UnicodeDecodeError:
            yield RowError("a text is not valid UTF-8")
        except (ValueError, OverflowError) as error:
            yield RowError(f"a value cannot be read ({_reason(error)})")


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__


def _rows_of(
    file: BinaryIO, path: str | Path, on_error: OnError | None
) -> Iterator[tuple[int, dict[str, Any]]]:
    head = file.read(4)
    file.seek(0)
    if head.startswith(b"\xef\xbb\xbf"):
        raise RowError(
            "the file starts with a byte order mark: save it as UTF-8 without BOM", source=path, row=1
        )
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise RowError("the file is UTF-16: save it as UTF-8 without BOM", source=path, row=1)
    rows = _array_rows if _first_character(file) == b"[" else _line_rows
    yield from _checked(rows(file), path, on_error)


def _checked(
    rows: Iterator[tuple[int, dict[str, Any] | RowError]], path: str | Path, on_error: OnError | None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Good rows; bad ones raise, or are handed on, with their place."""
    seen = False
    for number, row in rows:
        seen = True
        if not isinstance(row, RowError):
            yield number, row
            continue
        error = row.at(path, number)
        if on_error is None:
            raise error
        on_error(error)
    if not seen:
        raise RowError("the file has no rows: it needs one JSON object a line", source=path)


def _first_character(file: BinaryIO) -> bytes:
    character = file.read(1)
    while character and character in _BLANK:
        character = file.read(1)
    file.seek(0)
    return character


def _line_rows(file: BinaryIO) -> Iterator[tuple[int, dict[str, Any] | RowError]]:
    number = 0
    while line := file.readline(MAX_ROW_BYTES + 1):
        number += 1
        if len(line) > MAX_ROW_BYTES:
            size = len(line)
            while not line.endswith(b"\n") and (line := file.readline(1 << 20)):
                size += len(line)
            yield number, _too_long(size)
        elif line.strip(_BLANK):
            try:
                text = line.decode("utf-8")
                yield number, _object(text, _DECODER.decode(text))
            except RowError as error:
                yield number, error
            except (ValueError, RecursionError) as error:
                yield number, _syntax(error, line)


def _array_rows(file: BinaryIO) -> Iterator[tuple[int, dict[str, Any] | RowError]]:
    """Elements one by one, so that an error names the element; the syntax between them is checked here."""
    data = file.read()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise RowError(f"line {line} is not valid UTF-8: save the file as UTF-8", source=file.name) from None
    position = _skip_space(text, text.index("[") + 1)
    number = 0
    while text[position : position + 1] != "]":
        number += 1
        try:
            start = position
            value, position = _DECODER.raw_decode(text, position)
        except RowError as error:
            # Which constant or key is at fault is known, but not where the element ends.
            raise error.at(file.name, number) from None
        except (ValueError, RecursionError) as error:
            raise _syntax(error, b"").at(file.name, number) from None
        element = text[start:position]
        if len(element.encode("utf-8", "surrogatepass")) > MAX_ROW_BYTES:
            yield number, _too_long(len(element))
        else:
            try:
                yield number, _object(element, value)
            except RowError as error:
                yield number, error
        position = _skip_space(text, position)
        follows = text[position : position + 1]
        if follows == "]":
            break
        if follows != ",":
            raise RowError("no ',' or ']' after this element of the array", source=file.name, row=number)
        position = _skip_space(text, position + 1)
    rest = _skip_space(text, position + 1)
    if rest != len(text):
        raise RowError(
            "text after the end of the array: a file is one JSON array or one JSON object a line",
            source=file.name,
            row=max(number, 1),
        )


def _skip_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _object(text: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RowError(
            f"not an object but {kind_of(value)}: each row must be one JSON object such as "
            '{"prompt": "...", "response": "..."}'
        )
    if _SURROGATE_ESCAPE.search(text):
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            raise RowError(
                "a \\ud800-\\udfff escape stands alone: it is half of a character, write the text again "
                "from its source"
            ) from None
    return value


def _too_long(size: int) -> RowError:
    return RowError(
        f"the row is {size / 1e6:.1f} MB long, the limit is {MAX_ROW_BYTES / 1e6:.0f} MB: "
        "is the whole file on one line?"
    )


def _syntax(error: Exception, line: bytes) -> RowError:
    if isinstance(error, UnicodeDecodeError):
        return RowError(f"not valid UTF-8 at byte {error.start + 1}: save the file as UTF-8")
    if isinstance(error, RecursionError):
        return RowError("not valid JSON (nested too deeply): each row must be one JSON object")
    if line.strip(_BLANK) in (b"{", b"["):
        return RowError("not valid JSON: an object must stand on ONE line, this one is spread over several")
    if isinstance(error, json.JSONDecodeError):
        reason = f"{error.msg}, column {error.colno}"
        return RowError(f"not valid JSON ({reason}): each row must be one JSON object")
    return RowError(f"not valid JSON ({str(error)[:80]})")


def _refuse_constant(name: str) -> Any:
    raise RowError(f"{name} is not valid JSON: write null, or leave the key out")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise RowError(f"the number {digits[:20]} is too large: write it as a string, or leave the key out")
    return number


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise RowError(f"the key {twice[:40]!r} appears twice: which of the two is meant?")
    return found


_DECODER = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_unique_keys
)
