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
        Trait(
            "bullet list",
            "no bullet list",
            "list, bullets, bullet points, itemised, unordered list, dashes, listing",
        ),
        Trait(
            "numbered list",
            "no numbered list",
            "list, numbered steps, ordered list, steps, step by step, enumeration",
        ),
        Trait("headings", "no headings", "headers, titles, sections, subheadings, hash marks, headlines"),
        Trait("bold text", "no bold text", "bold, emphasis, strong words, asterisks, highlighted"),
        Trait("table", "no table", "tables, columns, rows and columns, tabular"),
        Trait(
            "code",
            "no code",
            "programming, source code, code block, snippet, function, python, script, command line",
        ),
        Trait(
            "more paragraphs",
            "fewer paragraphs",
            "many paragraphs, several paragraphs, line breaks, blank lines",
        ),
        Trait("emoji", "no emoji", "emojis, smileys, emoticons, pictograms"),
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
