"""Which of two kinds of answers the reward prefers, by how much, and because of what."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sarm_core.bootstrap import FEWEST_PROMPTS, interval, redrawn
from sarm_core.features import FeatureMatrix, reward_order

__all__ = ["Preference", "preference"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Preference:
    """What the head makes of pairs (chosen, rejected), answer p of both to one prompt.

    `n` pairs of which the first side wins `won` and ties `tied`; `share` is that of the first side's wins, a tie as
    half of one, of pairs with weights the weighted one, and `low`, `high` its 95 % interval over prompts, NaN below 10.
    `lead` is the mean of reward(chosen) - reward(rejected), which `parts` sums to: (feature, its share of the lead),
    largest first. `without` are the first features in favour of the preferred side (three at most), and `turned` the
    pairs whose winner changes when they are silenced together.
    """

    n: int
    won: int
    tied: int
    share: float
    low: float
    high: float
    lead: float
    parts: tuple[tuple[int, float], ...]
    without: tuple[int, ...]
    turned: int

    @property
    def kind(self) -> str:
        """ "first" or "second" where the interval of the share says which side is preferred, else "unclear"; "few"
        below the prompts that an interval needs."""
        if np.isnan(self.low):
            return "few"
        if self.low > 0.5:
            return "first"
        return "second" if self.high < 0.5 else "unclear"


def preference(
    chosen: FeatureMatrix,
    rejected: FeatureMatrix,
    prompts: Sequence[Hashable],
    weights: Sequence[float] | None = None,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Preference:
    """The preference over pairs that are rows of `chosen` and `rejected` of one model; offsets cancel.

    `prompts` [n] names the prompt of each pair, which the bootstrap draws; `weights` [n] are shares of pairs.
    """
    n = len(chosen)
    shares = np.ones(n) if weights is None else np.asarray(weights, np.float64)
    order = reward_order(chosen.rewards, rejected.rewards)
    credit = (order + 1) / 2
    parts = _parts(chosen, shares) - _parts(rejected, shares)
    low, high = _interval(credit, shares, prompts, resamples, seed)
    share = float(credit @ shares / shares.sum())
    ranked = np.argsort(-np.abs(parts), kind="stable")
    ranked = ranked[parts[ranked] != 0]
    favoured = 1.0 if share > 0.5 else -1.0
    without = tuple(int(i) for i in ranked if parts[i] * favoured > 0)[:3]
    after = reward_order(_silenced(chosen, without), _silenced(rejected, without))
    return Preference(
        n,
        int((order > 0).sum()),
        int((order == 0).sum()),
        share,
        low,
        high,
        float(parts.sum()),
        tuple((int(i), float(parts[i])) for i in ranked),
        without,
        int((after != order).sum()),
    )


def _parts(matrix: FeatureMatrix, shares: Floats) -> Floats:
    """The weighted mean of w z of each feature, float64 [M]."""
    means = np.asarray(matrix.csr.astype(np.float64).T @ shares).ravel() / shares.sum()
    return matrix.head.astype(np.float64) * means


def _silenced(matrix: FeatureMatrix, features: tuple[int, ...]) -> Floats:
    rewards = matrix.exact_rewards - matrix.offset_reward
    for feature in features:
        rows, z = matrix.column(feature)
        rewards[rows] -= float(matrix.head[feature]) * z.astype(np.float64)
    return rewards


def _interval(
    credit: Floats, shares: Floats, prompts: Sequence[Hashable], resamples: int, seed: int
) -> tuple[float, float]:
    number: dict[Hashable, int] = {}
    groups = np.array([number.setdefault(prompt, len(number)) for prompt in prompts], dtype=np.int64)
    if len(number) < FEWEST_PROMPTS:
        return np.nan, np.nan
    sums = np.stack([np.bincount(groups, each) for each in (credit * shares, shares)]).astype(np.float64)
    won, weight = redrawn(sums, resamples, np.random.default_rng(seed))
    return interval(won / weight, 0.95)
