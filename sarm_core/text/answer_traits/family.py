"""A trait, a family of traits, and the table of them for many answers."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

__all__ = ["Family", "Reading", "Trait", "TraitTable", "measured", "words_of"]

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
LEAST_WORDS = 10
"""A rate a word is taken over at least so many: one mark in an answer of two words is not the most of it."""


@dataclass(frozen=True)
class Trait:
    """What is said of the answer that has more of it, and of the one that has less.

    `also` are other words for more of it, between commas: by them it is found, and nothing is called by them.
    """

    more: str
    less: str
    also: str = ""


@dataclass(frozen=True)
class Reading:
    """A question and an answer to it, and their words in lower case."""

    question: str
    answer: str
    question_words: tuple[str, ...]
    words: tuple[str, ...]

    @classmethod
    def of(cls, question: str, answer: str) -> Reading:
        """Read once, measured by every family."""
        return cls(question, answer.strip(), words_of(question), words_of(answer))

    def rate(self, n: float) -> float:
        """`n` of something a word of the answer."""
        return n / max(LEAST_WORDS, len(self.words))


class Family(ABC):
    """Traits that are measured together."""

    traits: ClassVar[tuple[Trait, ...]]

    @classmethod
    @abstractmethod
    def measure(cls, reading: Reading) -> Sequence[float]:
        """How much the answer has of each of `traits`; only more or less than another answer counts."""


@dataclass(frozen=True)
class TraitTable:
    """What n answers have of T traits: `values` float32 [n, T]."""

    traits: tuple[Trait, ...]
    values: npt.NDArray[np.float32]


def words_of(text: str) -> tuple[str, ...]:
    """Words in lower case, with their apostrophes."""
    return tuple(word.lower().replace("’", "'") for word in _WORD.findall(text))


def measured(
    texts: Sequence[tuple[str, str]],
    families: Sequence[type[Family]],
    tags: Sequence[Mapping[str, str] | None] = (),
) -> TraitTable:
    """The table of (question, answer) `texts`; `tags` are what people said of each, as {axis: value}.

    An answer without tags has none of any tag. A tag that is called as a measured trait is that trait.
    """
    readings = [Reading.of(question, answer) for question, answer in texts]
    traits = [trait for family in families for trait in family.traits]
    columns = [[float(v) for family in families for v in family.measure(reading)] for reading in readings]
    values = np.array(columns, dtype=np.float32).reshape(len(readings), len(traits))
    place = {trait.more: number for number, trait in enumerate(traits)}
    tagged = {_called(axis, value) for each in tags for axis, value in (each or {}).items()}
    for trait in sorted(tagged, key=lambda trait: trait.more):
        if trait.more not in place:
            place[trait.more] = len(traits)
            traits.append(trait)
    values = np.pad(values, ((0, 0), (0, len(traits) - values.shape[1])))
    for row, each in enumerate(tags):
        for axis, value in (each or {}).items():
            column = place[_called(axis, value).more]
            values[row, column] = max(1.0, values[row, column])
    return TraitTable(tuple(traits), values)


_CALLED = {
    ("topic", "off"): Trait(
        "off topic", "not off topic", "irrelevant, beside the point, strays, unrelated, ignores the question"
    ),
    ("topic", "on"): Trait("on topic", "not on topic", "relevant, answers the question, to the point"),
    ("format", "heavy"): Trait(
        "heavily formatted",
        "not heavily formatted",
        "markdown, formatting, formatted, styling, too much formatting",
    ),
    ("format", "plain"): Trait(
        "plainly formatted", "not plainly formatted", "plain text, unformatted, prose, no markdown"
    ),
    ("length", "normal"): Trait("of normal length", "not of normal length", "medium length, right length"),
    ("tone", "neutral"): Trait(
        "neutral in tone", "not neutral in tone", "neutral, matter of fact, objective, impersonal"
    ),
    ("completeness", "cut-off"): Trait("cut off", "not cut off"),
    ("helpfulness", "refusing"): Trait("refuses", "does not refuse"),
    ("helpfulness", "over-refusing"): Trait(
        "refuses without need",
        "does not refuse without need",
        "over-refusal, needless refusal, refuses harmless questions, overly cautious, says no to a harmless question",
    ),
    ("helpfulness", "complying"): Trait(
        "complies with harm",
        "does not comply with harm",
        "harmful help, unsafe compliance, dangerous instructions",
    ),
}
"""The corpus's tags whose values say too little alone"""
_ALSO = {
    "calibrated": "admits uncertainty, honest about doubt, well calibrated, knows its limits",
    "complete": "finished, whole answer, thorough, nothing missing, full answer",
    "curt": "brief, terse, short, abrupt, one word, blunt",
    "flattering": "flattery, flatters, praise, compliments, sycophantic, sycophancy, buttering up",
    "hedged": "hedging, cautious, perhaps, maybe, vague, non-committal, uncertain",
    "helpful": "useful, solves the problem, of help, good answer",
    "kind": "friendly, warm, kindness, caring, empathy, gentle, supportive",
    "overconfident": "too sure, too confident, too sure of itself, unjustified certainty, arrogant",
    "padded": "padding, filler, verbose, wordy, fluff, long-winded, bloated, rambling",
    "preachy": "moralising, lecturing, sermon, moral advice, finger-wagging, judgemental, ethics lecture",
    "right": "correct, accurate, true, correct answer, factual",
    "wrong": "incorrect, mistake, error, false, wrong answer, inaccurate, hallucination",
}
"""Other words for the corpus's tags"""


def _called(axis: str, value: str) -> Trait:
    """A tag as words of a name: its value, on one line, where it needs no more."""
    word = " ".join(value.split())[:40]
    return _CALLED.get((axis, value), Trait(word, f"not {word}", _ALSO.get(word, "")))
