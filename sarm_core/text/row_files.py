"""Files of rows, whatever they are kept in: JSON lines, one JSON array, tables, each also compressed.

Strict where leniency would hide a loss: NaN, doubled keys, halves of characters and overlong lines are
defects of a row, reported as `RowError` with the row's number.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from sarm_core.errors import RowError
from sarm_core.text.containers import damaged, opened, seekable, utf8
from sarm_core.text.rows import kind_of
from sarm_core.text.tables import (
    Note,
    arrow_rows,
    csv_rows,
    delimiter_of,
    parquet_count,
    parquet_rows,
    saved_files,
)

try:
    import orjson
except ImportError:  # the engine reads without it, more slowly
    orjson = None  # type: ignore[assignment]

__all__ = [
    "COMPRESSED_ENDINGS",
    "MAX_ROW_BYTES",
    "ROW_ENDINGS",
    "OnError",
    "count_rows",
    "ending_of",
    "read_rows",
    "strict_json",
]

MAX_ROW_BYTES = 10_000_000
_BLOCK = 1 << 20
_LINES = 1 << 17
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_NEWLINE, _OPENING, _CLOSING, _COLON = b"\n{}:"
_PLAIN = frozenset([str, int, bool, type(None)])
_SPACED_KEY = re.compile(rb'"[ \t\r\n]+:')
_SPACE = re.compile(r"[ \t\r\n]*")
_BLANK = b" \t\r\n"
_CSV_NAMES = (".csv", ".tsv")
_JSON_NAMES = (".jsonl", ".json", ".ndjson")
_COMPRESSED_NAMES = (".gz", ".zst", ".bz2", ".xz")
ROW_ENDINGS = (*_JSON_NAMES, *_CSV_NAMES, ".parquet", ".pq", ".arrow", ".feather")
"""Of files of rows, each also followed by one of `COMPRESSED_ENDINGS`"""
COMPRESSED_ENDINGS = _COMPRESSED_NAMES
OnError = Callable[[RowError], None]
NumberedRow = tuple[int, dict[str, Any] | RowError]


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
    note = note or _no_note
    try:
        if Path(path).is_dir():
            yield from _checked(_saved_rows(path, note), path, on_error)
            return
        with opened(path) as (stream, kind):
            if kind == "text" and str(path).lower().endswith((".parquet", ".pq", ".arrow", ".feather")):
                raise RowError(
                    "not readable as Parquet or Arrow, as its name says: its first bytes are neither's"
                )
            yield from _checked(_rows_of(stream, kind, path, note), path, on_error)
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


def _saved_rows(folder: str | Path, note: Note) -> Iterator[NumberedRow]:
    number = 0
    for file in saved_files(folder):
        with opened(file) as (stream, kind):
            for _, row in _rows_of(stream, kind, file, note):
                number += 1
                yield number, row


def _rows_of(stream: BinaryIO, kind: str, path: str | Path, note: Note) -> Iterator[NumberedRow]:
    if kind == "text":
        text = utf8(stream)
        first = _first_character(text)
        if first == b"[":
            yield from _array_rows(text, path)
        elif first not in (b"{", b"[") and _is_csv(text, path):
            yield from csv_rows(text, path, MAX_ROW_BYTES)
        else:
            yield from _line_rows(text)
        return
    with seekable(stream) as file:
        if kind == "parquet":
            yield from parquet_rows(file, path, note)
        else:
            yield from arrow_rows(file, kind, path, note)


def _is_csv(text: BinaryIO, path: str | Path) -> bool:
    """By its name, or where the name says nothing by its first line."""
    name = str(path).lower()
    for ending in _COMPRESSED_NAMES:
        name = name.removesuffix(ending)
    if name.endswith(_CSV_NAMES):
        return True
    head = text.peek(4096)[:4096]  # type: ignore[attr-defined]
    line = head.lstrip(_BLANK).split(b"\n", 1)[0].decode("utf-8", "replace")
    return not name.endswith(_JSON_NAMES) and "\ufffd" not in line and delimiter_of(line) is not None


def _checked(
    rows: Iterator[tuple[int, dict[str, Any] | RowError]], path: str | Path, on_error: OnError | None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Good rows; bad ones raise, or are handed on, with their place."""
    seen = False
    for numbered in rows:
        seen = True
        number, row = numbered
        if not isinstance(row, RowError):
            yield numbered  # type: ignore[misc]
            continue
        error = row.at(path, number)
        if on_error is None:
            raise error
        on_error(error)
    if not seen:
        raise RowError("the file has no rows: it needs one JSON object a line", source=path)


def _first_character(file: BinaryIO) -> bytes:
    """The first byte that is no white space, which is left to be read."""
    return file.peek(4096).lstrip(_BLANK)[:1]  # type: ignore[attr-defined]


def _line_rows(file: BinaryIO) -> Iterator[NumberedRow]:
    """Rows of JSON lines, from blocks that fit a processor's cache, without a copy of each line."""
    number, held = 0, b""
    while block := file.read(_LINES):
        data = held + block if held else block
        at = data.rfind(b"\n") + 1
        rows = _flat_block(data[:at]) if at else None
        if rows is not None:
            yield from enumerate(rows, number + 1)
            number += len(rows)
        else:
            at = 0
        view = memoryview(data)
        while (end := data.find(b"\n", at)) >= 0:
            number += 1
            row = _fast(data, view, at, end)
            if row is not None:
                yield number, row
            elif (found := _strict(data[at:end])) is not None:
                yield number, found
            at = end + 1
        held = data[at:]
        if len(held) > MAX_ROW_BYTES:
            number += 1
            size, held = _rest_of_line(file, len(held))
            yield number, _too_long(size)
    if held:
        number += 1
        row = _fast(held, memoryview(held), 0, len(held))
        found = row if row is not None else _strict(held)
        if found is not None:
            yield number, found


def _rest_of_line(file: BinaryIO, size: int) -> tuple[int, bytes]:
    """The length of a line of which `size` bytes were read and are gone, and what was read behind its end."""
    while block := file.read(_LINES):
        end = block.find(b"\n")
        if end >= 0:
            return size + end, block[end + 1 :]
        size += len(block)
    return size, b""


def _strict(line: bytes) -> dict[str, Any] | RowError | None:
    """The object of a line or what is wrong with it; None for a blank one."""
    if not line.strip(_BLANK):
        return None
    if len(line) > MAX_ROW_BYTES:
        return _too_long(len(line))
    try:
        text = line.decode("utf-8")
        return _object(text, strict_json(text))
    except RowError as error:
        return error
    except (ValueError, RecursionError) as error:
        return _syntax(error, line)


def _flat_block(block: bytes) -> list[dict[str, Any]] | None:
    """The objects of whole lines, parsed at once; None where they need a look each (see `_fast`).

    Every line has one opening brace, at its start, and one closing brace, at its end; so as many objects as lines means
    that each line is one, and as many colons as keys that none is doubled.
    """
    if orjson is None or block[:1] != b"{" or block[-2:] != b"}\n":
        return None
    bytes_ = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(bytes_ == _NEWLINE)
    n = ends.size
    if np.count_nonzero(bytes_ == _OPENING) != n or np.count_nonzero(bytes_ == _CLOSING) != n:
        return None
    if (bytes_[ends - 1] != _CLOSING).any() or (bytes_[ends[:-1] + 1] != _OPENING).any():
        return None
    try:
        rows = orjson.loads(b"[" + block[:-1].replace(b"\n", b",") + b"]")
    except orjson.JSONDecodeError:
        return None
    if len(rows) != n or sum(map(len, rows)) != np.count_nonzero(bytes_ == _COLON):
        return None
    return rows if all(_PLAIN.issuperset(map(type, row.values())) for row in rows) else None


def _fast(data: bytes, view: memoryview, start: int, end: int) -> dict[str, Any] | None:
    """The object of the line `data[start:end]` where nothing needs a closer look; None otherwise.

    The parser takes the last of doubled keys and makes floats of huge numbers. So keys are counted: every key has a
    colon, and as many colons as keys means that none was lost. In lines with colons in their texts those behind a
    quotation mark are counted, which no key may leave white space before.
    """
    if orjson is None or end - start > MAX_ROW_BYTES:
        return None
    try:
        row = orjson.loads(view[start:end])
    except orjson.JSONDecodeError:
        return None
    if type(row) is not dict:
        return None
    keys = len(row)
    for one in row.values():
        if type(one) is not str and type(one) is not int and one is not None:
            more = _keys_in((one,))
            if more < 0:
                return None
            keys += more
    if data.count(b":", start, end) == keys:
        return row
    if data.count(b'":', start, end) == keys and not _SPACED_KEY.search(data, start, end):
        return row
    return None


def _keys_in(value: Any) -> int:
    """How many keys there are in all, -1 where a number may have been rounded."""
    count = 0
    if type(value) is dict:
        count = len(value)
        inner = value.values()
    else:
        inner = value
    for one in inner:
        kind = type(one)
        if kind is str or kind is int or one is None or kind is bool:
            continue
        if kind is float:
            if not -1e15 < one < 1e15:
                return -1
            continue
        held = _keys_in(one)
        if held < 0:
            return -1
        count += held
    return count


def _array_rows(file: BinaryIO, path: str | Path) -> Iterator[NumberedRow]:
    """Elements one by one from a window on the file; the syntax between them is checked here."""
    window = _Window(file, path)
    window.skip_space()
    window.take("[")
    number = 0
    if not window.next_is("]"):
        while True:
            number += 1
            yield number, window.element(number)
            if window.next_is("]"):
                break
            if not window.next_is(","):
                raise RowError("no ',' or ']' after this element of the array", source=path, row=number)
            window.take(",")
    window.take("]")
    if not window.at_end():
        raise RowError(
            "text after the end of the array: a file is one JSON array or one JSON object a line",
            source=path,
            row=max(number, 1),
        )


class _Window:
    """The part of a JSON array that is being parsed; it holds an element and a block at most."""

    def __init__(self, file: BinaryIO, path: str | Path):
        self.file, self.path = file, path
        self.text, self.position, self.ended, self.line = "", 0, False, 1
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def more(self) -> bool:
        """Read another block; False at the end of the file."""
        if self.ended:
            return False
        block = self.file.read(max(_BLOCK, len(self.text) - self.position))
        self.ended = not block
        try:
            new = self._decoder.decode(block, final=self.ended)
        except UnicodeDecodeError as error:
            line = self.line + self.text.count("\n") + error.object.count(b"\n", 0, error.start)
            raise RowError(
                f"line {line} is not valid UTF-8: save the file as UTF-8", source=self.path
            ) from None
        self.line += self.text.count("\n", 0, self.position)
        self.text, self.position = self.text[self.position :] + new, 0
        return bool(new) or not self.ended

    def skip_space(self) -> None:
        """On to the next character that is no white space, if there is one."""
        while True:
            self.position = _skip_space(self.text, self.position)
            if self.position < len(self.text) or not self.more():
                return

    def next_is(self, sign: str) -> bool:
        """Whether `sign` follows, after white space."""
        self.skip_space()
        return self.text[self.position : self.position + 1] == sign

    def take(self, sign: str) -> None:
        """Go behind `sign`, which follows."""
        self.skip_space()
        self.position += len(sign)
        self.skip_space()

    def at_end(self) -> bool:
        """Whether only white space follows."""
        self.skip_space()
        return self.position >= len(self.text)

    def element(self, number: int) -> dict[str, Any] | RowError:
        """The next element; a defect that does not break the array is its row's."""
        while True:
            try:
                value, end = _DECODER.raw_decode(self.text, self.position)
            except RowError as error:
                end = self._end_of_element(number)
                self.position = end
                return error
            except (ValueError, RecursionError) as error:
                if len(self.text) - self.position > MAX_ROW_BYTES:
                    return self._skip_long(number)
                if not isinstance(error, RecursionError) and self.more():
                    continue
                raise _syntax(error, b"").at(self.path, number) from None
            if end == len(self.text) and self.more():
                continue  # a number may go on
            element, self.position = self.text[self.position : end], end
            if len(element.encode("utf-8", "surrogatepass")) > MAX_ROW_BYTES:
                return _too_long(len(element))
            try:
                return _object(element, value)
            except RowError as error:
                return error

    def _skip_long(self, number: int) -> RowError:
        start = self.position
        end = self._end_of_element(number)
        size = end - start if end > start else end
        self.position = end
        return _too_long(max(size, MAX_ROW_BYTES + 1))

    def _end_of_element(self, number: int) -> int:
        """Where the element at the position ends, by its brackets."""
        depth, at = 0, self.position
        quoted = False
        while True:
            found = (_IN_STRING if quoted else _STRUCTURE).search(self.text, at)
            if found is None or (found[0] == "\\" and found.end() >= len(self.text)):
                kept = (found.start() if found else len(self.text)) - self.position
                if not self.more():
                    raise RowError(
                        "not valid JSON (the array ends inside this element)", source=self.path, row=number
                    )
                at = self.position + kept
                continue
            sign, at = found[0], found.end()
            if sign == "\\":
                at += 1
            elif sign == '"':
                quoted = not quoted
                if not quoted and depth == 0:
                    return at
            elif sign in "[{":
                depth += 1
            elif sign in "]}":
                depth -= 1
                if depth == 0:
                    return at
                if depth < 0:
                    return found.start()
            elif depth == 0:
                return found.start()


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


_IN_STRING = re.compile(r'["\\]')
_STRUCTURE = re.compile(r'["\[\]{},]')
_DECODER = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_unique_keys
)


def strict_json(text: str) -> Any:
    """JSON without NaN, doubled keys or numbers too large. Raises RowError, ValueError, RecursionError."""
    return _DECODER.decode(text)
