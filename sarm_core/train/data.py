"""Training files as texts and pairs, split by prompt into train, validation and test.

Rows of every shape of `text.shapes`; every two answers of one prompt that differ in grade or rank make a pair.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sarm_core.errors import RowError
from sarm_core.text.answers import Reader
from sarm_core.text.rows import Conversation, Place
from sarm_core.text.text_files import is_text_file, read_text

__all__ = ["TENTHS", "Pair", "Parts", "Split", "Text", "prompt_key", "read_pairs", "read_texts", "split_of"]

Split = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Text:
    """One conversation to learn features from."""

    conversation: Conversation
    source: str
    split: Split


@dataclass(frozen=True)
class Pair:
    """A preference: `chosen` is better than `rejected`. `weight` is its share in the loss."""

    chosen: Conversation
    rejected: Conversation
    source: str
    split: Split
    weight: float = 1.0
    place: Place | None = None
    """File and row"""


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
    for number, row in reader.rows(path):
        try:
            answers = reader.answers(row).answers
        except RowError as error:
            raise error.at(path, number) from None
        for answer in answers:
            conversation = answer.conversation
            yield Text(conversation, _source(row, path), split_of(conversation, parts))


def read_pairs(path: str | Path, reader: Reader | None = None, parts: Parts = TENTHS) -> Iterator[Pair]:
    """Preference pairs of a file; those of one prompt that its row grades or ranks share a weight of one.

    Raises RowError.
    """
    for pair in (reader or Reader()).pairs(path):
        split = split_of(pair.chosen, parts)
        yield Pair(pair.chosen, pair.rejected, _source(pair.row, path), split, pair.weight, pair.place)


def _source(row: Mapping[str, Any], path: str | Path) -> str:
    if row.get("source") is None and "answers" in row:
        return f"corpus/{row.get('category', 'other')}"
    return str(row.get("source") or Path(path).stem)
