"""Which texts a feature keeps: its strongest, a seeded sample of every activation band, and silent ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from sarm_core.harvest.activity import ChunkActivity
from sarm_core.harvest.bins import log_bin, lower_edge, mixed, priorities
from sarm_core.harvest.places import Entries, Places

__all__ = ["N_BANDS", "BandSamples", "SilentPool", "TopTexts", "band_edges", "peaks"]

PER_OCTAVE = 2
N_POSITIVE = 6
N_BANDS = N_POSITIVE + 1
"""Bands 0 to 4 each span a factor of sqrt(2) below the feature's maximum, band 5 holds all weaker positive
activations, band 6 the texts whose peak is negative."""


def peaks(chunk: ChunkActivity) -> Entries:
    """The largest z of every (feature, text) of a chunk, [e']; `group` is the feature, `key` is -z.

    Of several positions with the same z the first is the peak.
    """
    text = np.repeat(chunk.position_text, np.diff(chunk.indptr))
    token = np.repeat(chunk.position_token, np.diff(chunk.indptr))
    order = np.lexsort((token, -chunk.values, text, chunk.features))
    feature, text = chunk.features[order], text[order]
    first = np.append(True, (feature[1:] != feature[:-1]) | (text[1:] != text[:-1]))[: len(order)]
    order, feature, text = order[first], feature[first], text[first]
    z = chunk.values[order]
    return Entries(
        feature.astype(np.int64),
        -z.astype(np.float64),
        chunk.digests[text],
        chunk.ordinals[text],
        z,
        token[order],
    )


class TopTexts(Places):
    """The `size` distinct texts with the largest peak of each feature; equal peaks go by text hash."""

    def update(self, found: Entries) -> None:
        """Take in the peaks of a chunk."""
        self.offer(found)


class BandSamples:
    """A uniform sample of `size` texts in each activation band of each feature.

    Bands hang from the feature's maximum, which only the whole corpus tells. While it grows, the lowest
    bands merge: the best `size` of a union are among the best `size` of its parts, so the samples at the
    end are those of a pass that had known the maximum. Memory is M x 7 x size places.
    """

    def __init__(self, n_features: int, size: int, seed: int):
        self.seed = seed
        self.highest = np.full(n_features, np.iinfo(np.int64).min, dtype=np.int64)
        """Log bin of each feature's maximum"""
        self.places = Places(n_features * N_BANDS, size)

    def update(self, found: Entries) -> None:
        """Take in the peaks of a chunk (`group` is the feature)."""
        feature = found.group
        entries = found._replace(key=priorities(self.seed, feature, found.digest))
        positive = found.z > 0
        highest = self.highest.copy()
        np.maximum.at(highest, feature[positive], log_bin(found.z[positive], PER_OCTAVE))
        risen = np.flatnonzero((highest > self.highest) & (self.highest > np.iinfo(np.int64).min))
        self.highest = highest
        if len(risen):
            groups = (risen[:, None] * N_BANDS + np.arange(N_POSITIVE)).ravel()
            moved = self.places.held(groups)
            self.places.clear(groups)
            entries = entries.joined(moved._replace(group=moved.group // N_BANDS))
        self.places.offer(entries._replace(group=self._groups(entries.group, entries.z)))

    def _groups(self, feature: npt.NDArray[np.int64], z: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        band = np.full(len(z), N_BANDS - 1, dtype=np.int64)
        positive = z > 0
        below = self.highest[feature[positive]] - log_bin(z[positive], PER_OCTAVE)
        band[positive] = np.minimum(below, N_POSITIVE - 1)
        return feature * N_BANDS + band

    def held(self, feature: int, band: int) -> Entries:
        """The sample of one band."""
        return self.places.held(np.array([feature * N_BANDS + band]))

    def edges(self, feature: int, band: int, lowest: float) -> tuple[float, float]:
        """[low, high) of a band; `lowest` is the feature's minimum, which bounds the negative band."""
        return band_edges(int(self.highest[feature]), band, lowest)


def band_edges(highest: int, band: int, lowest: float) -> tuple[float, float]:
    """[low, high) of band `band` of a feature whose maximum lies in log bin `highest`."""
    if band == N_BANDS - 1:
        return lowest, 0.0
    low = 0.0 if band == N_POSITIVE - 1 else lower_edge(highest - band, PER_OCTAVE)
    return low, lower_edge(highest - band + 1, PER_OCTAVE)


class SilentPool:
    """A uniform sample of `size` texts of the corpus with the features that fired in each.

    Silent texts of a feature are drawn from it, and it stands for "the rest" in suggestions. One pool for
    all features costs size x (features a text fires) numbers; a reservoir each would cost M hashes a text.
    """

    def __init__(self, size: int, seed: int):
        self.size, self.seed = size, seed
        self.texts: dict[int, tuple[float, int, npt.NDArray[np.int32]]] = {}
        """digest -> (priority, ordinal, features)"""

    def update(self, chunk: ChunkActivity, found: Entries) -> None:
        """Take in the texts of a chunk and their peaks."""
        salt = np.uint64(self.seed & (2**64 - 1))
        rank = (mixed(mixed(chunk.digests) ^ salt) >> np.uint64(11)).astype(np.float64) * 2.0**-53
        limit = max(p for p, _, _ in self.texts.values()) if len(self.texts) >= self.size else np.inf
        for i in np.flatnonzero(rank < limit):
            digest = int(chunk.digests[i])
            if digest not in self.texts:
                features = found.group[found.ordinal == chunk.ordinals[i]]
                self.texts[digest] = (float(rank[i]), int(chunk.ordinals[i]), features.astype(np.int32))
        if len(self.texts) > self.size:
            kept = sorted(self.texts.items(), key=lambda item: (item[1][0], item[0]))[: self.size]
            self.texts = dict(kept)

    def silent(
        self, n_features: int, size: int, progress: Callable[[int], object] = lambda _n: None
    ) -> Entries:
        """`size` texts for each feature in which it is silent at every position looked at; fewer when the
        pool has fewer. [n], by feature, then by priority. `progress` is told how many features each block had."""
        items = sorted(self.texts.items(), key=lambda item: item[1][1])
        digests = np.array([digest for digest, _ in items], dtype=np.uint64)
        ordinals = np.array([ordinal for _, (_, ordinal, _) in items], dtype=np.int64)
        parts: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.int64]]] = []
        # Features in blocks, so that the peak is [block, pool] whatever M is.
        block = max(1, 4_000_000 // max(1, len(items)))
        for start in range(0, n_features, block):
            features = np.arange(start, min(start + block, n_features))
            key = priorities(
                self.seed + 1, np.repeat(features, len(items)), np.tile(digests, len(features))
            ).reshape(len(features), len(items))
            for column, (_, (_, _, active)) in enumerate(items):
                here = active[(active >= start) & (active < start + len(features))]
                key[here - start, column] = np.inf
            best = np.argsort(key, axis=1, kind="stable")[:, :size]
            chosen = np.take_along_axis(key, best, 1)
            rows, columns = np.nonzero(np.isfinite(chosen))
            parts.append((features[rows], chosen[rows, columns], best[rows, columns]))
            progress(len(features))
        group = np.concatenate([p[0] for p in parts])
        where = np.concatenate([p[2] for p in parts])
        n = len(group)
        return Entries(
            group,
            np.concatenate([p[1] for p in parts]),
            digests[where],
            ordinals[where],
            np.zeros(n, dtype=np.float32),
            np.full(n, -1, dtype=np.int32),
        )

    def state(self) -> dict[str, np.ndarray]:
        """Everything as arrays."""
        items = list(self.texts.items())
        lengths = [len(features) for _, (_, _, features) in items]
        return {
            "digest": np.array([digest for digest, _ in items], dtype=np.uint64),
            "priority": np.array([p for _, (p, _, _) in items], dtype=np.float64),
            "ordinal": np.array([ordinal for _, (_, ordinal, _) in items], dtype=np.int64),
            "indptr": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            "features": np.concatenate([np.zeros(0, np.int32), *(f for _, (_, _, f) in items)]),
        }

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Continue from `state()`."""
        ends = state["indptr"]
        self.texts = {
            int(digest): (float(p), int(ordinal), state["features"][a:b])
            for digest, p, ordinal, a, b in zip(
                state["digest"], state["priority"], state["ordinal"], ends, ends[1:], strict=False
            )
        }
