"""What a feature is called where there is room for one line."""

from __future__ import annotations

from app.session.engine import FeatureNote

__all__ = ["feature_title"]


def feature_title(feature: int, note: FeatureNote | None, width: int = 34, *, mark: bool = True) -> str:
    """`#1287 refusal wording`, cut to `width`; an unlabelled feature is its number. Behind the cut, unless told not
    to, it says of a suggestion that it is one."""
    name = note.name if note else ""
    text = f"#{feature} {name}".strip()
    text = text if len(text) <= width else text[: width - 1] + "…"
    return f"{text} (suggested)" if mark and note and note.suggested and name else text
