"""What an answer is worded with: the question's words, numbers, quotations, commas, brackets, colons."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sarm_core.text.answer_traits.family import Family, Reading, Trait

__all__ = ["Wording"]

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_ARITHMETIC = re.compile(r"[=×+*/]\s?\d|\d\s?[=×+*/]")
_LINK = re.compile(r"https?://|www\.", re.IGNORECASE)


class Wording(Family):
    """The share of the question's longer words that it takes up; the rest a word."""

    traits = (
        Trait(
            "takes up the question's words",
            "leaves the question's words",
            "repeats the question, restates the question, echoes the prompt, paraphrases the question",
        ),
        Trait("more numbers", "fewer numbers", "numbers, digits, figures, statistics, amounts"),
        Trait(
            "calculates",
            "calculates less",
            "maths, math, arithmetic, calculation, equation, sums, computes, formula",
        ),
        Trait("quotes more", "quotes less", "quotation marks, quotes, citations, quoted text"),
        Trait("more commas", "fewer commas", "commas, comma"),
        Trait("more brackets", "fewer brackets", "brackets, parentheses, parenthesis"),
        Trait("more colons", "fewer colons", "colons, colon"),
        Trait("links", "no links", "link, url, web address, website, hyperlink"),
    )

    @classmethod
    def measure(cls, reading: Reading) -> Sequence[float]:
        text = reading.answer
        asked = {word for word in reading.question_words if len(word) > 3}
        counts = (
            len(_NUMBER.findall(text)),
            len(_ARITHMETIC.findall(text)),
            text.count('"') + text.count("“"),
            text.count(","),
            text.count("("),
            text.count(":"),
            len(_LINK.findall(text)),
        )
        return len(asked & set(reading.words)) / max(1, len(asked)), *(reading.rate(n) for n in counts)
