"""What a benchmark is: rows become items with named answers, and rewards of the answers become scores.

A new one is a file with a subclass, and its line in `registry`: it says how a row is read and how rewards are
counted, and everything else (command, page, report, places in errors, flipped items) follows from its items.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from sarm_core.errors import RowError, SarmError
from sarm_core.prove.benchmarks.scores import Grid, Ids, Item, ItemAnswer, Result
from sarm_core.text.answers import Reader
from sarm_core.text.row_files import OnError
from sarm_core.text.rows import Conversation, Place, identity_of, prompt_of

__all__ = ["Benchmark", "Entry", "NamedAnswer", "NumberedRow"]

NumberedRow = tuple[str, int, dict[str, Any]]
"""Source, row number, row"""


class NamedAnswer(NamedTuple):
    """An answer of a row: what it is called ("chosen", "right, plain") and whether it is a right one."""

    conversation: Conversation
    name: str
    right: bool


@dataclass(frozen=True)
class Entry:
    """What a benchmark reads in one row: the answers to one prompt, right ones first.

    `redrawn_with` is equal for rows that the bootstrap draws as one; None: those whose first answers follow the same
    turns. `remark` says what is odd about the row ("in 3 rows ..." is written before it).
    """

    answers: Sequence[NamedAnswer]
    subset: str = ""
    redrawn_with: Hashable = None
    remark: str = ""
    weight: float = 1.0
    """Of its item where a row makes several"""


@dataclass(frozen=True, eq=False)
class Benchmark(ABC):
    """Conversations to encode, in order and without repeats, and the way from their rewards to scores.

    `prompts` [items] numbers the prompts that are redrawn as one. `skipped` holds the rows that were left out,
    `n_repeated` counts rows that say the same as an earlier one, `remarks` says what else was odd in the files,
    `said` as what rows were read, and which of their keys were not used.
    """

    conversations: tuple[Conversation, ...]
    items: tuple[Item, ...]
    prompts: Ids
    skipped: tuple[RowError, ...] = ()
    n_repeated: int = 0
    remarks: tuple[str, ...] = ()
    said: tuple[str, ...] = ()

    kind: ClassVar[str]
    """What the command line and files call it"""
    title: ClassVar[str] = ""
    """What people call it"""
    hint: ClassVar[str] = ""
    """One sentence (Markdown) on its rows"""
    sample: ClassVar[Sequence[Mapping[str, Any]]] = ()
    """A few rows that show what it reads"""
    grid: ClassVar[Grid | None] = None
    """Scores that the report draws as a table of rows and columns"""

    # -- what a benchmark says -----------------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def read_row(cls, row: dict[str, Any], source: str) -> Entry:
        """One row; `source` is its file. Raises RowError for a row that is not one of this benchmark."""

    @abstractmethod
    def result(self, rewards: npt.ArrayLike) -> Result:
        """Scores of `rewards`, [len(conversations)], among them "total". Raises SarmError for another shape."""

    @classmethod
    def reader(cls) -> Callable[[dict[str, Any], str], Entry]:
        """Reads the rows of one benchmark in their order; for kinds whose rows must fit each other."""
        return cls.read_row

    @classmethod
    def headlines(cls, names: Iterable[str]) -> list[str]:
        """The scores that come first; cells under domains and subsets are left out."""
        return [name for name in names if "/" not in name and ">" not in name]

    @classmethod
    def trade_off(cls, headlines: Sequence[str]) -> tuple[str, str] | None:
        """Two scores that are drawn against each other when a person names none."""
        return None

    @classmethod
    def entries(
        cls, rows: Iterable[NumberedRow], reader: Reader, on_error: OnError | None
    ) -> Iterator[tuple[NumberedRow, Entry]]:
        """What the benchmark reads in the rows. A bad one is raised with its place, or handed to `on_error`."""
        read = cls.reader()
        for source, number, row in rows:
            try:
                entry = read(reader.in_context(row), source)
            except RowError as error:
                if on_error is None:
                    raise error.at(source, number) from None
                on_error(error.at(source, number))
                continue
            yield (source, number, row), entry

    # -- reading -------------------------------------------------------------------------------------------

    @classmethod
    def read(
        cls,
        paths: str | Path | Iterable[str | Path],
        *,
        skip_bad: bool = False,
        reader: Reader | None = None,
    ) -> Self:
        """One file or several as one benchmark.

        Rows that say the same are counted each, with a note. Raises RowError at the first bad row, SarmError for a
        file that is given twice. With `skip_bad` bad rows are left out and listed in `skipped`, and every result
        notes them; no usable row at all still raises.
        """
        files = [paths] if isinstance(paths, str | Path) else list(paths)
        if not files:
            raise SarmError("no benchmark file given")
        resolved = [Path(file).resolve() for file in files]
        twice = next((file for i, file in enumerate(files) if resolved[i] in resolved[:i]), None)
        if twice is not None:
            raise SarmError(f"{twice}: is given twice; its rows would count twice")
        skipped: list[RowError] | None = [] if skip_bad else None
        reader = reader or Reader()
        rows = [
            (str(file), number, row)
            for file in files
            for number, row in reader.rows(file, None if skipped is None else skipped.append)
        ]
        found = cls.from_rows(rows, skipped, reader)
        if not found.items and not found.skipped:
            raise SarmError(f"{files[0]}: no row states what is better: {'; '.join(reader.said())}")
        if not found.items:
            bad = found.skipped
            raise SarmError(f"{files[0]}: none of the {len(bad)} rows can be used, the first: {bad[0]}")
        return replace(found, n_repeated=len(rows) - len({_contents(row) for _, _, row in rows}))

    @classmethod
    def from_rows(
        cls,
        rows: Iterable[NumberedRow],
        skipped: list[RowError] | None = None,
        reader: Reader | None = None,
    ) -> Self:
        """From (source, row number, row). A bad row is raised with its place, or added to `skipped` where given."""
        number: dict[Conversation, int] = {}
        items: list[Item] = []
        keys: list[Hashable] = []
        remarks: Counter[str] = Counter()
        on_error = None if skipped is None else skipped.append
        reader = reader or Reader()
        for (source, row_number, row), entry in cls.entries(rows, reader, on_error):
            key, prompt = prompt_of(entry.answers[0].conversation)
            answers = tuple(
                ItemAnswer(number.setdefault(conversation, len(number)), name, right)
                for conversation, name, right in entry.answers
            )
            items.append(
                Item(
                    identity_of(row, row_number),
                    entry.subset,
                    prompt,
                    source,
                    row_number,
                    answers,
                    entry.weight,
                )
            )
            keys.append(key if entry.redrawn_with is None else entry.redrawn_with)
            if entry.remark:
                remarks[entry.remark] += 1
        return cls(
            tuple(number),
            tuple(items),
            numbered(keys),
            tuple(skipped or ()),
            remarks=tuple(f"in {n} rows {remark}" for remark, n in remarks.items()),
            said=tuple(reader.said()),
        )

    def under_names(self, names: Mapping[str, str]) -> Self:
        """With the names people know the files by: `names` maps sources to them."""
        return replace(
            self,
            items=tuple(replace(item, source=names.get(item.source, item.source)) for item in self.items),
            skipped=tuple(
                RowError(error.reason, source=names.get(str(error.source), error.source), row=error.row)
                for error in self.skipped
            ),
        )

    # -- what follows from the items -----------------------------------------------------------------------

    def answers_of(self, item: int) -> list[NamedAnswer]:
        """The answers of an item, right ones first, as the row names them."""
        return [NamedAnswer(self.conversations[a.number], a.name, a.right) for a in self.items[item].answers]

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """The file and row in which each conversation first appears."""
        found: dict[int, Place] = {}
        for item in self.items:
            for answer in item.answers:
                found.setdefault(answer.number, (item.source, item.row))
        return tuple(found[number] for number in range(len(self.conversations)))

    @cached_property
    def item_pairs(self) -> tuple[Ids, Ids, Ids]:
        """Every right against every wrong answer of each item: item, right, wrong, each int [pairs]."""
        found = [
            (number, right.number, wrong.number)
            for number, item in enumerate(self.items)
            for right in item.answers
            if right.right
            for wrong in item.answers
            if not wrong.right
        ]
        table = np.array(found, dtype=np.int64).reshape(-1, 3)
        return table[:, 0], table[:, 1], table[:, 2]

    @cached_property
    def pair_numbers(self) -> Ids:
        """Conversations of `item_pairs`, right and wrong, int [pairs, 2], each pair once."""
        _, right, wrong = self.item_pairs
        return np.unique(np.stack([right, wrong], axis=1), axis=0)

    def checked_rewards(self, rewards: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """As float64 [conversations]. Raises SarmError for another shape."""
        values = np.asarray(rewards, dtype=np.float64)
        n = len(self.conversations)
        if values.shape != (n,):
            raise SarmError(
                f"{values.shape} rewards for {n} conversations: score benchmark.conversations, in that order"
            )
        return values

    def notes_on(self, n_nan: int, n_tied: int, *, tie_rule: str) -> list[str]:
        """What every result says: decisions with NaN, exact ties and what they count, rows left out, odd rows."""
        notes = []
        if n_nan:
            notes.append(f"{n_nan} decisions touch a reward that is not a number; they count as lost")
        if n_tied:
            notes.append(f"{n_tied} decisions are exact ties; {tie_rule}")
        if self.skipped:
            notes.append(f"{len(self.skipped)} rows were skipped as bad, the first: {self.skipped[0]}")
        if self.n_repeated:
            notes.append(f"{self.n_repeated} rows say the same as an earlier one; each of them counts")
        return [*notes, *self.remarks]


def numbered(keys: Iterable[Hashable]) -> Ids:
    """Equal keys get equal numbers, counted from 0 in order of appearance."""
    number: dict[Hashable, int] = {}
    return np.array([number.setdefault(key, len(number)) for key in keys], dtype=np.int64)


def _contents(row: Mapping[str, Any]) -> bytes:
    """What a row says, whatever it is called."""
    said = {key: value for key, value in row.items() if key != "id"}
    return hashlib.blake2b(
        json.dumps(said, sort_keys=True).encode("utf-8", "replace"), digest_size=16
    ).digest()
