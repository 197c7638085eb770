"""What a steering moves outside its target: how many other answers, by how much, and their distributions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sarm_core.errors import SarmError
from sarm_core.features import reward_order
from sarm_core.prove.benchmarks.scores import Floats, json_number

__all__ = ["Collateral", "Distribution", "collateral", "distribution"]


@dataclass(frozen=True)
class Summary:
    """Moments and quantiles of rewards that are numbers; NaN throughout when there are none."""

    n: int
    n_nan: int
    mean: float
    sd: float
    quantiles: tuple[float, ...]


@dataclass(frozen=True)
class Distribution:
    """Rewards before and after on common bins.

    `edges` [bins + 1] in reward units; counts [bins]; rewards that are not finite are in no bin.
    Quantiles are at `levels`.
    """

    edges: Floats
    counts_before: npt.NDArray[np.int64]
    counts_after: npt.NDArray[np.int64]
    before: Summary
    after: Summary
    levels: tuple[float, ...]


@dataclass(frozen=True)
class Collateral:
    """`n_moved` of `n` answers changed their reward at all; `n_flipped` of `n_pairs` changed their order.

    A pair flips when the sign of its margin changes, a tie made or broken included. Answers and pairs with a
    NaN reward before or after are in `n_nan`, `n_pairs_nan`, and in no other count than n and n_pairs.
    """

    n: int
    n_moved: int
    n_nan: int
    mean_change: float
    largest_change: float
    n_pairs: int
    n_flipped: int
    n_pairs_nan: int
    flipped: npt.NDArray[np.int64]

    @property
    def share_moved(self) -> float:
        """Among answers with a reward before and after; NaN without any."""
        return self.n_moved / (self.n - self.n_nan) if self.n > self.n_nan else np.nan

    @property
    def share_flipped(self) -> float:
        """Among pairs with rewards before and after; NaN without any."""
        known = self.n_pairs - self.n_pairs_nan
        return self.n_flipped / known if known else np.nan

    def to_dict(self) -> dict[str, Any]:
        """For JSON: undefined numbers become null."""
        return {
            "answers": self.n,
            "moved": self.n_moved,
            "share_moved": json_number(self.share_moved),
            "nan": self.n_nan,
            "mean_change": json_number(self.mean_change),
            "largest_change": json_number(self.largest_change),
            "pairs": self.n_pairs,
            "flipped": self.n_flipped,
            "share_flipped": json_number(self.share_flipped),
            "pairs_nan": self.n_pairs_nan,
        }


def _two(before: npt.ArrayLike, after: npt.ArrayLike) -> tuple[Floats, Floats]:
    one, two = np.asarray(before, np.float64), np.asarray(after, np.float64)
    if one.ndim != 1 or one.shape != two.shape:
        raise SarmError(f"rewards before {one.shape} and after {two.shape} are not of the same answers")
    return one, two


def collateral(
    before: npt.ArrayLike,
    after: npt.ArrayLike,
    pairs: npt.ArrayLike | None = None,
    *,
    ranked: npt.ArrayLike | None = None,
    tolerance: float = 0.0,
) -> Collateral:
    """From rewards [n] before and after, and pairs int [p, 2] of answers to one prompt.

    With the default tolerance 0 "moved" is exact: a steering leaves the rewards of answers in which its
    features are silent bit for bit as they were. `mean_change` is of |after - before| over all known answers.
    `ranked` [n] orders the answers afterwards where `after` is less exact: rewards without the constant of
    offsets (`Steering.without_offsets`). Raises SarmError for shapes or pair numbers that do not fit.
    """
    one, two = _two(before, after)
    known = ~(np.isnan(one) | np.isnan(two))
    with np.errstate(invalid="ignore"):
        change = np.where(one == two, 0.0, np.abs(two - one))
    moved = known & (change > tolerance)
    index = np.zeros((0, 2), np.int64) if pairs is None else np.asarray(pairs, np.int64).reshape(-1, 2)
    if index.size and not (index.min() >= 0 and index.max() < one.size):
        raise SarmError(f"a pair names answer {index.max()}, but there are {one.size} answers")
    left, right = index[:, 0], index[:, 1]
    pair_known = known[left] & known[right]
    now = two if ranked is None else _two(before, ranked)[1]
    flipped = pair_known & (reward_order(one[left], one[right]) != reward_order(now[left], now[right]))
    return Collateral(
        n=one.size,
        n_moved=int(moved.sum()),
        n_nan=int((~known).sum()),
        mean_change=float(change[known].mean()) if known.any() else np.nan,
        largest_change=float(change[known].max()) if known.any() else np.nan,
        n_pairs=int(index.shape[0]),
        n_flipped=int(flipped.sum()),
        n_pairs_nan=int((~pair_known).sum()),
        flipped=np.flatnonzero(flipped).astype(np.int64),
    )


def distribution(
    before: npt.ArrayLike,
    after: npt.ArrayLike,
    *,
    bins: int = 40,
    levels: Sequence[float] = (0.05, 0.25, 0.5, 0.75, 0.95),
) -> Distribution:
    """Histogram and quantiles of rewards [n] before and after, on bins that span both."""
    one, two = _two(before, after)
    finite = np.concatenate([one[np.isfinite(one)], two[np.isfinite(two)]])
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, bins + 1)
    counts = [np.histogram(values[np.isfinite(values)], edges)[0].astype(np.int64) for values in (one, two)]
    return Distribution(
        edges, counts[0], counts[1], _summary(one, levels), _summary(two, levels), tuple(levels)
    )


def _summary(values: Floats, levels: Sequence[float]) -> Summary:
    known = values[~np.isnan(values)]
    if not known.size:
        return Summary(0, int(values.size), np.nan, np.nan, tuple(np.nan for _ in levels))
    return Summary(
        n=int(known.size),
        n_nan=int(values.size - known.size),
        mean=float(known.mean()),
        sd=float(known.std(ddof=1)) if known.size > 1 else np.nan,
        quantiles=tuple(float(q) for q in np.quantile(known, list(levels))),
    )
