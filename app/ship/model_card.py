"""A checkpoint's own words about itself, as Markdown that fetches nothing."""

from __future__ import annotations

__all__ = ["card_text"]


def card_text(text: str) -> str:
    """A card without its YAML header, and without images: those would be fetched from elsewhere."""
    if text.startswith("---\n") and "\n---\n" in text[4:]:
        text = text[4:].split("\n---\n", 1)[1]
    return text.replace("![", "\\![")
