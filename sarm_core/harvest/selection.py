"""From what the stream kept to the examples of every feature, parted for labelling and for checking labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sarm_core.harvest.accumulator import Accumulator
from sarm_core.harvest.places import Entries
from sarm_core.harvest.samples import N_BANDS
from sarm_core.harvest.settings import HarvestSettings

__all__ = ["KINDS", "Kept", "KeptExample", "select"]

KINDS = ("top", "band", "random", "silent")
PURPOSES = ("label", "check")


@dataclass(frozen=True)
class KeptExample:
    """One place of one text among the examples of a feature."""

    feature: int
    kind: str
    rank: int
    """Place within kind and band, from 0"""
    purpose: str
    ordinal: int
    activation: float
    """z at the peak; 0 for silent texts"""
    token: int | None
    """Token index of the peak"""
    band: int | None = None
    band_low: float | None = None
    band_high: float | None = None


@dataclass(frozen=True)
class Kept:
    """Examples as columns, by feature, kind, band and rank; [n] each."""

    feature: npt.NDArray[np.int64]
    kind: npt.NDArray[np.int8]
    band: npt.NDArray[np.int8]
    """-1 where there is none"""
    rank: npt.NDArray[np.int32]
    check: npt.NDArray[np.bool_]
    ordinal: npt.NDArray[np.int64]
    digest: npt.NDArray[np.uint64]
    z: npt.NDArray[np.float32]
    token: npt.NDArray[np.int32]
    pool: npt.NDArray[np.int64]
    """Ordinals of the sampled texts of the corpus, ascending [pool]"""
    pool_digest: npt.NDArray[np.uint64]

    def texts(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
        """Every kept text: ordinals, ascending, and digests."""
        ordinals, first = np.unique(np.concatenate([self.ordinal, self.pool]), return_index=True)
        return ordinals, np.concatenate([self.digest, self.pool_digest])[first]

    def examples(self, accumulator: Accumulator) -> Iterator[KeptExample]:
        """One by one, with the edges of their bands."""
        minimum = accumulator.statistics.min
        columns = zip(
            self.feature.tolist(),
            self.kind.tolist(),
            self.band.tolist(),
            self.rank.tolist(),
            self.check.tolist(),
            self.ordinal.tolist(),
            self.z.tolist(),
            self.token.tolist(),
            strict=True,
        )
        for feature, kind, band, rank, check, ordinal, z, token in columns:
            low, high = (None, None)
            if band >= 0:
                low, high = accumulator.bands.edges(feature, band, float(minimum[feature]))
            yield KeptExample(
                feature,
                KINDS[kind],
                rank,
                PURPOSES[check],
                ordinal,
                z,
                None if token < 0 else token,
                None if band < 0 else band,
                low,
                high,
            )


def select(
    accumulator: Accumulator, settings: HarvestSettings, progress: Callable[[int], object] = lambda _n: None
) -> Kept:
    """The examples of all features.

    A text (one digest) that the corpus holds several times is represented by its first copy. In each list
    label and check alternate by rank; a text that is in two lists of a feature has one purpose in both.
    `progress` is told how many features each block had.
    """
    features = np.flatnonzero(accumulator.statistics.count)
    top = accumulator.top.held(features)
    banded = accumulator.bands.places.held((features[:, None] * N_BANDS + np.arange(N_BANDS)).ravel())
    silent = accumulator.pool.silent(len(accumulator.statistics.count), settings.silent, progress)
    silent = silent.at(accumulator.statistics.count[silent.group] > 0)
    band_feature, band = np.divmod(banded.group, N_BANDS)
    banded = banded._replace(group=band_feature)
    # A copy of a text whose z differs in its last bit may sit in the next band as well: the stronger stays.
    order = np.lexsort((band, banded.digest, banded.group))
    twice = np.zeros(len(order), dtype=bool)
    twice[order[1:]] = (banded.group[order][1:] == banded.group[order][:-1]) & (
        banded.digest[order][1:] == banded.digest[order][:-1]
    )
    banded, band = banded.at(~twice), band[~twice]
    # The smallest keys of all bands together are a uniform sample of every firing text.
    order = np.lexsort((banded.digest, banded.key, banded.group))
    random = banded.at(order)
    random = random.at(_rank(random.group) < settings.random)

    lists = ((top, None), (banded, band), (random, None), (silent, None))
    every = Entries(*(np.concatenate([part[i] for part, _ in lists]) for i in range(len(top))))
    kind = np.repeat(np.arange(4, dtype=np.int8), [len(part.group) for part, _ in lists])
    bands = np.concatenate(
        [np.full(len(p.group), -1, np.int8) if b is None else b.astype(np.int8) for p, b in lists]
    )
    # Entries come best first within each list, so a stable sort keeps that order.
    order = np.lexsort((bands, kind, every.group))
    every, kind, bands = every.at(order), kind[order], bands[order]
    rank = _rank((every.group * 4 + kind) * (N_BANDS + 1) + bands)
    pool = sorted((ordinal, digest) for digest, (_, ordinal, _) in accumulator.pool.texts.items())
    return Kept(
        every.group,
        kind,
        bands,
        rank,
        _checks(every.group, kind, bands, every.digest),
        _first_copy(every, accumulator),
        every.digest,
        every.z,
        every.token,
        np.array([ordinal for ordinal, _ in pool], dtype=np.int64),
        np.array([digest for _, digest in pool], dtype=np.uint64),
    )


def _rank(groups: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """Place of each entry in its run of equal groups."""
    if not len(groups):
        return np.zeros(0, dtype=np.int32)
    starts = np.flatnonzero(np.append(True, groups[1:] != groups[:-1]))
    return (np.arange(len(groups)) - np.repeat(starts, np.diff(np.append(starts, len(groups))))).astype(
        np.int32
    )


def _checks(
    feature: npt.NDArray[np.int64],
    kind: npt.NDArray[np.int8],
    band: npt.NDArray[np.int8],
    digest: npt.NDArray[np.uint64],
) -> npt.NDArray[np.bool_]:
    """Whether each entry is kept for checking labels: in turn, unless the text has its purpose already."""
    out = np.zeros(len(feature), dtype=bool)
    known: dict[int, bool] = {}
    balance, current, current_list = 0, -1, (-1, -1)
    rows = zip(feature.tolist(), kind.tolist(), band.tolist(), digest.tolist(), strict=True)
    for i, (f, k, b, text) in enumerate(rows):
        if f != current:
            known, current = {}, f
            current_list = (-1, -1)
        if (k, b) != current_list:
            balance, current_list = 0, (k, b)
        if text not in known:
            known[text] = balance > 0
        out[i] = known[text]
        balance += -1 if out[i] else 1
    return out


def _first_copy(every: Entries, accumulator: Accumulator) -> npt.NDArray[np.int64]:
    """The smallest ordinal known for each entry's digest."""
    items = accumulator.pool.texts.items()
    digests = np.concatenate([every.digest, np.array([d for d, _ in items], dtype=np.uint64)])
    ordinals = np.concatenate([every.ordinal, np.array([o for _, (_, o, _) in items], dtype=np.int64)])
    unique, inverse = np.unique(digests, return_inverse=True)
    first = np.full(len(unique), np.iinfo(np.int64).max)
    np.minimum.at(first, inverse, ordinals)
    return first[inverse[: len(every.digest)]]
