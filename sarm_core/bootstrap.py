"""The bootstrap that every interval here rests on: units (prompts) drawn anew with replacement.

A resample of n units draws n of them; what is summed by unit is then weighted by how often each was drawn, which gives
the statistic of the redrawn set without touching its rows. Draws come from a seeded generator, whole resamples one
after the other, so that neither the size of a block nor what is asked for beside it changes an interval.
(`feature_db`, which may not import this package, redraws features by itself in `label.agreement`.)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy import sparse

__all__ = [
    "BLOCK_BYTES",
    "FEWEST_PROMPTS",
    "KeptDraws",
    "block_of",
    "draws",
    "interval",
    "redrawn",
    "redrawn_alike",
]

Floats = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]

FEWEST_PROMPTS = 10
"""Below this no interval is drawn: a bootstrap of one prompt is always sure, and of a few still far too sure."""
BLOCK_BYTES = 64_000_000
"""What is held at once beside inputs and results"""


def block_of(bytes_each: int) -> int:
    """How many things of `bytes_each` fit a block, at least one."""
    return max(1, BLOCK_BYTES // max(bytes_each, 1))


def draws(n: int, resamples: int, rng: np.random.Generator) -> Iterator[tuple[slice, Ids]]:
    """How often each of `n` units is drawn: (which resamples, counts [them, n]), a block at a time."""
    step = block_of(16 * n)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        picks = rng.integers(0, n, (size, n)) + np.arange(size)[:, None] * n
        yield (
            slice(start, start + size),
            np.bincount(picks.ravel(), minlength=size * n).reshape(size, n),
        )


def redrawn(sums: Floats, resamples: int, rng: np.random.Generator) -> Floats:
    """`sums` by unit [k, n] summed over each resample of the n units, [k, resamples]."""
    out = np.empty((sums.shape[0], resamples))
    for block, counts in draws(sums.shape[1], resamples, rng):
        out[:, block] = sums @ counts.T.astype(np.float64)
    return out


class KeptDraws:
    """Draws that are kept for many statistics: `counts`, uint16 [units, resamples].

    `kinds` int [units] names the kind of each unit: units are drawn within their own kind, in ascending order of the
    kinds, so that no resample loses one. Memory: 2 bytes x units x resamples, and a block.
    """

    def __init__(self, kinds: Ids, resamples: int, seed: int) -> None:
        self.resamples = resamples
        self.counts = np.zeros((kinds.size, resamples), dtype=np.uint16)
        rng = np.random.default_rng(seed)
        for kind in np.unique(kinds):
            members = np.flatnonzero(kinds == kind)
            for block, counts in draws(members.size, resamples, rng):
                self.counts[members, block] = counts.T

    def totals(self, sums: sparse.csc_matrix) -> Floats:
        """`sums` by unit [units, columns] summed over each resample, [columns, resamples]."""
        transposed = sparse.csr_matrix(sums.T)
        out = np.empty((transposed.shape[0], self.resamples))
        step = block_of(8 * self.counts.shape[0])
        for start in range(0, self.resamples, step):
            block = slice(start, min(start + step, self.resamples))
            out[:, block] = transposed @ self.counts[:, block].astype(np.float64)
        return out


def interval(drawn: npt.ArrayLike, confidence: float) -> tuple[float, float]:
    """Percentile interval of a statistic over resamples [resamples], without those where it is undefined (NaN).

    (NaN, NaN) when it is in all of them.
    """
    values = np.atleast_1d(np.asarray(drawn, dtype=np.float64))
    values = values[~np.isnan(values)]
    if not values.size:
        return np.nan, np.nan
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def redrawn_alike(sums: Floats, counts: Ids, resamples: int, rng: np.random.Generator) -> Floats:
    """`redrawn` for units of which many are alike: `sums` [k, kinds] of one unit of each kind, `counts` [kinds] units.

    How often each kind is drawn is multinomial, so time goes with the kinds, not the units. Gives [k, resamples].
    """
    n = int(counts.sum())
    drawn = rng.multinomial(n, counts / n, size=resamples)
    return sums @ drawn.T.astype(np.float64)
