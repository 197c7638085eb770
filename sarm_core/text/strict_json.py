"""JSON without leniency: NaN, doubled keys, halves of characters and overlong rows are refused in one line each."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from sarm_core.errors import RowError
from sarm_core.text.rows import kind_of

__all__ = [
    "BLANK",
    "DECODER",
    "MAX_ROW_BYTES",
    "checked_object",
    "row_of_line",
    "strict_json",
    "syntax_error",
    "too_long",
    "unique_keys",
]

MAX_ROW_BYTES = 10_000_000
BLANK = b" \t\r\n"
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


def row_of_line(line: bytes) -> dict[str, Any] | RowError | None:
    """The object of a line or what is wrong with it; None for a blank one."""
    if not line.strip(BLANK):
        return None
    if len(line) > MAX_ROW_BYTES:
        return too_long(len(line))
    try:
        text = line.decode("utf-8")
        return checked_object(text, strict_json(text))
    except RowError as error:
        return error
    except (ValueError, RecursionError) as error:
        return syntax_error(error, line)


def checked_object(text: str, value: Any) -> dict[str, Any]:
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


def too_long(size: int) -> RowError:
    return RowError(
        f"the row is {size / 1e6:.1f} MB long, the limit is {MAX_ROW_BYTES / 1e6:.0f} MB: "
        "is the whole file on one line?"
    )


def syntax_error(error: Exception, line: bytes) -> RowError:
    if isinstance(error, UnicodeDecodeError):
        return RowError(f"not valid UTF-8 at byte {error.start + 1}: save the file as UTF-8")
    if isinstance(error, RecursionError):
        return RowError("not valid JSON (nested too deeply): each row must be one JSON object")
    if line.strip(BLANK) in (b"{", b"["):
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


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, for `object_pairs_hook`. Raises RowError for a key that stands in it twice."""
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise RowError(f"the key {twice[:40]!r} appears twice: which of the two is meant?")
    return found


DECODER = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=unique_keys
)


def strict_json(text: str) -> Any:
    """JSON without NaN, doubled keys or numbers too large. Raises RowError, ValueError, RecursionError."""
    return DECODER.decode(text)
