"""Preferences between scored answers, and which of their prompts a steering learns from and which prove it."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from sarm_core.errors import SarmError

__all__ = ["Preferences"]

Floats = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Preferences:
    """Answer `chosen` is better than answer `rejected`, int64 [pairs] each; `tied` bool [pairs]: as good as it.

    `weights` float64 [pairs] are their shares, `prompts` [pairs] says which are of one prompt. `rank` int64 [pairs] is
    the place of a pair's prompt in an order that the seed draws and nothing else decides: neither the order of rows nor
    what else is asked.
    """

    chosen: Ids
    rejected: Ids
    weights: Floats
    tied: npt.NDArray[np.bool_]
    prompts: tuple[str, ...]
    rank: Ids

    @classmethod
    def of(
        cls,
        n_answers: int,
        pairs: npt.ArrayLike,
        *,
        weights: npt.ArrayLike | None = None,
        tied: npt.ArrayLike | None = None,
        prompts: Sequence[Hashable] | None = None,
        seed: int = 0,
    ) -> Preferences:
        """From `pairs` int [p, 2] (chosen, rejected) among `n_answers`; without `prompts` answers that pairs join are
        those of one prompt. Raises SarmError for what does not fit."""
        index = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
        n = len(index)
        if index.size and not (index.min() >= 0 and index.max() < n_answers):
            raise SarmError(f"a pair names answer {index.max()}, but there are {n_answers} answers")
        shares = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
        ties = np.zeros(n, dtype=bool) if tied is None else np.asarray(tied, dtype=bool)
        if shares.shape != (n,) or ties.shape != (n,) or not (np.isfinite(shares) & (shares > 0)).all():
            raise SarmError(f"weights must be a positive number, and ties a yes or no, for each of {n} pairs")
        if prompts is not None and len(prompts) != n:
            raise SarmError(f"prompts names {len(prompts)} prompts for {n} pairs: give one a pair")
        names = _joined(index, n_answers) if prompts is None else tuple(str(prompt) for prompt in prompts)
        return cls(index[:, 0], index[:, 1], shares, ties, names, _ranks(names, seed))

    def __len__(self) -> int:
        return len(self.chosen)

    @cached_property
    def n_prompts(self) -> int:
        """How many prompts there are."""
        return len(np.unique(self.rank))

    def some(self, rows: npt.NDArray[np.bool_] | Ids) -> Preferences:
        """Some of the pairs; a prompt keeps its rank."""
        numbers = np.arange(len(self))[rows]
        return Preferences(
            self.chosen[rows],
            self.rejected[rows],
            self.weights[rows],
            self.tied[rows],
            tuple(self.prompts[i] for i in numbers),
            self.rank[rows],
        )

    @cached_property
    def in_order(self) -> Ids:
        """The place of each pair's prompt among the prompts that there are, from 0, by rank, int [pairs]."""
        return np.unique(self.rank, return_inverse=True)[1].astype(np.int64)

    @cached_property
    def held_out(self) -> npt.NDArray[np.bool_]:
        """The pairs of the half of the prompts from which nothing is learned, bool [pairs]."""
        return self.in_order < self.n_prompts // 2


def _ranks(names: Sequence[str], seed: int) -> Ids:
    """The place of each name in the order of the hashes of all of them."""
    digests = {
        name: hashlib.sha256(f"learn:{seed}:{name}".encode("utf-8", "surrogatepass")).digest()
        for name in dict.fromkeys(names)
    }
    place = {name: i for i, name in enumerate(sorted(digests, key=digests.__getitem__))}
    return np.array([place[name] for name in names], dtype=np.int64)


def _joined(pairs: Ids, n: int) -> tuple[str, ...]:
    """A name a pair that is equal for pairs which share an answer, directly or over others."""
    ones = np.ones(len(pairs))
    joined = sparse.csr_matrix((ones, (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    return tuple(str(name) for name in connected_components(joined, directed=False)[1][pairs[:, 0]])
