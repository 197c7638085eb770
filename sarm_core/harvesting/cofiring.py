"""Counting pairs of features that fire at the same position, in bounded memory."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy import sparse

from sarm_core.harvesting.activity import ChunkActivity

__all__ = ["PairCounts"]

PIECE = 4_000_000  # pairs counted at once, so that a chunk of wide positions does not need a wide table


class PairCounts:
    """Counts of unordered pairs (i < j) of features active at one position.

    A position with k active features has k (k - 1) / 2 pairs and 65,536 features have 2 billion: the table
    is bounded. It holds at most `limit` distinct pairs (16 bytes each; 256 MB at the default), and as many
    again wait to be merged. When a merge leaves more than `limit`, the rarest are dropped: every pair
    seen at most c times, c being the smallest number that halves the table (lossy counting). Each drop
    adds its c to `lost`, so that
        counted <= true <= counted + lost
    and counts are exact while `lost` is 0. What happens depends on the stream alone, not on when it was
    stopped: pairs that wait are part of the state.
    """

    def __init__(self, n_features: int, limit: int = 16_000_000):
        self.n_features, self.limit = n_features, limit
        self.lost = 0
        self.keys = np.zeros(0, dtype=np.int64)
        """[pairs], i * M + j, ascending"""
        self.counts = np.zeros(0, dtype=np.int64)
        self.waiting: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]] = []

    def update(self, chunk: ChunkActivity) -> None:
        """Take in one chunk; the chunks must come in order."""
        if not len(chunk.features):
            return
        ids, local = np.unique(chunk.features, return_inverse=True)
        shape = (len(chunk.indptr) - 1, len(ids))
        active = sparse.csr_matrix((np.ones(len(local), dtype=np.int64), local, chunk.indptr), shape)
        work = np.cumsum(np.diff(chunk.indptr) ** 2)
        ends = np.unique(np.append(np.searchsorted(work, np.arange(PIECE, work[-1], PIECE)), len(work)))
        for start, stop in zip([0, *ends], ends, strict=False):
            part = active[start:stop]
            both = sparse.triu(part.T @ part, k=1).tocoo()
            keys = ids[both.row].astype(np.int64) * self.n_features + ids[both.col]
            order = np.argsort(keys)
            self.waiting.append((keys[order], both.data.astype(np.int64)[order]))
        # Merging costs the whole table, so it waits until a good part of it is there.
        if sum(len(k) for k, _ in self.waiting) >= max(self.limit // 8, len(self.keys) // 2):
            self._merge()

    def _merge(self) -> None:
        keys = np.concatenate([self.keys, *(k for k, _ in self.waiting)])
        counts = np.concatenate([self.counts, *(c for _, c in self.waiting)])
        self.waiting = []
        order = np.argsort(keys, kind="stable")
        keys, counts = keys[order], counts[order]
        starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: len(keys)])
        self.keys, self.counts = keys[starts], np.add.reduceat(counts, starts) if len(keys) else counts
        if len(self.keys) > self.limit:
            rising = np.sort(self.counts)
            dropped = int(rising[len(rising) - self.limit // 2 - 1])
            kept = self.counts > dropped
            self.keys, self.counts = self.keys[kept], self.counts[kept]
            self.lost += dropped

    def partners(self, size: int) -> list[list[tuple[int, int]]]:
        """For every feature its `size` most frequent partners as (feature, count); ties by feature id."""
        self._merge()
        left, right = np.divmod(self.keys, self.n_features)
        one, other = np.concatenate([left, right]), np.concatenate([right, left])
        counts = np.concatenate([self.counts, self.counts])
        order = np.lexsort((other, -counts, one))
        one, other, counts = one[order], other[order], counts[order]
        starts = np.searchsorted(one, np.arange(self.n_features + 1))
        return [
            list(zip(other[a:e].tolist(), counts[a:e].tolist(), strict=True))
            for a, b in pairwise(starts)
            for e in [min(a + size, b)]
        ]

    def state(self) -> dict[str, np.ndarray]:
        """Everything as arrays, pairs that wait included."""
        return {
            "lost": np.array([self.lost], dtype=np.int64),
            "keys": self.keys,
            "counts": self.counts,
            "waiting_sizes": np.array([len(k) for k, _ in self.waiting], dtype=np.int64),
            "waiting_keys": np.concatenate([np.zeros(0, np.int64), *(k for k, _ in self.waiting)]),
            "waiting_counts": np.concatenate([np.zeros(0, np.int64), *(c for _, c in self.waiting)]),
        }

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Continue from `state()`."""
        self.lost = int(state["lost"][0])
        self.keys, self.counts = state["keys"], state["counts"]
        ends = np.cumsum(state["waiting_sizes"])[:-1]
        self.waiting = list(
            zip(np.split(state["waiting_keys"], ends), np.split(state["waiting_counts"], ends), strict=True)
        )
        if not len(state["waiting_sizes"]):
            self.waiting = []
