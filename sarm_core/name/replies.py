"""What a model may reply: one JSON object of one shape, and nothing that is not in it goes any further."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from sarm_core.errors import RowError
from sarm_core.text.strict_json import unique_keys

__all__ = ["LONGEST_NAME", "BadReply", "Label", "read_detect", "read_label", "read_pair"]

LONGEST_REPLY, LONGEST_NAME, LONGEST_EXPLANATION = 20_000, 80, 600
_THOUGHT = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
_FENCE = re.compile(r"\A```(?:json)?\s*\n(.*)\n```\Z", re.DOTALL)


class BadReply(Exception):
    """A reply that is not what was asked for; the text says how, without any of the reply's own words."""


@dataclass(frozen=True)
class Label:
    """A name, what it means, and how clear its pattern is said to be, 1 to 5."""

    name: str
    explanation: str
    score: int


def read_label(text: str) -> Label:
    """The reply to the labelling prompt. Raises BadReply."""
    found = _object(text, {"name", "explanation", "score"})
    score = found["score"]
    if type(score) is not int or not 1 <= score <= 5:
        raise BadReply("score is not a whole number from 1 to 5")
    name = _line(found["name"], "name", LONGEST_NAME)
    return Label(name, _line(found["explanation"], "explanation", LONGEST_EXPLANATION), score)


def read_detect(text: str, n: int) -> frozenset[int]:
    """Numbers, 1 to n, of the answers that have the property. Raises BadReply."""
    found = _object(text, {"has"})["has"]
    if not isinstance(found, list) or not all(type(i) is int and 1 <= i <= n for i in found):
        raise BadReply(f"has is not a list of numbers from 1 to {n}")
    if len(set(found)) < len(found):
        raise BadReply("has names an answer twice")
    return frozenset(found)


def read_pair(text: str) -> str:
    """ "A", "B" or "equal". Raises BadReply."""
    found = _object(text, {"fits"})["fits"]
    if found not in ("A", "B", "equal"):
        raise BadReply('fits is none of "A", "B", "equal"')
    return str(found)


def _object(text: str, keys: set[str]) -> dict[str, object]:
    if len(text) > LONGEST_REPLY:
        raise BadReply(f"it has more than {LONGEST_REPLY:,} characters")
    body = _THOUGHT.sub("", text).strip()
    fenced = _FENCE.match(body)
    try:
        found = json.loads(
            fenced[1] if fenced else body, parse_constant=_refuse, object_pairs_hook=unique_keys
        )
    except (ValueError, RecursionError, RowError):
        raise BadReply("it is not one JSON object") from None
    if not isinstance(found, dict) or set(found) != keys:
        raise BadReply(f"it is not an object of {', '.join(sorted(keys))} alone")
    return found


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def _line(value: object, key: str, longest: int) -> str:
    """A text on one line, without what a terminal or a page would obey."""
    if not isinstance(value, str):
        raise BadReply(f"{key} is not a text")
    kept = "".join(c if c.isprintable() else " " for c in value)
    line = " ".join(kept.split())
    if not any(c.isalpha() for c in line):
        raise BadReply(f"{key} holds no word")
    if len(line) > longest:
        raise BadReply(f"{key} has more than {longest} characters")
    return line
