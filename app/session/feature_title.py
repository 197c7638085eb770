"""What a feature is called where there is room for one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from app.draw.plain_text import cut
from app.session.engine import FeatureNote

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["HOW_NAMED", "about_mark", "feature_title", "insert_names", "marked_name"]

HOW_NAMED = "how named"
"""The column beside a name"""

_ABOUT = {
    "suggested": "Suggested by a program, not by a person.",
    "example": "No name yet: how the answer begins in which it is strongest.",
    "1 label": "One person's label; nobody else has looked yet.",
    "disputed": "The labels differ, and nobody has settled which holds.",
    "no pattern": "Who labelled it found no pattern, or hardly one.",
    "settled: no pattern": "An adjudicator settled that there is no pattern, or hardly one.",
    "no verdict": "A label makes a name with a verdict of 3 or more; this one has none.",
}


def about_mark(mark: str) -> str:
    """What the words beside a name mean, for a tooltip."""
    return " ".join(_ABOUT[word] for word in mark.split(", ") if word in _ABOUT)


def feature_title(feature: int, note: FeatureNote | None, width: int = 34, *, mark: bool = True) -> str:
    """`#1287 refusal wording`, cut to `width`; an unlabelled feature is its number. Behind the cut, unless told not
    to, stands its mark: "suggested", "1 label", "disputed"."""
    name = note.name if note else ""
    text = f"#{feature} {name}".strip()
    text = text if len(text) <= width else text[: width - 1] + "…"
    return f"{text} ({note.mark})" if mark and note and note.mark else text


def marked_name(note: FeatureNote | None, width: int | None = None) -> str:
    """The name alone, for a column or a menu that has the number already; its mark behind the cut."""
    if note is None:
        return ""
    name = note.name if width is None else cut(note.name, width)
    return f"{name} ({note.mark})".lstrip() if note.mark else name


def insert_names(table: pd.DataFrame, notes: Mapping[int, FeatureNote], column: str = "label") -> None:
    """Put behind the numbers, the first column, what each feature is called, and its mark in a column of its own.

    At the end of a long name it would be cut off.
    """
    found = [notes.get(int(i), FeatureNote()) for i in table["feature"]]
    table.insert(1, column, [note.name for note in found])
    table.insert(2, HOW_NAMED, [note.mark or ("label" if note.name else "") for note in found])
