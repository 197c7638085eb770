"""Running statistics of every feature over positions: count, mean, extremes and a log-spaced histogram."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sarm_core.harvest.activity import ChunkActivity
from sarm_core.harvest.bins import log_bin, lower_edge

__all__ = ["FeatureStatistics", "Histogram"]

PER_OCTAVE = 4
LOWEST, HIGHEST = -12 * PER_OCTAVE, 12 * PER_OCTAVE  # bins from 2^-12 up to 2^12, then one open bin a side
N_BINS = HIGHEST - LOWEST + 2


@dataclass(frozen=True)
class Histogram:
    """Counts of activations between ascending edges (half-open bins, the last one closed by the maximum).

    Negative activations are in one bin of their own, the first, whose upper edge is 0. A bin that starts
    at 0 holds what is too small for the log-spaced ones.
    """

    edges: npt.NDArray[np.float64]
    """[bins + 1]"""
    counts: npt.NDArray[np.int64]
    """[bins]; they sum to the feature's count"""


class FeatureStatistics:
    """Statistics of M features over the positions seen. Memory is 816 M bytes.

    Sums are float64 and taken in the order of the chunks, so equal streams give equal bits.
    """

    def __init__(self, n_features: int):
        self.n_positions = 0
        self.n_texts = 0
        self.count = np.zeros(n_features, dtype=np.int64)
        self.negative = np.zeros(n_features, dtype=np.int64)
        self.total = np.zeros(n_features, dtype=np.float64)
        self.max = np.full(n_features, -np.inf, dtype=np.float32)
        self.min = np.full(n_features, np.inf, dtype=np.float32)
        self.bins = np.zeros((n_features, N_BINS), dtype=np.int64)

    def update(self, chunk: ChunkActivity) -> None:
        """Take in one chunk; the chunks must come in order."""
        self.n_positions += len(chunk.position_text)
        self.n_texts += len(chunk.ordinals)
        if not len(chunk.features):
            return
        order = np.argsort(chunk.features, kind="stable")
        features, z = chunk.features[order], chunk.values[order]
        ids, starts = np.unique(features, return_index=True)
        self.count[ids] += np.diff(np.append(starts, len(features)))
        self.total[ids] += np.add.reduceat(z.astype(np.float64), starts)
        self.max[ids] = np.maximum(self.max[ids], np.maximum.reduceat(z, starts))
        self.min[ids] = np.minimum(self.min[ids], np.minimum.reduceat(z, starts))
        below = z < 0
        self.negative += np.bincount(features[below], minlength=len(self.count))
        features, z = features[~below], z[~below]
        places = np.clip(log_bin(z, PER_OCTAVE), LOWEST - 1, HIGHEST) - (LOWEST - 1)
        flat, counts = np.unique(features.astype(np.int64) * N_BINS + places, return_counts=True)
        self.bins.reshape(-1)[flat] += counts

    def mean(self, feature: int) -> float | None:
        """Mean z over the positions where the feature is active; None when there are none."""
        count = int(self.count[feature])
        return float(self.total[feature] / count) if count else None

    def histogram(self, feature: int) -> Histogram | None:
        """The bins between the smallest and the largest activation; None for a feature that never fired."""
        edges: list[float] = []
        counts: list[int] = []
        if self.negative[feature]:
            edges, counts = [float(self.min[feature])], [int(self.negative[feature])]
        row = self.bins[feature]
        filled = np.flatnonzero(row)
        if len(filled):
            first, last = int(filled[0]), int(filled[-1])
            if edges and first > 0:
                edges.append(0.0)
                counts.append(0)  # between 0 and the first filled bin
            for place in range(first, last + 1):
                edges.append(0.0 if place == 0 else lower_edge(place + LOWEST - 1, PER_OCTAVE))
                counts.append(int(row[place]))
            upper = lower_edge(last + LOWEST, PER_OCTAVE)
            edges.append(upper if last < N_BINS - 1 else float(np.nextafter(self.max[feature], np.inf)))
        elif edges:
            edges.append(0.0)
        return Histogram(np.array(edges), np.array(counts, dtype=np.int64)) if counts else None

    def state(self) -> dict[str, np.ndarray]:
        """Everything as arrays, rows of features that fired."""
        ids = np.flatnonzero(self.count)
        return {
            "seen": np.array([self.n_positions, self.n_texts], dtype=np.int64),
            "ids": ids,
            "count": self.count[ids],
            "negative": self.negative[ids],
            "total": self.total[ids],
            "max": self.max[ids],
            "min": self.min[ids],
            "bins": self.bins[ids],
        }

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Continue from `state()`."""
        self.n_positions, self.n_texts = (int(n) for n in state["seen"])
        ids = state["ids"]
        for name in ("count", "negative", "total", "max", "min", "bins"):
            getattr(self, name)[ids] = state[name]
