"""Tables of the R best texts of each group, kept distinct, updated a chunk at a time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Entries", "Places"]


class Entries(NamedTuple):
    """Candidates for places, all [n]. The smallest `key` is the best; ties go to the smaller `digest`."""

    group: npt.NDArray[np.int64]
    key: npt.NDArray[np.float64]
    digest: npt.NDArray[np.uint64]
    ordinal: npt.NDArray[np.int64]
    z: npt.NDArray[np.float32]
    token: npt.NDArray[np.int32]

    def at(self, where: npt.NDArray) -> Entries:
        """A selection of the entries."""
        return Entries(*(column[where] for column in self))

    def joined(self, other: Entries) -> Entries:
        """Both, one after the other."""
        return Entries(*(np.concatenate([a, b]) for a, b in zip(self, other, strict=True)))


class Places:
    """`size` places in each of `n_groups` groups; a text (its digest) holds at most one place of a group.

    What is held is always the best `size` of everything offered, whatever the order of the offers: an entry
    only leaves for better ones. Memory is n_groups x size x 32 bytes, always.
    """

    def __init__(self, n_groups: int, size: int):
        self.size = size
        self.key = np.full((n_groups, size), np.inf)
        self.digest = np.zeros((n_groups, size), dtype=np.uint64)
        self.ordinal = np.full((n_groups, size), -1, dtype=np.int64)
        self.z = np.zeros((n_groups, size), dtype=np.float32)
        self.token = np.zeros((n_groups, size), dtype=np.int32)

    def offer(self, new: Entries) -> None:
        """Let candidates compete for places."""
        if not self.size or not len(new.group):
            return
        new = new.at(new.key <= self.key[new.group, -1])  # the last place is the hardest to lose
        if not len(new.group):
            return
        groups = np.unique(new.group)
        every = self.held(groups).joined(new)
        # One place a text: its best key. lexsort's last key is its first criterion.
        every = every.at(np.lexsort((every.ordinal, every.key, every.digest, every.group)))
        same = (every.group[1:] == every.group[:-1]) & (every.digest[1:] == every.digest[:-1])
        every = every.at(np.append(True, ~same))
        every = every.at(np.lexsort((every.digest, every.key, every.group)))
        starts = np.searchsorted(every.group, groups)
        rank = np.arange(len(every.group)) - np.repeat(starts, np.diff(np.append(starts, len(every.group))))
        every, rank = every.at(rank < self.size), rank[rank < self.size]
        self.clear(groups)
        self.key[every.group, rank] = every.key
        self.digest[every.group, rank] = every.digest
        self.ordinal[every.group, rank] = every.ordinal
        self.z[every.group, rank] = every.z
        self.token[every.group, rank] = every.token

    def held(self, groups: npt.NDArray[np.int64]) -> Entries:
        """What `groups` hold, group after group, best first."""
        taken = self.ordinal[groups] >= 0
        return Entries(
            np.repeat(groups, taken.sum(1)),
            self.key[groups][taken],
            self.digest[groups][taken],
            self.ordinal[groups][taken],
            self.z[groups][taken],
            self.token[groups][taken],
        )

    def clear(self, groups: npt.NDArray[np.int64]) -> None:
        """Empty all places of `groups`."""
        self.key[groups] = np.inf
        self.ordinal[groups] = -1

    def state(self) -> dict[str, np.ndarray]:
        """The taken places as arrays."""
        return dict(self.held(np.arange(len(self.key)))._asdict())

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Fill empty places from `state()`."""
        self.offer(Entries(**state))
