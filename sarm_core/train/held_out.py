"""How a head does on held-out pairs: accuracy in all and per source, and differences, with intervals over prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from sarm_core.bootstrap import FEWEST_PROMPTS, KeptDraws, interval

__all__ = ["RESAMPLES", "Accuracy", "HeldOut"]

RESAMPLES = 2000
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Accuracy:
    """Weighted share of `n` pairs of `prompts` prompts that are put in order; a tie counts as wrong.

    `low` and `high` are a 95 % bootstrap interval over prompts, None with too few of them.
    """

    n: int
    prompts: int
    accuracy: float
    low: float | None
    high: float | None
    ties: int


class HeldOut:
    """Pairs by their `weights` [pairs], `prompts` (any keys, [pairs]) and `sources` [pairs].

    Intervals are of `resamples` rounds that `seed` draws.
    """

    def __init__(
        self,
        weights: Floats,
        prompts: Sequence[str],
        sources: Sequence[str],
        seed: int = 0,
        resamples: int = RESAMPLES,
    ) -> None:
        self.weights = np.asarray(weights, dtype=np.float64)
        _, self.prompt = np.unique(np.array(prompts, dtype=object).astype(str), return_inverse=True)
        self.sources = np.array(sources, dtype=object).astype(str)
        self.seed, self.resamples = seed, resamples

    @property
    def n_prompts(self) -> int:
        """How many prompts there are."""
        return int(self.prompt.max(initial=-1)) + 1

    def by_prompt(self, values: Floats) -> Floats:
        """Weighted sums of `values` [pairs] over the pairs of each prompt, [prompts]."""
        sums = np.bincount(self.prompt, weights=self.weights * values, minlength=self.n_prompts)
        return sums.astype(np.float64)

    @cached_property
    def _draws(self) -> npt.NDArray[np.uint16]:
        return KeptDraws(np.zeros(self.n_prompts, dtype=np.int64), self.resamples, self.seed).counts

    @cached_property
    def _drawn_weight(self) -> Floats:
        return self.by_prompt(np.ones(len(self.weights))) @ self._draws

    def interval_of(self, values: Floats) -> tuple[float | None, float | None]:
        """95 % bootstrap interval over prompts of the weighted mean of `values` [pairs]; None with too few prompts."""
        if self.n_prompts < FEWEST_PROMPTS:
            return None, None
        low, high = interval(self.by_prompt(values) @ self._draws / self._drawn_weight, 0.95)
        return float(low), float(high)

    def accuracy(self, margins: Floats) -> Accuracy:
        """Of margins r_chosen - r_rejected [pairs]."""
        right = (margins > 0).astype(np.float64)
        low, high = self.interval_of(right)
        return Accuracy(
            len(margins),
            self.n_prompts,
            self.share_right(margins),
            low,
            high,
            int((margins == 0).sum()),
        )

    def share_right(self, margins: Floats) -> float:
        """`accuracy` without its interval."""
        return float(np.average(margins > 0, weights=self.weights))

    def by_source(self, margins: Floats) -> dict[str, Accuracy]:
        """`accuracy` of each source's pairs, and of all under "all"."""
        found = {
            str(name): self.of(self.sources == name).accuracy(margins[self.sources == name])
            for name in np.unique(self.sources)
        }
        return {**found, "all": self.accuracy(margins)}

    def of(self, some: npt.NDArray[np.bool_]) -> HeldOut:
        """Some of the pairs, with draws of their own."""
        prompts = [str(prompt) for prompt in self.prompt[some]]
        return HeldOut(self.weights[some], prompts, list(self.sources[some]), self.seed, self.resamples)

    def difference(self, ours: Floats, theirs: Floats) -> dict[str, float | int | None]:
        """Accuracy of the margins `ours` minus that of `theirs`, on the same redrawn prompts."""
        better = (np.asarray(ours) > 0).astype(np.float64) - (np.asarray(theirs) > 0)
        low, high = self.interval_of(better)
        mean = float(np.average(better, weights=self.weights))
        return {"difference": mean, "low": low, "high": high, "resamples": self.resamples}

    def standard_error(self, values: Floats) -> float:
        """Standard error, over prompts, of the weighted mean of `values` [pairs]; infinite for one prompt."""
        n = self.n_prompts
        if n < 2:
            return float("inf")
        mean = float(np.average(values, weights=self.weights))
        left = self.by_prompt(values - mean)
        return float(np.sqrt((left**2).sum() * n / (n - 1)) / self.weights.sum())
