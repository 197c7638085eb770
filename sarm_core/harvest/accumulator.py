"""Everything a harvest knows while it streams, and its exact state for a checkpoint."""

from __future__ import annotations

import numpy as np

from sarm_core.harvest.activity import ChunkActivity
from sarm_core.harvest.cofiring import PositionSample
from sarm_core.harvest.samples import N_BANDS, BandSamples, SilentPool, TopTexts, peaks
from sarm_core.harvest.settings import HarvestSettings
from sarm_core.harvest.statistics import FeatureStatistics

__all__ = ["Accumulator"]


class Accumulator:
    """Takes in chunks in order. Memory depends on M and the settings, never on how many chunks came.

    With M features: 816 M bytes of statistics, 32 M (top + 7 per_band) bytes of kept places, `pool` lists
    of firing features, and `pair_positions` lists more, on which pairs are counted. Texts are held as ordinals,
    not as text.
    """

    def __init__(self, n_features: int, settings: HarvestSettings, *, count_pairs: bool = True):
        self.statistics = FeatureStatistics(n_features)
        self.top = TopTexts(n_features, settings.top)
        self.bands = BandSamples(n_features, settings.per_band, settings.seed)
        self.pool = SilentPool(settings.pool, settings.seed)
        # Where every feature fires at every position, so does every pair.
        self.pairs = (
            PositionSample(n_features, settings.pair_positions, settings.seed) if count_pairs else None
        )
        self.next_chunk = 0
        self.rows_done = 0
        self.n_tokens = 0
        self.n_bad = 0

    @staticmethod
    def kept_bytes(n_features: int, settings: HarvestSettings) -> int:
        """Memory of the kept places alone: what of the whole grows with the settings."""
        return 32 * n_features * (settings.top + N_BANDS * settings.per_band)

    def update(self, chunk: ChunkActivity) -> None:
        """Take in the next chunk. Raises ValueError for one that is out of turn."""
        if chunk.number != self.next_chunk:
            raise ValueError(f"chunk {chunk.number} came when {self.next_chunk} was due")
        found = peaks(chunk)
        self.statistics.update(chunk)
        self.top.update(found)
        self.bands.update(found)
        self.pool.update(chunk, found)
        if self.pairs is not None:
            self.pairs.update(chunk)
        self.next_chunk += 1
        self.rows_done = chunk.rows_done
        self.n_tokens += chunk.n_tokens
        self.n_bad += len(chunk.bad)

    def state(self) -> dict[str, np.ndarray]:
        """All of it as named arrays."""
        parts = {
            "statistics": self.statistics.state(),
            "top": self.top.state(),
            "bands": self.bands.places.state(),
            "pool": self.pool.state(),
            "pairs": {} if self.pairs is None else self.pairs.state(),
        }
        arrays = {f"{part}.{name}": array for part, named in parts.items() for name, array in named.items()}
        arrays["highest"] = self.bands.highest
        arrays["progress"] = np.array(
            [self.next_chunk, self.rows_done, self.n_tokens, self.n_bad], dtype=np.int64
        )
        return arrays

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Continue from `state()`; the accumulator must be new and have the same settings."""

        def part(name: str) -> dict[str, np.ndarray]:
            return {k.removeprefix(name + "."): v for k, v in arrays.items() if k.startswith(name + ".")}

        self.statistics.restore(part("statistics"))
        self.top.restore(part("top"))
        self.bands.places.restore(part("bands"))
        self.bands.highest = arrays["highest"]
        self.pool.restore(part("pool"))
        if self.pairs is not None:
            self.pairs.restore(part("pairs"))
        self.next_chunk, self.rows_done, self.n_tokens, self.n_bad = (int(n) for n in arrays["progress"])
