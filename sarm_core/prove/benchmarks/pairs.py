"""Plain preference pairs: the share in which the chosen answer scores strictly higher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sarm_core.errors import RowError
from sarm_core.prove.benchmarks.reading import NumberedRow, usable
from sarm_core.prove.benchmarks.scores import (
    ConversationList,
    Decisions,
    Ids,
    Item,
    Leaf,
    Result,
    checked_rewards,
    counted_notes,
    identity,
    numbered,
)
from sarm_core.text.answers import pair_of
from sarm_core.text.rows import Conversation, prompt_of

__all__ = ["Pairs"]

SUBSET_KEYS = ("subset", "domain", "source")


@dataclass(frozen=True)
class Pairs:
    """Pairs with an optional subset each (`subset`, `domain` or `source` of the row)."""

    conversations: tuple[Conversation, ...]
    items: tuple[Item, ...]
    chosen: Ids
    rejected: Ids
    prompts: Ids
    skipped: tuple[RowError, ...] = ()
    n_repeated: int = 0
    kind: str = "pairs"

    @classmethod
    def from_rows(cls, rows: Sequence[NumberedRow], skipped: list[RowError], skip: bool) -> Pairs:
        """From (source, row number, row). With `skip` bad rows are added to `skipped` instead of raised."""
        collected, items, pairs, keys = ConversationList(), [], [], []
        for (source, number, row), (chosen, rejected) in usable(
            rows, lambda row, _: pair_of(row), skipped, skip
        ):
            key, prompt = prompt_of(chosen)
            subset = next((str(row[name])[:200] for name in SUBSET_KEYS if row.get(name) is not None), "")
            items.append(Item(identity(row, number), subset, prompt, source, number))
            pairs.append((collected.add(chosen), collected.add(rejected)))
            keys.append(key)
        index = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        return cls(
            collected.conversations(),
            tuple(items),
            index[:, 0].copy(),
            index[:, 1].copy(),
            numbered(keys),
            tuple(skipped),
        )

    def result(self, rewards: npt.ArrayLike) -> Result:
        """Accuracy in all ("total") and per subset; a tie is not a win, NaN loses. Prompts are resampled."""
        values = checked_rewards(rewards, len(self.conversations))
        right, wrong = values[self.chosen], values[self.rejected]
        credit = (right > wrong).astype(np.float64)
        tied = right == wrong
        with np.errstate(invalid="ignore"):
            margin = np.where(tied, 0.0, right - wrong)
        nan = np.isnan(right) | np.isnan(wrong)
        subsets = np.array([item.subset for item in self.items])
        named = sorted({item.subset for item in self.items if item.subset})
        leaves = [Leaf("total", "pairs", credit, self.prompts)]
        notes = counted_notes(
            int(nan.sum()), int(tied.sum()), self.skipped, self.n_repeated, tie_rule="a tie is not a win"
        )
        for name in named:
            inside = subsets == name
            score = _subset_score(name, named)
            if score != name:
                notes.append(f'the subset that is called "total" is listed as "{score}"')
            leaves.append(Leaf(score, "pairs", credit[inside], self.prompts[inside]))
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


def _subset_score(name: str, named: Sequence[str]) -> str:
    """A subset that calls itself "total" must take neither the total's place nor that of another subset."""
    if name != "total":
        return name
    score = "subset total"
    while score in named:
        score = f"subset {score}"
    return score
