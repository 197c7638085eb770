"""Training files as texts and pairs, split by prompt into train, validation and test.

Rows of every shape of `text.shapes`; every two answers of one prompt that differ in grade or rank make a pair.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from sarm_core.errors import RowError, SarmError
from sarm_core.text.answers import Reader
from sarm_core.text.preferences import RowPair
from sarm_core.text.rows import Conversation, Place
from sarm_core.text.shapes.base import number
from sarm_core.text.text_files import is_text_file, read_text

__all__ = [
    "TENTHS",
    "Pair",
    "Parts",
    "Preferences",
    "Split",
    "Strength",
    "Text",
    "Ties",
    "check_parts",
    "prompt_key",
    "read_all_pairs",
    "read_pairs",
    "read_texts",
    "said_of",
    "split_of",
]

MARGIN = "margin"
"""The column in which TRL's RewardTrainer looks for margins"""

Split = Literal["train", "validation", "test"]
Ties = Literal["out", "half"]
Strength = Literal["unused", "margin", "weight"]


@dataclass(frozen=True)
class Text:
    """One conversation to learn features from."""

    conversation: Conversation
    source: str
    split: Split


@dataclass(frozen=True)
class Pair:
    """A preference: `chosen` is better than `rejected`, by `margin` at least. `weight` is its share in the loss.

    `tie`: they are equally good, half a preference for each.
    """

    chosen: Conversation
    rejected: Conversation
    source: str
    split: Split
    weight: float = 1.0
    place: Place | None = None
    """File and row"""
    margin: float = 0.0
    tie: bool = False
    strength: float | None = None
    """How much better its row says it is, in units of its own"""


def prompt_key(conversation: Conversation) -> str:
    """What two rows must share to stay in one part: the first user turn (or the first 32 token ids)."""
    for turn in conversation.messages or ():
        if turn.role == "user":
            return turn.content
    return str((conversation.input_ids or ())[:32])


@dataclass(frozen=True)
class Parts:
    """Which shares of all prompts are the test and the validation part; the rest is for training."""

    test: float = 0.1
    validation: float = 0.1

    @property
    def words(self) -> str:
        """For refusals."""
        if self == Parts():
            return "a tenth of all prompts each for validation and test"
        return f"{self.validation:.0%} of all prompts for validation, {self.test:.0%} for test"


TENTHS = Parts()


def split_of(conversation: Conversation, parts: Parts = TENTHS) -> Split:
    """The part of a conversation, decided by a hash of its prompt: the same in every file and every run.

    What is in the test part is in it for every larger share too.
    """
    digest = hashlib.sha256(f"sarm:{prompt_key(conversation)}".encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    if share < parts.test:
        return "test"
    return "validation" if share < parts.test + parts.validation else "train"


def read_texts(path: str | Path, reader: Reader | None = None, parts: Parts = TENTHS) -> Iterator[Text]:
    """Every answer of every row, both sides of a pair included; a .txt or .md file is one. Raises RowError."""
    if is_text_file(path):
        conversation = read_text(path)
        yield Text(conversation, Path(path).stem, split_of(conversation, parts))
        return
    reader = reader or Reader()
    for at, row in reader.rows(path):
        try:
            answers = reader.answers(row).answers
        except RowError as error:
            raise error.at(path, at) from None
        for answer in answers:
            conversation = answer.conversation
            yield Text(conversation, _source(row, path), split_of(conversation, parts))


def read_pairs(
    path: str | Path,
    reader: Reader | None = None,
    parts: Parts = TENTHS,
    *,
    ties: bool = False,
    strength: Strength = "unused",
) -> Iterator[Pair]:
    """Preference pairs of a file; those of one prompt that its row grades or ranks share a weight of one.

    A column `margin` is that of TRL's RewardTrainer. With `ties`, answers that are called equally good are pairs too.
    How strong a preference is (HelpSteer) is its margin or its weight where `strength` says so. Raises RowError.

    A pair that is held out, for validation or test, weighs what it does without ties and strengths: what heads are
    measured on does not depend on what they are fitted to.
    """
    reader = reader or Reader()
    reader.takes(MARGIN)
    for pair in reader.pairs(path, ties=ties):
        split, margin = split_of(pair.chosen, parts), _margin(pair, reader)
        weight = pair.weight if split == "train" or pair.tie else pair.weight_without_ties
        source = _source(pair.row, path)
        if strength == "weight" and split == "train":
            weight *= 1.0 if pair.strength is None else pair.strength
        elif strength == "margin" and pair.strength is not None:
            if margin:
                raise RowError(f"both {MARGIN!r} and the strength say a margin: use --ignore {MARGIN}").at(
                    *pair.place
                )
            margin = pair.strength
        yield Pair(
            pair.chosen, pair.rejected, source, split, weight, pair.place, margin, pair.tie, pair.strength
        )


@dataclass(frozen=True)
class Preferences:
    """The pairs of some files, and how many pairs are stated that are `ties`. Of these the train part alone has any."""

    pairs: list[Pair]
    ties: int


def read_all_pairs(
    paths: Iterable[str | Path],
    reader: Reader | None = None,
    parts: Parts = TENTHS,
    *,
    ties: str = "out",
    strength: str = "unused",
) -> Preferences:
    """`read_pairs` of every file, with the settings as a person states them.

    `ties` is one of `Ties`: "out" leaves them out, "half" makes those of the train part half a win for each of the two.
    Raises SarmError for a setting that there is not, and where no row says how strong its preference is.
    """
    for name, said, words in (("ties", ties, get_args(Ties)), ("strength", strength, get_args(Strength))):
        if said not in words:
            raise SarmError(f"{name} is {said!r}: use one of {', '.join(words)}")
    reader = reader or Reader()
    before = reader.ties
    how: dict[str, Any] = {"ties": ties == "half", "strength": strength}
    pairs = [
        pair
        for path in paths
        for pair in read_pairs(path, reader, parts, **how)
        if pair.split == "train" or not pair.tie
    ]
    if strength != "unused" and all(pair.strength is None for pair in pairs):
        raise SarmError(f"strength is {strength!r}, but no row says how strong its preference is")
    return Preferences(pairs, reader.ties - before)


def check_parts(pairs: Sequence[Pair], parts: Parts = TENTHS) -> None:
    """Raises SarmError unless each part has a pair whose answers are in an order."""
    ordered = {pair.split for pair in pairs if not pair.tie}
    if not ordered:
        raise SarmError("the files hold no preference pair" + (", but ties" if pairs else ""))
    for part in get_args(Split):
        if part not in ordered:
            raise SarmError(f"no pair falls in the {part} part ({parts.words}): give more prompts, 50 or so")


def _margin(pair: RowPair, reader: Reader) -> float:
    """By how much a row says that the chosen answer is to be ahead; 0 where it does not. Raises RowError."""
    value = reader.value_of(pair.row, MARGIN)
    if value is None:
        return 0.0
    try:
        if isinstance(value, bool):
            raise RowError(f"{MARGIN!r} is {value}, not a number")
        margin = number(value, MARGIN)
        if margin and not pair.alone:
            raise RowError(
                f"{MARGIN!r} is that of one pair, and its row is in several: use --ignore {MARGIN}"
            )
        if margin and pair.tie:
            raise RowError(
                f"{MARGIN!r} stands beside a tie, in which no answer is ahead: use --ignore {MARGIN}"
            )
    except RowError as error:
        raise error.at(*pair.place) from None
    return margin


def said_of(pairs: Sequence[Pair]) -> str:
    """How many pairs there are, with the ties and margins among them."""
    parts = []
    if tied := sum(pair.tie for pair in pairs):
        parts.append(f"{tied:,} ties")
    if margins := [pair.margin for pair in pairs if pair.margin]:
        below = sum(margin < 0 for margin in margins)
        parts.append(f"{len(margins):,} with a margin" + (f", {below:,} of them below 0" if below else ""))
    return f"{len(pairs):,} pairs" + (f" ({', '.join(parts)})" if parts else "")


def _source(row: Mapping[str, Any], path: str | Path) -> str:
    if row.get("source") is None and "answers" in row:
        return f"corpus/{row.get('category', 'other')}"
    return str(row.get("source") or Path(path).stem)
