"""Whether an answer is in another writing or language than the question."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sarm_core.text.answer_traits.family import Family, Reading, Trait

__all__ = ["OtherLanguage"]

_BEYOND = re.compile(r"[^\W\d_a-zA-Z]")
_ENGLISH = {
    "the",
    "and",
    "of",
    "to",
    "is",
    "in",
    "that",
    "it",
    "for",
    "you",
    "a",
    "with",
    "are",
    "this",
    "be",
    "on",
    "not",
}


class OtherLanguage(Family):
    """Letters beyond English, and how many of its words are the commonest of English, beside the question's."""

    traits = (
        Trait(
            "letters beyond English",
            "English letters only",
            "other alphabet, accents, foreign letters, non-English characters, Chinese, Cyrillic, Arabic",
        ),
        Trait(
            "another language than the question",
            "the question's language",
            "foreign language, wrong language, switches language, not in English, translation, other language",
        ),
    )

    @classmethod
    def measure(cls, reading: Reading) -> Sequence[float]:
        letters = len(_BEYOND.findall(reading.answer))
        apart = (
            abs(_english(reading.question_words) - _english(reading.words))
            if len(reading.words) >= 10
            else 0.0
        )
        return reading.rate(letters), apart > 0.15


def _english(words: Sequence[str]) -> float:
    return sum(word in _ENGLISH for word in words) / max(1, len(words))
