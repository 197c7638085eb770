"""What a steering does to the order of held-out pairs: accuracy after minus before, with its interval over prompts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

from sarm_core.steering import Steering
from sarm_core.train.held_out import HeldOut
from sarm_core.wish.preferences import Preferences
from sarm_core.wish.question import Question

__all__ = ["Gain", "Measured"]

Floats = npt.NDArray[np.float64]

_SURE = 0.05


@dataclass(frozen=True)
class Gain:
    """Held-out accuracy after minus before, on the same pairs, with its 95 % interval over prompts.

    `won` pairs are in order after and were not before, `lost` ones the other way round. `told_apart`: the interval lies
    above 0, and so does the sign of the change in more prompts than a coin would give (exact test; a bootstrap of a
    few changed prompts alone is too sure).
    """

    difference: float
    low: float | None
    high: float | None
    won: int
    lost: int
    told_apart: bool

    @property
    def in_words(self) -> str:
        """The change with its interval, and how many pairs it won and lost."""
        sure = (
            "" if self.low is None or self.high is None else f", interval {self.low:+.1%} to {self.high:+.1%}"
        )
        return f"change {self.difference:+.1%}{sure}; {self.won} won, {self.lost} lost"


class Measured:
    """The held-out half: its pairs, their margins as things stand, and draws of its prompts for all intervals."""

    def __init__(self, question: Question, test: Preferences) -> None:
        self.question, self.test = question, test
        self.held = HeldOut(test.weights, test.prompts, [""] * len(test))
        self.before = question.margins(test, question.start)

    def after(self, steering: Steering) -> Floats:
        return self.question.margins(self.test, steering)

    def gain(self, steering: Steering) -> Gain:
        after = self.after(steering)
        better = (after > 0).astype(np.float64) - (self.before > 0)
        found = self.held.difference(after, self.before)
        signs = np.sign(self.held.by_prompt(better))
        ups, downs = int((signs > 0).sum()), int((signs < 0).sum())
        low, high = found["low"], found["high"]
        sure = ups > downs and float(binomtest(ups, ups + downs).pvalue) < _SURE
        return Gain(
            float(found["difference"] or 0.0),
            low,
            high,
            int((better > 0).sum()),
            int((better < 0).sum()),
            bool(low is not None and low > 0 and sure),
        )
