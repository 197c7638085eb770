"""Whether an answer says the same again."""

from __future__ import annotations

from collections.abc import Sequence

from sarm_core.text.answer_spans import answer_spans
from sarm_core.text.answer_traits.family import Family, Reading, Trait, words_of

__all__ = ["Repetition"]

GRAM = 4


class Repetition(Family):
    """The share of its sentences that stood there before, and of its runs of four words."""

    traits = (
        Trait(
            "repeats sentences",
            "repeats no sentence",
            "repetition, repeats itself, same sentence again, loops, repetitive, duplicate",
        ),
        Trait(
            "repeats phrases",
            "repeats fewer phrases",
            "repetition, repeats itself, same phrase again, repetitive wording, loops",
        ),
    )

    @classmethod
    def measure(cls, reading: Reading) -> Sequence[float]:
        said = [words_of(span.of(reading.answer)) for span in answer_spans(reading.answer)]
        said = [words for words in said if len(words) > 2]
        words = reading.words
        grams = [words[i : i + GRAM] for i in range(len(words) - GRAM + 1)]
        return _again(said), _again(grams)


def _again(things: Sequence[tuple[str, ...]]) -> float:
    return 1 - len(set(things)) / len(things) if things else 0.0
