"""How long an answer, its sentences and its words are."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sarm_core.text.answer_traits.family import Family, Reading, Trait

__all__ = ["Length"]

_SENTENCE = re.compile(r"[.!?…]+(?:\s|$)|\n+")


class Length(Family):
    """In words, words a sentence, and letters a word."""

    traits = (
        Trait(
            "longer", "shorter", "long, long answer, length, verbose, wordy, lengthy, long-winded, rambling"
        ),
        Trait("longer sentences", "shorter sentences", "long sentences, run-on sentences, complex sentences"),
        Trait("longer words", "shorter words", "long words, big words, difficult words, jargon"),
    )

    @classmethod
    def measure(cls, reading: Reading) -> Sequence[float]:
        n = len(reading.words)
        sentences = max(1, len(_SENTENCE.findall(reading.answer)))
        return n, n / sentences, sum(map(len, reading.words)) / max(1, n)
