"""Plain preference pairs: the share in which the chosen answer scores strictly higher."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from sarm_core.prove.benchmarks.benchmark import Benchmark, Entry, NamedAnswer, NumberedRow
from sarm_core.prove.benchmarks.scores import Decisions, Ids, Leaf, Result
from sarm_core.text.answers import Reader, pair_of
from sarm_core.text.row_files import OnError
from sarm_core.text.rows import Conversation, subset_of

__all__ = ["Pairs"]


class Pairs(Benchmark):
    """Pairs with an optional subset each (`subset`, `domain` or `source` of the row)."""

    kind = "pairs"
    title = "preference pairs"
    hint = "Rows of `prompt` + `chosen` + `rejected`, with an optional `subset`, `domain` or `source`."
    sample = (
        {
            "prompt": "Is ice less dense than water?",
            "chosen": "Yes, so it floats.",
            "rejected": "No.",
            "subset": "facts",
        },
        {"prompt": "What is 7 x 8?", "chosen": "56", "rejected": "54", "subset": "sums"},
    )

    @classmethod
    def read_row(cls, row: dict[str, Any], source: str) -> Entry:
        """A row that states one preference (see `pair_of`)."""
        return _entry(*pair_of(row), row)

    @classmethod
    def entries(
        cls, rows: Iterable[NumberedRow], reader: Reader, on_error: OnError | None
    ) -> Iterator[tuple[NumberedRow, Entry]]:
        """Every preference that the rows state: one row may state several, several rows one (see `Reader.pairs_of`)."""
        for pair in reader.pairs_of(rows, on_error):
            yield (*pair.place, dict(pair.row)), _entry(pair.chosen, pair.rejected, pair.row, pair.weight)

    @classmethod
    def headlines(cls, names: Iterable[str]) -> list[str]:
        """All scores: subsets may be called anything, and have no cells under them."""
        return list(names)

    @classmethod
    def trade_off(cls, headlines: Sequence[str]) -> tuple[str, str] | None:
        """Two subsets, where there are two."""
        others = [name for name in headlines if name != "total"]
        return (others[0], others[1]) if len(others) == 2 else None

    @cached_property
    def chosen(self) -> Ids:
        """The chosen conversation of each pair, int [items]."""
        return np.array([item.answers[0].number for item in self.items], dtype=np.int64)

    @cached_property
    def weights(self) -> npt.NDArray[np.float64] | None:
        """Of each pair; those that one prompt states together weigh one. None: all alike."""
        weights = np.array([item.weight for item in self.items], dtype=np.float64)
        return None if (weights == 1).all() else weights

    @cached_property
    def rejected(self) -> Ids:
        """The rejected conversation of each pair, int [items]."""
        return np.array([item.answers[1].number for item in self.items], dtype=np.int64)

    def result(self, rewards: npt.ArrayLike) -> Result:
        """Weighted accuracy in all ("total") and per subset; a tie is not a win, NaN loses. Prompts are resampled."""
        values = self.checked_rewards(rewards)
        right, wrong = values[self.chosen], values[self.rejected]
        credit = (right > wrong).astype(np.float64)
        tied = right == wrong
        with np.errstate(invalid="ignore"):
            margin = np.where(tied, 0.0, right - wrong)
        nan = np.isnan(right) | np.isnan(wrong)
        subsets = np.array([item.subset for item in self.items])
        named = sorted({item.subset for item in self.items if item.subset})
        weights = self.weights
        leaves = [Leaf("total", "pairs", credit, self.prompts, weights)]
        notes = self.notes_on(int(nan.sum()), int(tied.sum()), tie_rule="a tie is not a win")
        for name in named:
            inside = subsets == name
            score = _subset_score(name, named)
            if score != name:
                notes.append(f'the subset that is called "total" is listed as "{score}"')
            share = None if weights is None else weights[inside]
            leaves.append(Leaf(score, "pairs", credit[inside], self.prompts[inside], share))
        n = len(self.items)
        return Result(
            benchmark=self,
            leaves=tuple(leaves),
            composites=(),
            decisions=Decisions(
                np.arange(n), np.full(n, "chosen > rejected"), self.chosen, self.rejected, margin, credit
            ),
            n_nan=int(nan.sum()),
            n_tied=int(tied.sum()),
            notes=tuple(notes),
        )


def _entry(
    chosen: Conversation, rejected: Conversation, row: Mapping[str, Any], weight: float = 1.0
) -> Entry:
    answers = (NamedAnswer(chosen, "chosen", True), NamedAnswer(rejected, "rejected", False))
    return Entry(answers, subset_of(row), weight=weight)


def _subset_score(name: str, named: Sequence[str]) -> str:
    """A subset that calls itself "total" must take neither the total's place nor that of another subset."""
    if name != "total":
        return name
    score = "subset total"
    while score in named:
        score = f"subset {score}"
    return score
