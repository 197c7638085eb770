"""Features on the same answers: which fire together within a dictionary, and which of another go up and down alike.

Products of sparse matrices, a block of features at a time: at most BLOCK_PAIRS products of two activations are held,
or those of one feature.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

__all__ = ["Alike", "Together", "firing_together", "most_alike", "together"]

BLOCK_PAIRS = 4_000_000
LEAST_TOGETHER = 5
"""Answers in which both of two features must fire before they are said to fire together"""
LEAST_LIFT = 1.0
"""log2 of how much more often than by chance: two features that fire nearly everywhere are together by being there"""

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Together(NamedTuple):
    """Of n pairs of features, over the answers looked at."""

    left: Ids
    right: Ids
    both: Ids
    """Answers in which both fire"""
    jaccard: Floats
    """both / either; nan where neither fires"""
    pmi: Floats
    """log2 of P(both) / (P(left) P(right)); nan where they never fire together"""

    def at(self, rows: npt.NDArray[Any]) -> Together:
        """Those pairs."""
        return Together(
            self.left[rows], self.right[rows], self.both[rows], self.jaccard[rows], self.pmi[rows]
        )


class Alike(NamedTuple):
    """Of each feature of one dictionary the feature of the other whose activations go with its own."""

    left: Ids
    """[M of the left]; 0 where none does"""
    left_correlation: Floats
    """0 where no feature of the other fires in an answer it fires in"""
    right: Ids
    right_correlation: Floats


def together(z: sparse.csr_matrix, left: Ids, right: Ids) -> Together:
    """How often each of these pairs fires together in the answers of `z` [n, M]."""
    columns = _firing(z).tocsc()
    counts = np.diff(columns.indptr).astype(np.int64)
    both = np.zeros(len(left), dtype=np.int64)
    step = 4096
    for start in range(0, len(left), step):
        part = slice(start, start + step)
        both[part] = np.asarray(columns[:, left[part]].multiply(columns[:, right[part]]).sum(axis=0)).ravel()
    return _measured(left, right, both, counts, z.shape[0])


def firing_together(z: sparse.csr_matrix, bound: float) -> Together:
    """Pairs whose Jaccard index over the answers of `z` [n, M] is at least `bound`, the largest first.

    At least LEAST_TOGETHER answers, and LEAST_LIFT more often than chance has it.
    """
    active = _firing(z)
    by_feature = active.T.tocsr()
    counts = np.diff(by_feature.indptr).astype(np.int64)
    found: list[tuple[Ids, Ids, Ids]] = []
    for start, stop in _blocks(by_feature, np.diff(active.indptr)):
        product = (by_feature[start:stop] @ active).tocoo()
        left, right, both = product.row.astype(np.int64) + start, product.col.astype(np.int64), product.data
        keep = (right > left) & (both >= LEAST_TOGETHER)
        left, right, both = left[keep], right[keep], both[keep].astype(np.int64)
        keep = both >= bound * (counts[left] + counts[right] - both)
        found.append((left[keep], right[keep], both[keep]))
    none = np.zeros(0, dtype=np.int64)
    left, right, both = (
        (np.concatenate([none, *column]) for column in zip(*found, strict=True)) if found else (none,) * 3
    )
    measured = _measured(left, right, both, counts, z.shape[0])
    order = np.lexsort((right, left, -measured.jaccard))
    order = order[measured.pmi[order] >= LEAST_LIFT]
    return measured.at(order)


def most_alike(left: sparse.csr_matrix, right: sparse.csr_matrix) -> Alike:
    """Pearson correlations of activations over the same answers, [n, M] each: the largest of each feature, either way.

    Features that fire in fewer than LEAST_TOGETHER answers are compared with none: two that fire once may do so by
    chance. Raises ValueError for different numbers of answers.
    """
    if left.shape[0] != right.shape[0]:
        raise ValueError(f"{left.shape[0]} answers on the left, {right.shape[0]} on the right")
    n = max(left.shape[0], 1)
    (mean, spread), (other_mean, other_spread) = _moments(left), _moments(right)
    of_left = np.zeros(left.shape[1], dtype=np.int64), np.zeros(left.shape[1])
    of_right = np.zeros(right.shape[1], dtype=np.int64), np.zeros(right.shape[1])
    by_feature, other = _often(left).T.tocsr(), _often(right)
    for start, stop in _blocks(by_feature, np.diff(other.indptr)):
        product = (by_feature[start:stop] @ other).tocsr()
        product.sort_indices()
        rows = np.repeat(np.arange(start, stop), np.diff(product.indptr))
        columns = product.indices.astype(np.int64)
        scale = spread[rows] * other_spread[columns]
        value = (product.data / n - mean[rows] * other_mean[columns]) / np.where(scale > 0, scale, np.inf)
        _keep_best(*of_left, rows, columns, value)
        _keep_best(*of_right, columns, rows, value)
    return Alike(of_left[0], np.minimum(of_left[1], 1), of_right[0], np.minimum(of_right[1], 1))


def _often(z: sparse.csr_matrix) -> sparse.csr_matrix:
    """`z` without the features that fire too seldom."""
    counts = np.asarray(_firing(z).sum(axis=0)).ravel()
    found = sparse.csr_matrix(
        z.astype(np.float64) @ sparse.diags((counts >= LEAST_TOGETHER).astype(np.float64))
    )
    found.eliminate_zeros()
    return found


def _keep_best(ids: Ids, best: Floats, of: Ids, partner: Ids, value: Floats) -> None:
    """Where `value` is more than the best so far, it and its partner take the place; ties go to the smaller id."""
    order = np.lexsort((partner, -value, of))
    first = order[np.flatnonzero(np.diff(of[order], prepend=-1))]
    first = first[value[first] > best[of[first]]]
    ids[of[first]], best[of[first]] = partner[first], value[first]


def _moments(z: sparse.csr_matrix) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each feature over the answers."""
    n = max(z.shape[0], 1)
    wide = z.astype(np.float64)
    mean = np.asarray(wide.sum(axis=0)).ravel() / n
    square = np.asarray(wide.multiply(wide).sum(axis=0)).ravel() / n
    variance = square - mean * mean
    # What is constant is so but for rounding.
    return mean, np.sqrt(np.where(variance > 1e-12 * square, variance, 0))


def _measured(left: Ids, right: Ids, both: Ids, counts: Ids, n: int) -> Together:
    either = counts[left] + counts[right] - both
    jaccard = np.where(either > 0, both / np.maximum(either, 1), np.nan)
    chance = counts[left].astype(np.float64) * counts[right] / max(n, 1)
    pmi = np.where(both > 0, np.log2(np.maximum(both, 1) / np.maximum(chance, 1e-300)), np.nan)
    return Together(left, right, both, jaccard, pmi)


def _firing(z: sparse.csr_matrix) -> sparse.csr_matrix:
    firing = sparse.csr_matrix((z.data != 0, z.indices, z.indptr), shape=z.shape).astype(np.int32)
    firing.eliminate_zeros()
    return firing


def _blocks(by_feature: sparse.csr_matrix, others: npt.NDArray[np.integer]) -> list[tuple[int, int]]:
    """Blocks of features of which each has at most BLOCK_PAIRS products, or is one feature."""
    ones = sparse.csr_matrix(
        (np.ones(by_feature.nnz, dtype=np.int64), by_feature.indices, by_feature.indptr), by_feature.shape
    )
    block = np.cumsum(ones @ others.astype(np.int64)) // BLOCK_PAIRS
    ends = [*(np.flatnonzero(np.diff(block)) + 1).tolist(), by_feature.shape[0]]
    return list(zip([0, *ends[:-1]], ends, strict=True))
