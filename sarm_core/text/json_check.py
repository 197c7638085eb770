"""What a JSON file of ours has to hold, said once: readers check with it, docs/schemas/write.py makes schemas of it.

shape = Object({"format": TEXT, "scores": MapOf(NUMBER)}, {"notes": ListOf(TEXT)})
check(data, shape, "result.json")                # SarmError: result.json: scores['total'] must be a number or null ...
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sarm_core.errors import RowError, SarmError
from sarm_core.text.strict_json import unique_keys

__all__ = [
    "ANY",
    "COUNT",
    "LARGEST",
    "MAYBE_TEXT",
    "NUMBER",
    "REAL",
    "TEXT",
    "ListOf",
    "MapOf",
    "Object",
    "Value",
    "check",
    "one_line",
    "read_json",
    "shown",
    "wrong",
]

LARGEST = 1e39  # a reward is a float32, and so is all that is made of rewards


@dataclass(frozen=True)
class Value:
    """A value that is not made of others."""

    name: str


@dataclass(frozen=True)
class ListOf:
    """A list of one shape, of `length` where that is fixed."""

    of: Any
    length: int | None = None


@dataclass(frozen=True)
class MapOf:
    """An object of any keys, whose values have one shape."""

    of: Any


@dataclass(frozen=True)
class Object:
    """An object with these keys; others are left alone."""

    needed: Mapping[str, Any]
    optional: Mapping[str, Any] = field(default_factory=dict)


NUMBER = Value("a number or null")
REAL = Value("a number")
COUNT = Value("a whole number from 0")
TEXT = Value("text")
MAYBE_TEXT = Value("text or null")
ANY = Value("anything")


def read_json(text: str, source: str) -> Any:
    """JSON without NaN and doubled keys. Raises SarmError naming `source`."""
    try:
        return json.loads(text, parse_constant=_refused, object_pairs_hook=unique_keys)
    except (RecursionError, ValueError, RowError) as error:
        raise SarmError(f"{source}: not a readable JSON file ({one_line(error)})") from None


def check(value: Any, shape: Any, source: str, place: str = "", remedy: str = "make it again") -> None:
    """Raises SarmError naming `source` and the place in it unless `value` has this shape."""
    if isinstance(shape, Value):
        if not _is(value, shape):
            raise wrong(source, place, f"must be {shape.name}, not {shown(value)}")
    elif isinstance(shape, ListOf):
        if not isinstance(value, list):
            raise wrong(source, place, f"must be a list, not {shown(value)}")
        if shape.length is not None and len(value) != shape.length:
            raise wrong(source, place, f"must have {shape.length} entries, not {len(value)}")
        for position, each in enumerate(value):
            check(each, shape.of, source, f"{place}[{position}]", remedy)
    elif isinstance(shape, MapOf):
        if not isinstance(value, dict):
            raise wrong(source, place, f"must be an object, not {shown(value)}")
        for name, each in value.items():
            check(each, shape.of, source, f"{place}[{shown(name)}]", remedy)
    else:
        if not isinstance(value, dict):
            raise wrong(source, place or "the whole", f"must be an object, not {shown(value)}")
        for name, part in {**shape.needed, **shape.optional}.items():
            here = f"{place}.{name}" if place else name
            if name in value:
                check(value[name], part, source, here, remedy)
            elif name in shape.needed:
                raise wrong(source, here, f"is missing: {remedy}")


def _is(value: Any, shape: Value) -> bool:
    if shape is ANY:
        return True
    if shape is TEXT:
        return isinstance(value, str)
    if shape is MAYBE_TEXT:
        return value is None or isinstance(value, str)
    if isinstance(value, bool):
        return False
    if shape is COUNT:
        return isinstance(value, int) and 0 <= value <= 10**15
    if value is None:
        return shape is not REAL
    if shape in (NUMBER, REAL):
        return isinstance(value, int | float) and abs(value) <= LARGEST and math.isfinite(value)
    return isinstance(value, int) and 0 <= value <= 10**15


def wrong(source: str, place: str, what: str) -> SarmError:
    """The error of a file `source` in which `place` is wrong."""
    return SarmError(f"{source}: {place} {what}")


def shown(value: Any) -> str:
    """A value in an error message: short and on one line, whatever it is."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**20:
        return "a very large number"
    return repr(value)[:40]


def _refused(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def one_line(error: BaseException) -> str:
    """An error of others, as part of a line of ours."""
    return " ".join(str(error).split())[:200]
