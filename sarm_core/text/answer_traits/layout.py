"""How an answer is laid out: lists, headings, code, paragraphs."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sarm_core.text.answer_traits.family import Family, Reading, Trait

__all__ = ["Layout"]

_ITEM = re.compile(r"^[^\S\n]*[-*•+][^\S\n]+\S", re.MULTILINE)
_NUMBERED = re.compile(r"^[^\S\n]*\d{1,3}[.)][^\S\n]+\S", re.MULTILINE)
_HEADING = re.compile(r"^[^\S\n]*(?:#{1,6}[^\S\n]+\S|\*\*[^*\n]{1,200}\*\*:?[^\S\n]*$)", re.MULTILINE)
_ROW = re.compile(r"^[^\S\n]*\|.*\|[^\S\n]*$", re.MULTILINE)
_EMOJI = re.compile("[\U0001f300-\U0001faff\u2600-\u27bf]")


class Layout(Family):
    """Marks of Markdown, counted or there."""

    traits = (
        Trait("bullet list", "no bullet list"),
        Trait("numbered list", "no numbered list"),
        Trait("headings", "no headings"),
        Trait("bold text", "no bold text"),
        Trait("table", "no table"),
        Trait("code", "no code"),
        Trait("more paragraphs", "fewer paragraphs"),
        Trait("emoji", "no emoji"),
    )

    @classmethod
    def measure(cls, reading: Reading) -> Sequence[float]:
        text = reading.answer
        return (
            len(_ITEM.findall(text)) >= 2,
            len(_NUMBERED.findall(text)) >= 2,
            bool(_HEADING.search(text)),
            text.count("**") >= 2,
            len(_ROW.findall(text)) >= 2,
            "```" in text or text.count("`") >= 2,
            text.count("\n\n"),
            len(_EMOJI.findall(text)),
        )
