"""Answers as sparse feature vectors, and the exact arithmetic on them.

A `FeatureMatrix` is everything the interface needs after the language model has run: the sparse
activations z of n answers and the head w. Rewards, attributions and comparisons are sums over it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from sarm_core.errors import SarmError
from sarm_core.figures import plural, reward, signed
from sarm_core.notebook import BAR, bar, drawn, feature_cell

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Contributions", "Differences", "FeatureMatrix", "Parts", "reward_order", "separating_features"]

_DRAWN = 12
"""Features that a notebook shows; the sum of the others stands under them."""

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.floating]


def _no_ids() -> Ids:
    return np.zeros(0, dtype=np.int64)


def _no_values() -> npt.NDArray[np.float64]:
    return np.zeros(0, dtype=np.float64)


_BLOCK = 1 << 20
"""Activations that are worked on at once"""


def reward_order(left: npt.ArrayLike, right: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """1 where the reward on the left is higher, -1 where the right one is, 0 for a tie or a NaN.

    Everything that counts flips and ties asks here. Rewards are compared as they are given out, in float32: what
    differs only in the rounding of a sum is a tie, whichever page or command looks at it.
    """
    one, two = np.asarray(left, np.float32), np.asarray(right, np.float32)
    return (one > two).astype(np.int64) - (one < two)


@dataclass(frozen=True)
class Contributions:
    """What one answer's reward is made of: a row a feature, largest |contribution| first, ids ascending among equals.

    Columns, each [m]: `features` int64; `activations` z float64, without the offsets of a steering, so 0 where only an
    offset acts; `weights` w float64; `contributions` float64, w z and w times the offset. They sum to `reward`
    but for rounding to float32, which is `error`.
    """

    features: Ids
    activations: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64]
    contributions: npt.NDArray[np.float64]
    reward: float
    names: Mapping[int, str] = field(default_factory=dict, compare=False)

    def __len__(self) -> int:
        return len(self.features)

    @property
    def error(self) -> float:
        """|sum of the contributions - reward|."""
        return abs(float(self.contributions.sum()) - self.reward)

    def columns(self) -> dict[str, npt.NDArray]:
        """The columns under the names that files and frames give them: feature, activation, weight, contribution."""
        return {
            "feature": self.features,
            "activation": self.activations,
            "weight": self.weights,
            "contribution": self.contributions,
        }

    def rows(self, top: int | None = None) -> Iterator[dict[str, int | float]]:
        """The first `top` rows (all without it) as plain numbers, under the same names."""
        columns = {name: values[:top].tolist() for name, values in self.columns().items()}
        for values in zip(*columns.values(), strict=True):
            yield dict(zip(columns, values, strict=True))

    def frame(self) -> pd.DataFrame:
        """The columns as a pandas frame, with the features' names beside them where some are known."""
        return _frame(self.columns(), self.names)

    def _repr_html_(self) -> str:
        rows = zip(self.contributions, self.activations, self.weights, strict=True)
        return _drawn_features(
            f"Reward {reward(self.reward)}, feature by feature",
            ("contribution", "activation z", "weight w"),
            self.features,
            self.contributions,
            [(signed(value), reward(z), signed(w)) for value, z, w in rows],
            self.names,
        )


@dataclass(frozen=True)
class Differences:
    """What one answer's lead over another is made of: a row a feature active in either, largest |difference| first.

    Columns, each [m]: `features` int64; `left` and `right`, the two answers with their activations and contributions at
    these features; `weights` w float64; `differences` float64, w (z_left - z_right), in which offsets cancel. They
    sum to `margin` but for rounding to float32, which is `error`.
    """

    features: Ids
    left: Contributions
    right: Contributions
    weights: npt.NDArray[np.float64]
    differences: npt.NDArray[np.float64]
    margin: float
    names: Mapping[int, str] = field(default_factory=dict, compare=False)

    def __len__(self) -> int:
        return len(self.features)

    @property
    def error(self) -> float:
        """|sum of the differences - margin|."""
        return abs(float(self.differences.sum()) - self.margin)

    def columns(self) -> dict[str, npt.NDArray]:
        """feature, left, right, difference (contributions w z), z_left, z_right, weight."""
        return {
            "feature": self.features,
            "left": self.left.contributions,
            "right": self.right.contributions,
            "difference": self.differences,
            "z_left": self.left.activations,
            "z_right": self.right.activations,
            "weight": self.weights,
        }

    def frame(self) -> pd.DataFrame:
        """The columns as a pandas frame, with the features' names beside them where some are known."""
        return _frame(self.columns(), self.names)

    def _repr_html_(self) -> str:
        rows = zip(self.differences, self.left.contributions, self.right.contributions, strict=True)
        return _drawn_features(
            f"Margin {signed(self.margin)}, feature by feature",
            ("difference", "left", "right"),
            self.features,
            self.differences,
            [tuple(signed(value) for value in row) for row in rows],
            self.names,
        )


class Parts(tuple[Ids, npt.NDArray[np.float64]]):
    """(feature ids, values), to be unpacked as the pair it is; in a notebook it draws itself as its table.

    `table` is the same with everything beside it, the largest first; `frame()` gives that as a pandas frame.
    """

    _make: Callable[[], Contributions | Differences]

    @classmethod
    def of(
        cls, pair: tuple[Ids, npt.NDArray[np.float64]], make: Callable[[], Contributions | Differences]
    ) -> Parts:
        """The pair with what makes its table."""
        parts = cls(pair)
        parts._make = make
        return parts

    def __reduce__(self) -> tuple[Any, ...]:
        return tuple, (tuple(self),)  # elsewhere the plain pair is enough

    @cached_property
    def table(self) -> Contributions | Differences:
        """The same parts as columns."""
        return self._make()

    def frame(self) -> pd.DataFrame:
        """The table as a pandas frame."""
        return self.table.frame()

    def _repr_html_(self) -> str:
        return self.table._repr_html_()


@dataclass(frozen=True)
class FeatureMatrix:
    """Activations of n answers over a dictionary of M features, with the head that scores them.

    `csr` holds z, float32 [n, M]; a stored entry is an active feature, whatever its sign (TopK keeps the k
    largest signed values, so an active feature may be negative). `head` holds w, float32 [M].
    `offset_ids` / `offset_values` [p] are constants added to those features in EVERY answer (a steering
    with "+"); they shift all rewards alike and never change a difference.

    The reward is sum_i w_i z_i without a bias [SARM, scoring head], so w_i z_i attributes it completely.
    Products and sums are taken in float64 and rounded once, to float32.
    """

    csr: sparse.csr_matrix
    head: npt.NDArray[np.float32]
    offset_ids: Ids = field(default_factory=_no_ids)
    offset_values: npt.NDArray[np.float64] = field(default_factory=_no_values)

    def __post_init__(self) -> None:
        if self.csr.shape[1] != self.head.shape[0]:
            raise SarmError(
                f"activations have {self.csr.shape[1]} features but the head has {self.head.shape[0]}: "
                "they come from different models"
            )

    @classmethod
    def from_topk(
        cls,
        indices: npt.ArrayLike,
        values: npt.ArrayLike,
        head: npt.ArrayLike,
    ) -> FeatureMatrix:
        """From `indices` int [n, k] and `values` float [n, k]; rows are stored sorted by feature id."""
        ids = np.asarray(indices, dtype=np.int64)
        acts = np.asarray(values, dtype=np.float32)
        w = np.asarray(head, dtype=np.float32)
        n, k = ids.shape
        order = np.argsort(ids, axis=1, kind="stable")
        csr = sparse.csr_matrix(
            (
                np.take_along_axis(acts, order, 1).ravel(),
                np.take_along_axis(ids, order, 1).ravel(),
                np.arange(0, n * k + 1, k),
            ),
            shape=(n, w.shape[0]),
        )
        return cls(csr, w)

    @classmethod
    def concatenate(cls, parts: Sequence[FeatureMatrix]) -> FeatureMatrix:
        """Stack the answers of several matrices of one model. Raises SarmError when the heads differ."""
        if not parts:
            raise SarmError("nothing to concatenate: pass at least one FeatureMatrix")
        head = parts[0].head
        for part in parts:
            if part.head.shape != head.shape or not np.array_equal(part.head, head):
                raise SarmError("cannot stack answers scored by different heads")
            if part.offset_ids.size:
                raise SarmError("cannot stack steered matrices: stack first, then steer")
        csr = sparse.csr_matrix(sparse.vstack([part.csr for part in parts], format="csr"))
        return cls(csr, head)

    def __len__(self) -> int:
        return int(self.csr.shape[0])

    @property
    def n_features(self) -> int:
        """M, the width of the dictionary."""
        return int(self.csr.shape[1])

    @cached_property
    def columns(self) -> sparse.csc_matrix:
        """z by feature: CSC float32 [n, M]. Made once; a steering only touches the columns it names."""
        return self.csr.tocsc()

    @cached_property
    def carried(self) -> npt.NDArray[np.float64]:
        """How much reward each feature carries in an answer, mean |w_i z_i| over the answers, float64 [M]."""
        sums = np.zeros(self.n_features)
        for _, rows in self._blocks():
            sums += abs(rows).T @ np.ones(rows.shape[0])
        return sums * np.abs(self.head.astype(np.float64)) / max(len(self), 1)

    @cached_property
    def exact_rewards(self) -> npt.NDArray[np.float64]:
        """r = sum_i w_i z_i before rounding, float64 [n]."""
        head, sums = self.head.astype(np.float64), np.empty(len(self))
        for place, rows in self._blocks():
            sums[place] = rows @ head
        return sums + self.offset_reward

    def _blocks(self) -> Iterator[tuple[slice, sparse.csr_matrix]]:
        """Some rows at a time, without a copy: what is made of them fits a cache."""
        step = max(1, _BLOCK * len(self) // max(self.csr.nnz, 1))
        for start in range(0, len(self), step):
            begins = self.csr.indptr[start : start + step + 1]
            held = slice(int(begins[0]), int(begins[-1]))
            parts = (self.csr.data[held], self.csr.indices[held], begins - begins[0])
            shape = (len(begins) - 1, self.n_features)
            yield slice(start, start + shape[0]), sparse.csr_matrix(parts, shape=shape)

    @property
    def offset_reward(self) -> float:
        """The constant sum_i w_i v_i that offsets add to every answer."""
        return float(self.head[self.offset_ids].astype(np.float64) @ self.offset_values)

    @property
    def rewards(self) -> npt.NDArray[np.float32]:
        """Rewards, float32 [n]."""
        return self.exact_rewards.astype(np.float32)

    @property
    def n_active(self) -> npt.NDArray[np.int64]:
        """Number of active features per answer, [n]."""
        return np.diff(self.csr.indptr).astype(np.int64)

    def activations(self, row: int) -> tuple[Ids, npt.NDArray[np.float32]]:
        """Active feature ids and their z in one answer, by ascending id."""
        row = range(len(self))[row]  # counts from the end when negative, IndexError when out of range
        start, stop = self.csr.indptr[row], self.csr.indptr[row + 1]
        return self.csr.indices[start:stop].astype(np.int64), self.csr.data[start:stop]

    def contributions(self, row: int) -> tuple[Ids, npt.NDArray[np.float64]]:
        """Feature ids and w_i z_i of one answer, by ascending id. They sum to the reward.

        Offsets of a steering are included, also on features that are silent in this answer.
        """
        ids, z = self.activations(row)
        values = z.astype(np.float64) * self.head[ids].astype(np.float64)
        if not self.offset_ids.size:
            return ids, values
        added = self.offset_values * self.head[self.offset_ids].astype(np.float64)
        return _sum_by_id(np.concatenate([ids, self.offset_ids]), np.concatenate([values, added]))

    def difference(self, left: int, right: int) -> tuple[Ids, npt.NDArray[np.float64]]:
        """Feature ids active in either answer and w_i (z_left - z_right). They sum to the margin.

        Offsets cancel and are left out.
        """
        left_ids, left_z = self.activations(left)
        right_ids, right_z = self.activations(right)
        ids = np.concatenate([left_ids, right_ids])
        z = np.concatenate([left_z.astype(np.float64), -right_z.astype(np.float64)])
        return _sum_by_id(ids, z * self.head[ids].astype(np.float64))

    def table(self, row: int) -> Contributions:
        """What the reward of one answer is made of, largest |contribution| first."""
        row = range(len(self))[row]
        ids, values = self.contributions(row)
        return self._at(row, ids[np.argsort(-np.abs(values), kind="stable")])

    def difference_table(self, left: int, right: int) -> Differences:
        """What the margin of answer `left` over answer `right` is made of, largest |difference| first."""
        left, right = (range(len(self))[row] for row in (left, right))
        ids, values = self.difference(left, right)
        order = np.argsort(-np.abs(values), kind="stable")
        ids = ids[order]
        one, two = self._at(left, ids), self._at(right, ids)
        return Differences(ids, one, two, one.weights, values[order], one.reward - two.reward)

    def _at(self, row: int, features: Ids) -> Contributions:
        """The contributions of one answer at these features, in this order; 0 where one is silent."""
        return Contributions(
            features,
            _values_at(features, *self.activations(row)),
            self.head[features].astype(np.float64),
            _values_at(features, *self.contributions(row)),
            float(np.float32(self.exact_rewards[row])),
        )

    def column(self, feature: int) -> tuple[Ids, npt.NDArray[np.float32]]:
        """Rows in which `feature` is active, and its z there."""
        csc = self.columns
        feature = range(self.n_features)[feature]
        part = slice(int(csc.indptr[feature]), int(csc.indptr[feature + 1]))
        return np.asarray(csc.indices[part], dtype=np.int64), np.asarray(csc.data[part], dtype=np.float32)

    def columns_at(self, features: Sequence[int]) -> list[tuple[Ids, npt.NDArray[np.float32]]]:
        """`column` of each of these features, by one pass over all activations where `columns` were not made yet.

        For a large matrix that is asked once: making all its columns takes ten times as long.
        """
        if not len(features) or "columns" in self.__dict__:
            return [self.column(feature) for feature in features]
        wanted = np.zeros(self.n_features, dtype=bool)
        wanted[list(features)] = True
        places = np.flatnonzero(wanted[self.csr.indices])
        rows = np.searchsorted(self.csr.indptr, places, side="right") - 1
        ids, z = self.csr.indices[places], self.csr.data[places]
        order = np.argsort(ids, kind="stable")
        ids, rows, z = ids[order], rows[order].astype(np.int64), z[order].astype(np.float32)
        starts, stops = (np.searchsorted(ids, list(features), side=side) for side in ("left", "right"))
        return [(rows[a:b], z[a:b]) for a, b in zip(starts, stops, strict=True)]

    def select(self, rows: npt.ArrayLike) -> FeatureMatrix:
        """The answers `rows` (int [m]), in that order."""
        return FeatureMatrix(self.csr[np.asarray(rows)], self.head, self.offset_ids, self.offset_values)


def _frame(columns: Mapping[str, npt.NDArray], names: Mapping[int, str]) -> pd.DataFrame:
    import pandas as pd

    frame = pd.DataFrame(dict(columns))
    if names:
        frame.insert(1, "name", [names.get(int(i), "") for i in frame["feature"]])
    return frame


def _drawn_features(
    title: str,
    head: Sequence[str],
    features: Ids,
    values: npt.NDArray[np.float64],
    cells: Sequence[Sequence[str]],
    names: Mapping[int, str],
) -> str:
    """The largest parts with bars, and what all others come to, so that what is seen adds up to the title."""
    largest = float(np.abs(values).max(initial=0.0))
    rows = [
        (feature_cell(int(i), names), bar(float(value), largest), *shown)
        for i, value, shown in zip(features[:_DRAWN], values[:_DRAWN], cells[:_DRAWN], strict=True)
    ]
    if others := len(features) - len(rows):
        rest = float(values[_DRAWN:].sum())
        empty = [""] * (len(head) - 1)
        rows.append((plural(others, "other feature"), bar(rest, largest), signed(rest), *empty))
    return drawn(title, ("feature", BAR, *head), rows, text=(0,))


def _sum_by_id(ids: Ids, values: npt.NDArray[np.float64]) -> tuple[Ids, npt.NDArray[np.float64]]:
    unique, inverse = np.unique(ids, return_inverse=True)
    sums = np.bincount(inverse, weights=values, minlength=unique.size)
    return unique, np.asarray(sums, dtype=np.float64)


def separating_features(matrix: FeatureMatrix, n: int) -> list[int]:
    """The `n` features whose contributions w z vary most over the answers, most first; fewer when fewer vary."""
    if len(matrix) < 2:
        return []
    contributions = matrix.csr.multiply(matrix.head[None, :].astype(np.float64)).tocsc()
    mean = np.asarray(contributions.mean(axis=0)).ravel()
    square = np.asarray(contributions.multiply(contributions).mean(axis=0)).ravel()
    spread = square - mean**2
    # A feature that is alike everywhere has a spread of rounding errors, not of 0.
    varies = spread > 1e-12 * np.maximum(square, 1e-30)
    order = np.argsort(-np.where(varies, spread, 0.0), kind="stable")[:n]
    return [int(i) for i in order if varies[i]]


def _values_at(wanted: Ids, ids: Ids, values: npt.NDArray) -> npt.NDArray[np.float64]:
    """The values at `wanted`, 0 where `ids` (ascending) has none."""
    if not ids.size:
        return np.zeros(len(wanted), dtype=np.float64)
    place = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
    return np.where(ids[place] == wanted, values[place], 0.0).astype(np.float64)
