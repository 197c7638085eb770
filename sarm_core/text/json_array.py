"""Rows of one JSON array, from a window that slides over the file."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from sarm_core.errors import RowError
from sarm_core.text.strict_json import DECODER, MAX_ROW_BYTES, checked_object, syntax_error, too_long

__all__ = ["array_rows"]

_BLOCK = 1 << 20
_SPACE = re.compile(r"[ \t\r\n]*")
_IN_STRING = re.compile(r'["\\]')
_STRUCTURE = re.compile(r'["\[\]{},]')


def array_rows(file: BinaryIO, path: str | Path) -> Iterator[tuple[int, dict[str, Any] | RowError]]:
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
                value, end = DECODER.raw_decode(self.text, self.position)
            except RowError as error:
                end = self._end_of_element(number)
                self.position = end
                return error
            except (ValueError, RecursionError) as error:
                if len(self.text) - self.position > MAX_ROW_BYTES:
                    return self._skip_long(number)
                if not isinstance(error, RecursionError) and self.more():
                    continue
                raise syntax_error(error, b"").at(self.path, number) from None
            if end == len(self.text) and self.more():
                continue  # a number may go on
            element, self.position = self.text[self.position : end], end
            if len(element.encode("utf-8", "surrogatepass")) > MAX_ROW_BYTES:
                return too_long(len(element))
            try:
                return checked_object(element, value)
            except RowError as error:
                return error

    def _skip_long(self, number: int) -> RowError:
        start = self.position
        end = self._end_of_element(number)
        size = end - start if end > start else end
        self.position = end
        return too_long(max(size, MAX_ROW_BYTES + 1))

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
