"""What part of a reward, or of a margin, comes from which group of features: exact sums, nothing estimated.

A reward is sum_i w_i z_i [SARM, scoring head], so sums over the cells of a partition of the features add up to
it. For that every feature must count once: `Partition` puts a feature that several groups name into the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sarm_core.errors import SarmError
from sarm_core.features import FeatureMatrix

__all__ = ["Partition", "Shares", "margin_shares", "reward_shares", "reward_table"]

Ids = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]

NEAR_ZERO = 0.02
"""A total below this part of the sum of |contributions| is what is left of a cancellation: no base for per cent."""


@dataclass(frozen=True)
class Partition:
    """Every feature in one cell: `of` [M] is the number of its group, G (the last cell) where no group names it."""

    names: tuple[str, ...]
    """G names, in order; the last cell has none of its own."""
    of: Ids
    shared: tuple[int, ...] = ()
    """Features that more than one group names: they count in the first of them."""

    @classmethod
    def of_groups(cls, groups: Mapping[str, Sequence[int]], n_features: int) -> Partition:
        """Groups by name, the first winning. Raises SarmError for a feature the dictionary does not have."""
        of = np.full(n_features, len(groups), dtype=np.int64)
        shared: set[int] = set()
        for number, members in enumerate(groups.values()):
            for feature in dict.fromkeys(int(i) for i in members):
                if not 0 <= feature < n_features:
                    raise SarmError(
                        f"feature {feature} does not exist: this model has features 0 to {n_features - 1}"
                    )
                if of[feature] == len(groups):
                    of[feature] = number
                else:
                    shared.add(feature)
        return cls(tuple(groups), of, tuple(sorted(shared)))

    @property
    def n_cells(self) -> int:
        """G + 1."""
        return len(self.names) + 1


@dataclass(frozen=True)
class Shares:
    """A total (reward or margin) taken apart by cell; arrays [G + 1], the last for what no group names.

    `signed` sums the contributions of a cell (they add up to `total`), `absolute` their absolute values,
    `n_features` counts the features that contribute at all.
    """

    signed: Numbers
    absolute: Numbers
    n_features: Ids
    total: float
    """The reward or the margin as it is shown: from float32 rewards, not from these sums."""

    @property
    def error(self) -> float:
        """|sum of the cells - total|: rounding only."""
        return abs(float(self.signed.sum()) - self.total)

    @property
    def of_absolute(self) -> Numbers:
        """Part of each cell in the sum of all |contributions|, 0 to 1, [G + 1]; all 0 where nothing contributes."""
        whole = float(self.absolute.sum())
        return self.absolute / whole if whole > 0 else np.zeros_like(self.absolute)

    @property
    def caveat(self) -> str:
        """Why a percentage of the total would mislead; "" where none does."""
        whole, total = float(self.absolute.sum()), float(self.signed.sum())
        if abs(total) <= NEAR_ZERO * whole:
            return "the total is near zero beside what adds up to it, so no percentage of it means anything"
        if np.any(self.signed * np.sign(total) < 0):
            return "groups pull both ways, so percentages of the total would pass 100 % on one side"
        return ""

    @property
    def of_total(self) -> Numbers | None:
        """Part of each cell in the total, [G + 1], 0 to 1; None where `caveat` says why there is none."""
        return None if self.caveat else self.signed / float(self.signed.sum())


def reward_shares(matrix: FeatureMatrix, row: int, partition: Partition) -> Shares:
    """The reward of one answer by cell; offsets of a steering count in their feature's cell."""
    _fits(matrix, partition)
    ids, contributions = matrix.contributions(row)
    return _shares(ids, contributions, partition, float(matrix.rewards[row]))


def margin_shares(matrix: FeatureMatrix, left: int, right: int, partition: Partition) -> Shares:
    """The margin r_left - r_right by cell: contributions are w_i (z_left - z_right)."""
    _fits(matrix, partition)
    ids, difference = matrix.difference(left, right)
    rewards = matrix.rewards
    return _shares(ids, difference, partition, float(rewards[left]) - float(rewards[right]))


def reward_table(matrix: FeatureMatrix, partition: Partition) -> Numbers:
    """Signed sums of every answer by cell, float64 [n, G + 1]; rows sum to the rewards."""
    _fits(matrix, partition)
    cells = partition.of[matrix.csr.indices]
    rows = np.repeat(np.arange(len(matrix)), np.diff(matrix.csr.indptr))
    products = matrix.csr.data.astype(np.float64) * matrix.head.astype(np.float64)[matrix.csr.indices]
    n = partition.n_cells
    table = np.bincount(rows * n + cells, weights=products, minlength=len(matrix) * n).reshape(-1, n)
    constant = matrix.head[matrix.offset_ids].astype(np.float64) * matrix.offset_values
    return np.asarray(
        table + np.bincount(partition.of[matrix.offset_ids], weights=constant, minlength=n), dtype=np.float64
    )


def _shares(ids: Ids, values: Numbers, partition: Partition, total: float) -> Shares:
    cells, n = partition.of[ids], partition.n_cells
    return Shares(
        np.bincount(cells, weights=values, minlength=n).astype(np.float64),
        np.bincount(cells, weights=np.abs(values), minlength=n).astype(np.float64),
        np.bincount(cells[values != 0], minlength=n).astype(np.int64),
        total,
    )


def _fits(matrix: FeatureMatrix, partition: Partition) -> None:
    if partition.of.size != matrix.n_features:
        raise SarmError(
            f"the groups are of a dictionary of {partition.of.size} features, the answers of {matrix.n_features}"
        )
