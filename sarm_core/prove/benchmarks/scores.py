"""Scores as means over items and weighted sums of such means, so that all of them can be resampled.

Every benchmark here is a tree: a leaf is a mean over items, a composite a fixed linear combination of
leaves or other composites. A bootstrap redraws prompts and evaluates the same tree.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

    from sarm_core.prove.benchmarks.benchmark import Benchmark

__all__ = ["Composite", "Decisions", "Grid", "Item", "ItemAnswer", "Leaf", "Result", "json_number", "mean_of"]

Floats = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]


class ItemAnswer(NamedTuple):
    """An answer of an item: its place among the benchmark's conversations, what it is called, whether it is right."""

    number: int
    name: str
    right: bool


@dataclass(frozen=True)
class Item:
    """One row of a benchmark; its answers, right ones first."""

    id: str
    subset: str
    prompt: str
    source: str
    row: int
    answers: tuple[ItemAnswer, ...] = ()
    weight: float = 1.0


@dataclass(frozen=True)
class Grid:
    """Scores that belong in a table: `name` is the score of a row and a column ("{row}>{column}")."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    name: str
    row_title: str
    column_title: str
    caption: str

    def score(self, row: str, column: str) -> str:
        """The name of the score in a cell."""
        return self.name.format(row=row, column=column)


@dataclass(frozen=True)
class Leaf:
    """The mean of `values` [n]; `prompts` [n] numbers the prompts of `stratum`, redrawn as one.

    With `weights` [n] a weighted mean.
    """

    name: str
    stratum: str
    values: Floats
    prompts: Ids
    weights: Floats | None = None

    @property
    def value(self) -> float:
        return float(np.average(self.values, weights=self.weights)) if self.values.size else math.nan


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
        import pandas as pd  # half a second, which the command line's help need not wait for

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
