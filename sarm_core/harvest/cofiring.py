"""Which features fire at the same position, counted on a bounded sample of the positions."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from sarm_core.harvest.activity import ChunkActivity
from sarm_core.harvest.bins import priorities

__all__ = ["Partners", "PositionSample"]

BLOCK_PAIRS = 4_000_000
"""(feature, partner) counts held at once"""


class Partners(NamedTuple):
    """The most frequent partners of every feature, as rows of [M + 1], [n], [n]; ties by feature id."""

    indptr: npt.NDArray[np.int64]
    features: npt.NDArray[np.int32]
    counts: npt.NDArray[np.int64]
    """Positions of the sample at which both fire"""
    firing: npt.NDArray[np.int64]
    """[M], positions of the sample at which the feature fires: what `counts` are out of"""

    def of(self, feature: int) -> list[tuple[int, int]]:
        """(partner, count), most first."""
        row = slice(int(self.indptr[feature]), int(self.indptr[feature + 1]))
        return list(zip(self.features[row].tolist(), self.counts[row].tolist(), strict=True))


class PositionSample:
    """A uniform sample of `size` positions with the features active at each; pairs are counted on it.

    A position with k active features has k (k - 1) / 2 pairs, 18,336 at k = 192: counting them as they
    stream by costs more than a GPU takes to encode the position, and 65,536 features have 2 billion pairs to
    keep. So the stream only keeps which features fire at the `size` positions with the smallest hash of
    (seed, text, token), and the pairs are counted once, at its end. While the corpus has no more than `size`
    positions the sample is all of them. It depends neither on chunks nor on where a run was stopped: the
    smallest of a union are among the smallest of its parts.

    Memory is 5 size k bytes (63 MB at 65,536 x 192), up to three times that while the sample is renewed,
    and as much of one chunk as enters it.
    """

    def __init__(self, n_features: int, size: int, seed: int):
        self.size, self.seed = size, seed
        self.keys = np.zeros(0)
        """[n], hashes in [0, 1) of the positions, ascending once they were renewed"""
        self.active = sparse.csr_matrix((0, n_features), dtype=np.int8)
        """[n, M], 1 where a feature is active"""
        self._waiting: list[tuple[npt.NDArray[np.float64], sparse.csr_matrix]] = []
        self._n_waiting = 0

    def update(self, chunk: ChunkActivity) -> None:
        """Take in one chunk; the chunks must come in order."""
        keys = priorities(
            self.seed, chunk.position_token, chunk.ordinals[chunk.position_text].astype(np.uint64)
        )
        limit = self.keys[-1] if len(self.keys) >= self.size else np.inf
        entering = np.flatnonzero(keys < limit)
        shape = (len(keys), self.active.shape[1])
        active = sparse.csr_matrix(
            (np.ones(len(chunk.features), np.int8), chunk.features, chunk.indptr), shape
        )
        self._waiting.append((keys[entering], active[entering]))
        self._n_waiting += len(entering)
        # Renewing costs the whole sample, so it waits until a good part of it is there.
        if self._n_waiting > self.size // 4:
            self._renew()

    def _renew(self) -> None:
        keys = np.concatenate([self.keys, *(k for k, _ in self._waiting)])
        active = sparse.vstack([self.active, *(a for _, a in self._waiting)], format="csr")
        self._waiting, self._n_waiting = [], 0
        # Stable: of two equal hashes the earlier position stays, however the stream was cut.
        order = np.argsort(keys, kind="stable")[: self.size]
        self.keys, self.active = keys[order], active[order]

    def __len__(self) -> int:
        """Positions in the sample."""
        return min(self.size, len(self.keys) + self._n_waiting)

    def partners(self, size: int, progress: Callable[[int], object] = lambda _n: None) -> Partners:
        """For every feature its `size` most frequent partners; exact over the sample.

        Counts are made for a block of features at a time: the peak is the sample twice and 4 million counts (or
        one row of M). `progress` is told how many features each block had.
        """
        self._renew()
        active = self.active.astype(np.int32)
        by_feature = active.T.tocsr()
        n_features = active.shape[1]
        firing = np.diff(by_feature.indptr).astype(np.int64)
        # Counts in each feature's row: one for each active feature of its positions, at most M.
        widest = np.minimum(by_feature @ np.diff(active.indptr).astype(np.int64), n_features)
        block = np.cumsum(widest) // BLOCK_PAIRS
        ends = np.append(np.flatnonzero(np.diff(block)) + 1, n_features)
        lengths = np.zeros(n_features, dtype=np.int64)
        features: list[npt.NDArray[np.int64]] = []
        counts: list[npt.NDArray[np.int64]] = []
        for start, stop in zip([0, *ends], ends, strict=False):
            both = by_feature[start:stop] @ active
            for row in range(stop - start):
                where = slice(both.indptr[row], both.indptr[row + 1])
                partner, count = both.indices[where].astype(np.int64), both.data[where].astype(np.int64)
                # One number to sort by: larger counts first, then smaller ids.
                key = (count * n_features + (n_features - 1 - partner))[partner != start + row]
                key = np.sort(key)[::-1][:size]
                lengths[start + row] = len(key)
                features.append(n_features - 1 - key % n_features)
                counts.append(key // n_features)
            progress(int(stop - start))
        none = np.zeros(0, dtype=np.int64)
        return Partners(
            np.concatenate([[0], np.cumsum(lengths)]),
            np.concatenate([none, *features]).astype(np.int32),
            np.concatenate([none, *counts]),
            firing,
        )

    def state(self) -> dict[str, np.ndarray]:
        """Everything as arrays."""
        self._renew()
        return {"keys": self.keys, "indptr": self.active.indptr, "features": self.active.indices}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Continue from `state()`."""
        self.keys = state["keys"]
        shape = (len(self.keys), self.active.shape[1])
        ones = np.ones(len(state["features"]), dtype=np.int8)
        self.active = sparse.csr_matrix((ones, state["features"], state["indptr"]), shape)
