"""What a feature is called where there is room for one line."""

from __future__ import annotations

from app.draw.plain_text import cut
from app.session.engine import FeatureNote

__all__ = ["MARK", "feature_title", "marked_name"]

MARK = " (suggested)"


def feature_title(feature: int, note: FeatureNote | None, width: int = 34, *, mark: bool = True) -> str:
    """`#1287 refusal wording`, cut to `width`; an unlabelled feature is its number. Behind the cut, unless told not
    to, it says of a suggestion that it is one."""
    name = note.name if note else ""
    text = f"#{feature} {name}".strip()
    text = text if len(text) <= width else text[: width - 1] + "…"
    return text + MARK if mark and note and note.suggested and name else text


def marked_name(note: FeatureNote | None, width: int | None = None) -> str:
    """The name alone, for a column or a menu that has the number already; behind the cut the mark of a suggestion."""
    if note is None or not note.name:
        return ""
    name = note.name if width is None else cut(note.name, width)
    return name + MARK if note.suggested else name
