"""Training files as texts and pairs, split by prompt into train, validation and test.

Reads preference rows, single conversations, and this project's corpus rows (one prompt, several answers,
each with a `quality`; every two answers of different quality make a pair).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

from sarm_core.errors import RowError
from sarm_core.text.row_files import read_rows
from sarm_core.text.rows import Conversation, conversation_of, pair_of

__all__ = ["Pair", "Split", "Text", "prompt_key", "read_pairs", "read_texts", "split_of"]

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


def prompt_key(conversation: Conversation) -> str:
    """What two rows must share to stay in one part: the first user turn (or the first 32 token ids)."""
    for turn in conversation.messages or ():
        if turn.role == "user":
            return turn.content
    return str((conversation.input_ids or ())[:32])


def split_of(conversation: Conversation, salt: str = "sarm") -> Split:
    """A tenth of all prompts is the test part, a tenth the validation part; decided by a hash of the prompt,
    so a prompt is in one part in every file and every run."""
    digest = hashlib.sha256(f"{salt}:{prompt_key(conversation)}".encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    if share < 0.1:
        return "test"
    return "validation" if share < 0.2 else "train"


def read_texts(path: str | Path) -> Iterator[Text]:
    """Every distinct conversation in a file, both sides of a pair included. Raises RowError."""
    for number, row in read_rows(path):
        try:
            source = str(row.get("source", Path(path).stem))
            for conversation in _conversations(row):
                yield Text(conversation, source, split_of(conversation))
        except RowError as error:
            raise error.at(path, number) from None


def read_pairs(path: str | Path) -> Iterator[Pair]:
    """Preference pairs of a file. Pairs of one corpus prompt share a total weight of 4. Raises RowError."""
    for number, row in read_rows(path):
        try:
            if "answers" in row:
                yield from _corpus_pairs(row)
            else:
                chosen, rejected = pair_of(row)
                source = str(row.get("source", Path(path).stem))
                yield Pair(chosen, rejected, source, split_of(chosen))
        except RowError as error:
            raise error.at(path, number) from None


def _answers(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    answers = row["answers"]
    if not isinstance(answers, list) or not all(isinstance(answer, dict) for answer in answers):
        raise RowError("'answers' must be a list of objects with text and quality")
    return answers


def _conversations(row: Mapping[str, Any]) -> list[Conversation]:
    if "answers" in row:
        return [_answer(row, answer) for answer in _answers(row)]
    if "chosen" in row:
        return list(pair_of(row))
    if "messages" in row and "response" in row:
        return [conversation_of({"prompt": row["messages"], "response": row["response"]})]
    return [conversation_of(row)]


def _answer(row: Mapping[str, Any], answer: Mapping[str, Any]) -> Conversation:
    return conversation_of({"prompt": row.get("prompt"), "response": answer.get("text")})


def _corpus_pairs(row: Mapping[str, Any]) -> Iterator[Pair]:
    ranked = []
    for answer in _answers(row):
        if type(answer.get("quality")) not in (int, float):
            raise RowError(f"an answer's quality is {answer.get('quality')!r}, not a number")
        ranked.append((answer["quality"], _answer(row, answer)))
    pairs = [
        (a, b) if quality_a > quality_b else (b, a)
        for (quality_a, a), (quality_b, b) in combinations(ranked, 2)
        if quality_a != quality_b
    ]
    source = f"corpus/{row.get('category', 'other')}"
    for chosen, rejected in pairs:
        yield Pair(chosen, rejected, source, split_of(chosen), weight=min(1.0, 4 / len(pairs)))
