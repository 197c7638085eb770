"""Rows of JSON lines, fast: a block of lines is parsed at once, and line by line only where something is odd.

The fast parser (orjson) is lenient where a loss would be hidden: it takes the last of doubled keys and makes floats of
huge whole numbers. So a block's rows count only when its bytes show that neither can have happened; all others go
through `strict_json.row_of_line`, which gives the same rows and says what is wrong with the bad ones.
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import orjson

from sarm_core.errors import RowError
from sarm_core.text.strict_json import BLANK, MAX_ROW_BYTES, row_of_line, too_long

__all__ = ["Run", "line_runs"]

Run = tuple[int, list[dict[str, Any]] | RowError]
"""Rows of consecutive lines with the number of the first, or what is wrong with one row."""

_BLOCK = 1 << 16
"""Bytes a block: what is parsed and made of it fits the cache of a processor's core."""
_FEW = 8
"""Lines of a block that are tried together once the whole block was refused."""
_MARK = "".join(secrets.choice(string.ascii_letters) for _ in range(12))
"""Put between lines; no line can hold it, because nobody knows it before the process runs."""
_BETWEEN = b',\n"%b",' % _MARK.encode()
_COLON, _QUOTE, _BACKSLASH = b':"\\'
_IS_SPACE = np.isin(np.arange(256), list(BLANK))
_DIGIT_BITS, _DIGITS = np.uint64(0xF0F0F0F0F0F0F0F0), np.uint64(0x3030303030303030)


def line_runs(file: BinaryIO) -> Iterator[Run]:
    """Rows by line number (from 1; blank lines are counted, then skipped) and, in their order, defects of rows."""
    number, held = 1, b"["
    while block := file.read(max(_BLOCK, len(held))):
        data = held + block
        end = data.rfind(b"\n")
        if end < 0:
            held = data
        else:
            runs, lines = _runs(data[:end], number)
            yield from runs
            number, held = number + lines, b"[" + data[end + 1 :]
        if len(held) > MAX_ROW_BYTES:
            size, rest = _rest_of_line(file, len(held) - 1)
            yield number, too_long(size)
            number, held = number + 1, b"[" + rest
    yield from _runs(held, number)[0]


def _rest_of_line(file: BinaryIO, size: int) -> tuple[int, bytes]:
    """The length of a line of which `size` bytes were read and are gone, and what was read behind its end."""
    while block := file.read(_BLOCK):
        end = block.find(b"\n")
        if end >= 0:
            return size + end, block[end + 1 :]
        size += len(block)
    return size, b""


def _runs(data: bytes, number: int) -> tuple[list[Run], int]:
    """The runs of a bracket and whole lines, the last without its line end; and how many lines there were."""
    rows = _objects(data)
    if rows is not None:
        return [(number, rows)], len(rows)
    lines = data[1:].split(b"\n")
    runs: list[Run] = []
    for start in range(0, len(lines), _FEW):
        few = lines[start : start + _FEW]
        rows = _objects(b"[" + b"\n".join(few)) if len(few) < len(lines) else None
        if rows is not None:
            runs.append((number + start, rows))
            continue
        for place, line in enumerate(few, number + start):
            row = row_of_line(line)
            if row is not None:
                runs.append((place, row if isinstance(row, RowError) else [row]))
    return runs, len(lines)


def _objects(data: bytes) -> list[dict[str, Any]] | None:
    """The object of every line behind a bracket; None where a line may be none, or may have lost a key or a digit.

    Between two lines stands a comma, the line end (which no text may hold, so no text goes on in the next line) and a
    mark. A mark for every line end at the outermost level, and one value between two of them, is one value a line.
    """
    if len(data) > MAX_ROW_BYTES:
        return None
    joined = data.replace(b"\n", _BETWEEN) + b"]"
    try:
        found = orjson.loads(joined)
    except orjson.JSONDecodeError:
        return None
    ends = (len(joined) - 1 - len(data)) // (len(_BETWEEN) - 1)
    if len(found) != 2 * ends + 1 or found[1::2].count(_MARK) != ends:
        return None
    rows: list[dict[str, Any]] = found[::2]
    try:
        keys = sum(map(dict.__len__, rows))
    except TypeError:  # one is no object
        return None
    byte = np.frombuffer(joined, np.uint8)
    colons = byte == _COLON
    whole = not _long_number(joined)
    if whole and np.count_nonzero(colons) == keys:
        return rows
    written = _keys_written(byte, np.flatnonzero(colons))
    if written < 0 or not ((whole and written == keys) or written == _keys_in(rows)):
        return None
    return rows


def _long_number(data: bytes) -> bool:
    """Whether 19 digits stand in a row, from where on a whole number may not fit into 64 bits.

    Eight of them then fill a word of eight bytes, and of the first such word four more follow: few places need a look.
    """
    words = np.frombuffer(data, np.uint64, len(data) // 8)
    for at in (np.flatnonzero((words & _DIGIT_BITS) == _DIGITS) * 8).tolist():
        if data[at + 8 : at + 12].isdigit():
            before = data[max(at - 11, 0) : at]
            more = 19 - len(before) + len(before.rstrip(b"0123456789"))
            if len(data) >= at + more and data[at : at + more].isdigit():
                return True
    return False


def _keys_written(byte: npt.NDArray[np.uint8], colons: npt.NDArray[np.intp]) -> int:
    """How many keys the objects in JSON were written with, or more; -1 where that cannot be told.

    A key ends in a quotation mark right before a colon. So does a text that begins with a colon, which then counts too:
    the number is no key's loss too small. A mark with an odd number of backslashes before it is part of a text.
    """
    before = byte[colons - 1]
    spaced = colons[_IS_SPACE[before]] - 1
    while spaced.size:
        spaced = spaced - 1
        signs = byte[spaced]
        if (signs == _QUOTE).any():
            return -1
        spaced = spaced[_IS_SPACE[signs]]
    marks = colons[before == _QUOTE] - 1
    behind = marks[byte[marks - 1] == _BACKSLASH] - 1
    in_texts = 0
    for length in range(1, 64):
        if not behind.size:
            return int(marks.size) - in_texts
        behind = behind - 1
        goes_on = byte[behind] == _BACKSLASH
        if length % 2:
            in_texts += int(behind.size - np.count_nonzero(goes_on))
        behind = behind[goes_on]
    return -1


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
