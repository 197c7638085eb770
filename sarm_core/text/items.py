"""Items of a data set: each prompt with its answers and what is said of their order, whatever rows they stand in.

A row of several answers is an item; rows of one answer are an item with the others of their prompt.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from sarm_core.errors import RowError, SarmError
from sarm_core.text.answers import Reader
from sarm_core.text.rows import SUBSET_KEYS, Conversation, identity_of, prompt_of, subset_of
from sarm_core.text.shapes import RowAnswer, RowAnswers
from sarm_core.text.shapes.base import all_pairs

__all__ = ["FileItems", "Item", "ItemAnswers", "answers_of", "read_items"]

MOST_COLUMNS = 20
LONGEST_VALUE = 200
"""Characters: what is longer is a text, not a value to sort by"""
NumberedRow = tuple[int, int, Mapping[str, Any]]
"""Number of the file, row number, row"""


@dataclass(frozen=True)
class ItemAnswers:
    """The answers to one prompt, and which of them are called better: pairs (better, worse) of their numbers."""

    answers: tuple[RowAnswer, ...]
    pairs: tuple[tuple[int, int], ...]

    @property
    def conversations(self) -> list[Conversation]:
        """What the model scores."""
        return [answer.conversation for answer in self.answers]


@dataclass(frozen=True)
class Item:
    """One prompt of a data set (the fields are those of `feature_db.datasets.datasets.ItemRecord`)."""

    id: str
    prompt: str
    unit: int
    answers: int
    labels: int
    length: int
    longer: float | None
    subset: str
    own: Mapping[str, str | int | float] = field(default_factory=dict)
    rows: Sequence[NumberedRow] = ()


def answers_of(rows: Sequence[Mapping[str, Any]], reader: Reader) -> ItemAnswers:
    """The answers of an item, from the row or the rows that it was read from. Raises RowError."""
    return _together([(reader.answers(row, preferences=True), row) for row in rows])


def read_items(paths: Iterable[str | Path], reader: Reader, columns: list[str]) -> Iterator[Item]:
    """Every item of the files: rows of several answers as they come, then those of one answer by their prompts.

    `columns` grows by the columns of one's own (texts up to 200 characters, numbers, true and false that are no part of
    the conversation; 20 at most). Memory: the rows of one answer. Raises RowError naming file and row.
    """
    single: dict[Hashable, list[tuple[NumberedRow, RowAnswers]]] = {}
    for number, path in enumerate(paths):
        for row_number, row in reader.rows(path):
            try:
                found = reader.answers(row, preferences=True)
                _check_texts(found)
            except RowError as error:
                raise error.at(path, row_number) from None
            place = (number, row_number, row)
            if len(found.answers) > 1:
                yield _item([(place, found)], reader, columns)
            else:
                single.setdefault(prompt_of(found.answers[0].conversation)[0], []).append((place, found))
    for group in single.values():
        yield _item(group, reader, columns)


class FileItems:
    """Files as a data set: iterating gives their items, after which `columns` (see `read_items`) and `said` are known.

    `names` are those that people know the files by. Raises RowError, as reading does, SarmError.
    """

    def __init__(self, paths: Sequence[str | Path], names: Sequence[str], reader: Reader):
        self.paths, self.names, self.reader = [Path(path) for path in paths], list(names), reader
        self.columns: list[str] = []

    def __iter__(self) -> Iterator[Item]:
        return read_items(self.paths, self.reader, self.columns)

    @cached_property
    def files(self) -> list[dict[str, Any]]:
        """Name, sha256 and bytes of each."""
        found = []
        for path, name in zip(self.paths, self.names, strict=True):
            try:
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                found.append({"name": name, "sha256": digest, "bytes": path.stat().st_size})
            except OSError as error:
                raise SarmError(f"{path}: cannot be read ({error.strerror or error})") from None
        return found

    @property
    def hash(self) -> str:
        """sha256 (hex) of what the files hold, in any order, and of how they are read: equal for the same data set."""
        digests = sorted(file["sha256"] for file in self.files)
        return hashlib.sha256(
            json.dumps([digests, self.reader.choices()], sort_keys=True).encode()
        ).hexdigest()

    def said(self) -> Iterator[str]:
        """As what rows were read, a line each; begun before everything is read, it still tells all."""
        yield from self.reader.said()


def _check_texts(found: RowAnswers) -> None:
    for answer in found.answers:
        if not answer.conversation.messages:
            raise RowError(
                "token ids have no text to show: a data set needs prompt and answers as texts or messages"
            )
        if len(answer.conversation.messages) == 1:
            raise RowError("a text without a prompt is no item of a data set: give the prompt it answers")


def _together(found: Sequence[tuple[RowAnswers, Mapping[str, Any]]]) -> ItemAnswers:
    if len(found) == 1:
        answers = found[0][0]
        return ItemAnswers(answers.answers, tuple((pair.better, pair.worse) for pair in answers.pairs))
    grades: dict[Conversation, list[float]] = {}
    first: dict[Conversation, RowAnswer] = {}
    for answers, row in found:
        (answer,) = answers.answers
        name = answer.name or str(row.get("note") or row.get("model") or "")[:60]
        if not name and answers.good is not None:
            name = "labelled good" if answers.good else "labelled bad"
        first.setdefault(answer.conversation, answer._replace(name=name))
        if answer.grade is not None:
            grades.setdefault(answer.conversation, []).append(answer.grade)
    means = [sum(grades[c]) / len(grades[c]) if c in grades else None for c in first]
    pairs, _ = all_pairs(means)
    return ItemAnswers(tuple(first.values()), tuple((pair.better, pair.worse) for pair in pairs))


def _item(group: Sequence[tuple[NumberedRow, RowAnswers]], reader: Reader, columns: list[str]) -> Item:
    (_, row_number, row), _ = group[0]
    of = _together([(found, row) for (_, _, row), found in group])
    lengths = [len(c.answer or "") for c in of.conversations]
    key, prompt = prompt_of(of.conversations[0])
    return Item(
        id=identity_of(row, row_number),
        prompt=prompt or of.conversations[0].messages[-2].content,  # type: ignore[index]
        unit=_unit(key),
        answers=len(of.answers),
        labels=len(of.pairs),
        length=round(sum(lengths) / len(lengths)),
        longer=sum(lengths[a] - lengths[b] for a, b in of.pairs) / len(of.pairs) if of.pairs else None,
        subset=subset_of(row),
        own=_own(row, reader, columns),
        rows=[place for place, _ in group],
    )


def _unit(key: Hashable) -> int:
    """64 bits of what precedes the answers."""
    return int.from_bytes(
        hashlib.blake2b(repr(key).encode("utf-8", "replace"), digest_size=8).digest(), "big", signed=True
    )


def _own(row: Mapping[str, Any], reader: Reader, columns: list[str]) -> dict[str, str | int | float]:
    found: dict[str, str | int | float] = {}
    for key in reader.beside_answers(row):
        value = row[key]
        if key in ("id", *SUBSET_KEYS) or value is None or value == "":
            continue
        if not isinstance(value, str | int | float) or (
            isinstance(value, str) and len(value) > LONGEST_VALUE
        ):
            continue
        if key not in columns:
            if len(columns) >= MOST_COLUMNS:
                continue
            columns.append(key)
        found[key] = ("true" if value else "false") if isinstance(value, bool) else value
    return found
