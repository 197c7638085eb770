"""Data sets in the store of the model: brought once, opened item by item, handed to other pages as a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePath
from typing import Any

from app.datasets.address import from_address, in_words, to_address
from app.datasets.scoring import score_kept
from app.draw.files import uploaded
from app.session.comparison import MAX_ANSWERS, Answer, Comparison
from app.session.engine import Engine
from feature_db import StoreError
from feature_db.datasets.datasets import DataSet, DataSets, ItemRecord
from feature_db.datasets.items import Items
from feature_db.datasets.slices import Slice
from sarm_core.demo import CORPUS
from sarm_core.errors import SarmError
from sarm_core.text.answers import Reader
from sarm_core.text.items import FileItems, ItemAnswers, answers_of
from sarm_core.text.row_files import COMPRESSED_ENDINGS, ROW_ENDINGS, count_rows

__all__ = [
    "CORPUS_NAME",
    "Chosen",
    "Opened",
    "data_set_named",
    "is_corpus",
    "keep",
    "keep_corpus",
    "open_item",
]

CORPUS_NAME = "The project's corpus"
EVERY = 500
"""Items between two reports of progress"""


def keep(
    engine: Engine,
    name: str,
    files: Sequence[tuple[str, bytes]],
    reader: Reader,
    by: str,
    progress: Callable[[int, int], object] | None = None,
) -> tuple[DataSet, bool]:
    """Keep uploaded files as one data set: (it, whether it is new). The same content read alike is the same data set.

    `progress` is told how many items were read, of about how many rows. Raises RowError naming the upload, SarmError,
    StoreError.
    """
    with uploaded(*files) as paths, engine.store() as store:
        of = FileItems(paths, [name for name, _ in files], reader)
        total = sum(count_rows(path) for path in paths) if progress is not None else 0

        def items() -> Iterator[ItemRecord]:
            for number, item in enumerate(of):
                if progress is not None and number % EVERY == 0:
                    progress(number, total)
                yield ItemRecord(**vars(item))

        return DataSets(store).add(
            name,
            of.hash,
            items(),
            columns=of.columns,
            reading=reader.choices(),
            said=of.said(),
            files=of.files,
            by=by,
        )


@lru_cache(maxsize=1)
def _corpus() -> tuple[bytes, str]:
    return CORPUS.read_bytes(), FileItems([CORPUS], [CORPUS.name], Reader()).hash


def is_corpus(of: DataSet) -> bool:
    """Whether it is the one that comes with this tool."""
    return of.hash == _corpus()[1]


def keep_corpus(engine: Engine) -> None:
    """The project's corpus is a data set from the start, scored where it comes encoded. Raises StoreError."""
    data, hash = _corpus()
    with engine.store() as store:
        if (
            store.looks_only
            or DataSets(store).with_hash(hash) is not None
            or not DataSets(store).may_keep("")
        ):
            return
    kept, _ = keep(engine, CORPUS_NAME, [(CORPUS.name, data)], Reader(), "")
    score_kept(engine, kept.address)


@dataclass(frozen=True)
class Opened:
    """An item for *Compare*: its answers, and the places of a better and a worse one where the labels say so."""

    comparison: Comparison
    better: int | None = None
    worse: int | None = None


def open_item(items: Items, number: int) -> Opened:
    """One item with its answers. Raises StoreError, RowError, and SarmError for more answers than a page compares."""
    of = items.item(number)
    found = answers_of([row.body for row in items.rows_of(number)], Reader.of(items.of.reading))
    places: dict[tuple[str, str], int] = {}
    answers: list[Answer] = []
    at = []
    for answer in found.answers:
        last = answer.conversation.messages[-1]  # type: ignore[index]
        if (last.content, last.extra) not in places:
            places[last.content, last.extra] = len(answers)
            grade = f"graded {answer.grade:g}" if answer.grade is not None else ""
            answers.append(Answer(last.content, answer.name or grade, last.extra))
        at.append(places[last.content, last.extra])
    if len(answers) > MAX_ANSWERS:
        raise SarmError(
            f"{items.of.name}, prompt {number + 1}: has {len(answers)} answers, and a page compares {MAX_ANSWERS}"
        )
    first = found.answers[0].conversation
    made = Comparison(
        first.messages[:-1],  # type: ignore[index]
        tuple(answers),
        f"{items.of.name}, prompt {of.number + 1}",
        left_out=(0, len(found.answers) - len(answers)),
        tools=first.tools,
    )
    better, worse = _ends(found)
    return Opened(made, *(None if side is None else at[side] for side in (better, worse)))


def _ends(found: ItemAnswers) -> tuple[int | None, int | None]:
    """The answer that most orders put first, and the one that most put last."""
    if not found.pairs:
        return None, None
    lead = [0] * len(found.answers)
    for better, worse in found.pairs:
        lead[better] += 1
        lead[worse] -= 1
    return max(range(len(lead)), key=lead.__getitem__), min(range(len(lead)), key=lead.__getitem__)


@dataclass(frozen=True)
class Chosen:
    """A data set, or a slice of one, that a page is to work on."""

    data_set: DataSet
    slice: Slice
    n_items: int

    @property
    def title(self) -> str:
        """What people call it."""
        if self.slice.is_all:
            return self.data_set.name
        return f"{self.data_set.name}, {self.n_items:,} of {self.data_set.n_items:,} prompts"

    @property
    def words(self) -> str:
        """As Markdown, with what is asked for."""
        return in_words(self.slice)

    @property
    def recipe(self) -> dict[str, Any]:
        """How a run names it (see `data_set_named`)."""
        return {
            "source": "data set",
            "d": self.data_set.address,
            "slice": to_address(self.slice),
            "called": self.title,
        }

    @property
    def reader(self) -> Reader:
        """Reads its rows as they were read when it was kept; a new one each time, as it counts."""
        return Reader.of(self.data_set.reading)

    def file(self, engine: Engine) -> tuple[str, bytes]:
        """Name and content of its rows as JSON lines, in the order of the data set. Raises StoreError."""
        with engine.store() as store:
            items = Items(store, self.data_set.address)
            lines = [json.dumps(row.body, ensure_ascii=False) + "\n" for row in items.rows(self.slice)]
        if not lines:
            raise StoreError(f"{self.title}: no prompt is left, so there is nothing to work on")
        return _file_name(self), "".join(lines).encode("utf-8", "replace")


def data_set_named(engine: Engine, address: str, part: Mapping[str, str]) -> Chosen:
    """A data set by its address, and the slice that `part` (see `address.to_address`) asks for. Raises StoreError."""
    of = from_address(part)
    with engine.store() as store:
        items = Items(store, address)
        return Chosen(items.of, of, items.count(of))


def _file_name(of: Chosen) -> str:
    stem = PurePath(of.data_set.name).name
    for ending in (*COMPRESSED_ENDINGS, *ROW_ENDINGS):
        stem = stem.removesuffix(ending)
    part = "" if of.slice.is_all else f" ({of.n_items} of {of.data_set.n_items})"
    return f"{stem or 'data set'}{part}.jsonl"
