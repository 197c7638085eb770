"""Scores as means over items and weighted sums of such means, so that all of them can be resampled.

Every benchmark here is a tree: a leaf is a mean over items, a composite a fixed linear combination of
leaves or other composites. A bootstrap redraws prompts and evaluates the same tree.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from sarm_core.errors import RowError, SarmError
from sarm_core.text.rows import Conversation

__all__ = ["Benchmark", "Composite", "Decisions", "Item", "Leaf", "Result", "json_number", "mean_of"]

Floats = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Item:
    """One row of a benchmark."""

    id: str
    subset: str
    prompt: str
    source: str
    row: int


@dataclass(frozen=True)
class Leaf:
    """The mean of `values` [n]; `prompts` [n] numbers the prompts of `stratum`, redrawn as one."""

    name: str
    stratum: str
    values: Floats
    prompts: Ids

    @property
    def value(self) -> float:
        return float(self.values.mean()) if self.values.size else math.nan


@dataclass(frozen=True)
class Composite:
    """A fixed linear combination of scores named before it."""

    name: str
    parts: tuple[tuple[str, float], ...]
    n: int | None = None
    """Items under it where the parts share items; by default those of the parts add up."""


def mean_of(name: str, parts: Sequence[str]) -> Composite:
    """The plain mean of the scores `parts`."""
    return Composite(name, tuple((part, 1.0 / len(parts)) for part in parts))


@dataclass(frozen=True)
class Decisions:
    """What the benchmark decides by comparing rewards, [n] each; credit is what the scores count.

    `item` numbers the row, `case` names the comparison within it, `right` and `wrong` number the two
    conversations that decide it, `margin` = reward of right - reward of wrong (NaN where either is NaN).
    """

    item: Ids
    case: npt.NDArray[np.str_]
    right: Ids
    wrong: Ids
    margin: Floats
    credit: Floats

    def __len__(self) -> int:
        return int(self.item.size)


@dataclass(frozen=True)
class Result:
    """The scores of one vector of rewards.

    `scores` maps names to values in reading order, "total" first. What was not an ordinary comparison is
    counted: `n_nan` decisions touch a NaN reward and count as lost; `n_tied` decisions are exact ties.
    `missing` names subsets the benchmark defines that no row belongs to; `notes` says all this in words.
    """

    benchmark: Benchmark
    leaves: tuple[Leaf, ...]
    composites: tuple[Composite, ...]
    decisions: Decisions
    n_nan: int
    n_tied: int
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    scores: Mapping[str, float] = field(init=False)

    def __post_init__(self) -> None:
        values = self.combine({leaf.name: leaf.value for leaf in self.leaves})
        names = sorted(values, key=lambda name: (name != "total", "/" in name or ">" in name))
        object.__setattr__(self, "scores", {name: float(values[name]) for name in names})

    def combine(self, leaf_values: Mapping[str, Any]) -> dict[str, Any]:
        """All scores from the leaves', which may be numbers or arrays over resamples."""
        values = dict(leaf_values)
        for composite in self.composites:
            terms = [weight * values[part] for part, weight in composite.parts]
            values[composite.name] = sum(terms) if terms else math.nan
        return values

    @property
    def total(self) -> float:
        return self.scores["total"]

    def counts(self) -> dict[str, int]:
        """Number of items under each score."""
        found = {leaf.name: int(leaf.values.size) for leaf in self.leaves}
        for composite in self.composites:
            parts = sum(found[part] for part, _ in composite.parts)
            found[composite.name] = parts if composite.n is None else composite.n
        return found

    def prompts(self) -> dict[str, int]:
        """Different prompts under each score; under a combination, those of its part with the fewest."""
        found = {leaf.name: int(np.unique(leaf.prompts).size) for leaf in self.leaves}
        for composite in self.composites:
            found[composite.name] = min((found[part] for part, _ in composite.parts), default=0)
        return found

    def table(self) -> pd.DataFrame:
        """Columns `score`, `value`, `n` (values averaged: comparisons in RM-Bench, items elsewhere)."""
        counts = self.counts()
        return pd.DataFrame(
            [{"score": name, "value": value, "n": counts[name]} for name, value in self.scores.items()]
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON: undefined numbers become null."""
        return {
            "benchmark": self.benchmark.kind,
            "items": len(self.benchmark.items),
            "scores": {name: json_number(value) for name, value in self.scores.items()},
            "n": self.counts(),
            "prompts": self.prompts(),
            "decisions": len(self.decisions),
            "nan": self.n_nan,
            "tied": self.n_tied,
            "missing": list(self.missing),
            "skipped_rows": [str(error) for error in self.benchmark.skipped],
            "notes": list(self.notes),
        }


def json_number(value: float) -> float | None:
    """The number, or None where JSON has no word for it."""
    return float(value) if math.isfinite(value) else None


class Benchmark(Protocol):
    """Conversations to encode, in order and without repeats, and the way from their rewards to scores."""

    @property
    def kind(self) -> str: ...
    @property
    def conversations(self) -> tuple[Conversation, ...]: ...
    @property
    def items(self) -> tuple[Item, ...]: ...
    @property
    def skipped(self) -> tuple[RowError, ...]: ...

    def result(self, rewards: npt.ArrayLike) -> Result:
        """Scores of `rewards`, [len(conversations)]. Raises SarmError for another shape."""
        ...


class ConversationList:
    """Collects conversations, each once: an answer that appears in several comparisons is encoded once."""

    def __init__(self) -> None:
        self._number: dict[Conversation, int] = {}

    def add(self, conversation: Conversation) -> int:
        """Its position."""
        return self._number.setdefault(conversation, len(self._number))

    def conversations(self) -> tuple[Conversation, ...]:
        return tuple(self._number)


def numbered(keys: Iterable[Any]) -> Ids:
    """Equal keys get equal numbers, counted from 0 in order of appearance."""
    number: dict[Any, int] = {}
    return np.array([number.setdefault(key, len(number)) for key in keys], dtype=np.int64)


def checked_rewards(rewards: npt.ArrayLike, n: int) -> Floats:
    """As float64 [n]. Raises SarmError for another shape."""
    values = np.asarray(rewards, dtype=np.float64)
    if values.shape != (n,):
        raise SarmError(
            f"{values.shape} rewards for {n} conversations: score benchmark.conversations, in that order"
        )
    return values


def counted_notes(
    n_nan: int, n_tied: int, skipped: Sequence[RowError], n_repeated: int, *, tie_rule: str
) -> list[str]:
    """The notes every benchmark shares."""
    notes = []
    if n_nan:
        notes.append(f"{n_nan} decisions touch a reward that is not a number; they count as lost")
    if n_tied:
        notes.append(f"{n_tied} decisions are exact ties; {tie_rule}")
    if skipped:
        notes.append(f"{len(skipped)} rows were skipped as bad, the first: {skipped[0]}")
    if n_repeated:
        notes.append(f"{n_repeated} rows say the same as an earlier one; each of them counts")
    return notes


def identity(row: Mapping[str, Any], number: int) -> str:
    """The row's own id as text, or its number."""
    given = row.get("id")
    return str(given)[:200] if isinstance(given, str | int) and not isinstance(given, bool) else str(number)
