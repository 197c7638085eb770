"""What the fields of a label may hold; anything else is refused in one line, whatever its type."""

from __future__ import annotations

import math
import unicodedata
from typing import Any

from feature_db.errors import StoreError
from feature_db.records import clean_text

__all__ = [
    "LONGEST_NOTE",
    "LONGEST_TEXT",
    "folded",
    "label_text",
    "note_text",
    "possible_confidence",
    "possible_verdict",
    "reason_text",
    "string",
]

LONGEST_TEXT = 2_000
LONGEST_NOTE = 10_000


def string(value: Any, what: str) -> str:
    """`value` without lone surrogates. Raises StoreError when it is no string."""
    if not isinstance(value, str):
        raise StoreError(f"{what} is a text, not {type(value).__name__}")
    return clean_text(value)


def folded(name: str) -> str:
    """What names that differ in case only have in common."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def label_text(text: Any) -> str:
    """What a label says: 1 to `LONGEST_TEXT` characters."""
    text = string(text, "a label").strip()
    if not 1 <= len(text) <= LONGEST_TEXT:
        raise StoreError(f"a label has 1 to {LONGEST_TEXT} characters")
    return text


def note_text(note: Any) -> str:
    """A remark, possibly empty."""
    note = string(note, "a note")
    if len(note) > LONGEST_NOTE:
        raise StoreError(f"a note has at most {LONGEST_NOTE} characters")
    return note


def reason_text(reason: Any, act: str) -> str:
    """Why `act` ("a skip") was done; never empty."""
    reason = note_text(reason)
    if not reason.strip():
        raise StoreError(f"say why: {act} needs a reason")
    return reason


def possible_verdict(verdict: Any) -> int | None:
    """1 to 5 or None."""
    if verdict is None:
        return None
    if isinstance(verdict, bool) or not isinstance(verdict, (int, float)) or verdict not in (1, 2, 3, 4, 5):
        raise StoreError("a verdict is 1, 2, 3, 4 or 5")
    return int(verdict)


def possible_confidence(confidence: Any) -> float | None:
    """0 to 1 or None."""
    if confidence is None:
        return None
    number = isinstance(confidence, (int, float)) and not isinstance(confidence, bool)
    if not number or not (math.isfinite(confidence) and 0 <= confidence <= 1):
        raise StoreError("a confidence lies between 0 and 1")
    return float(confidence)
