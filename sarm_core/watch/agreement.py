"""Whether the trainer's own rewards are those of this model: the same answers, two columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sarm_core.features import reward_order

__all__ = ["Agreement", "agreements"]

_SAME = 2e-3
"""Rewards of one model that differ by less: batches of other company, float32"""
_MOST = 200_000


@dataclass(frozen=True)
class Agreement:
    """The trainer's column `name` beside our rewards of the same `n` answers.

    `largest` and `mean` are differences, theirs less ours. `alike` is the share of pairs of answers to one prompt at
    one step that both put in the same order, NaN without such a pair.
    """

    name: str
    n: int
    largest: float
    mean: float
    alike: float

    @property
    def is_same(self) -> bool:
        """Whether it is this reward but for rounding."""
        return abs(self.largest) <= _SAME

    @property
    def in_words(self) -> str:
        """One line: the same reward, or how far it is from it and what that may be."""
        if self.is_same:
            return f"the trainer's {self.name} is this reward (largest difference {abs(self.largest):.0e})"
        order = (
            "" if np.isnan(self.alike) else f" and orders {self.alike:.0%} of two answers to a prompt alike"
        )
        return (
            f"the trainer's {self.name} differs from this reward by {self.mean:+.3g} on average, by "
            f"{self.largest:+.3g} at most{order}: another steering, model, chat template or context?"
        )


def agreements(
    rewards: npt.NDArray[np.float32],
    figures: Sequence[Mapping[str, float]],
    groups: npt.NDArray[np.int64],
    names: Sequence[str],
) -> tuple[Agreement, ...]:
    """The columns `names` of `figures` [n] beside `rewards` [n], the closest first; `groups` int [n] are equal for
    answers to one prompt at one step."""
    found = []
    for name in names:
        theirs = np.array([row.get(name, np.nan) for row in figures])
        there = ~np.isnan(theirs)
        if there.any():
            off = theirs[there] - rewards[there]
            largest = float(off[np.argmax(np.abs(off))])
            alike = _alike(rewards[there], theirs[there], groups[there])
            found.append(Agreement(name, int(there.sum()), largest, float(off.mean()), alike))
    return tuple(sorted(found, key=lambda one: abs(one.largest)))


def _alike(ours: npt.NDArray, theirs: npt.NDArray, groups: npt.NDArray[np.int64]) -> float:
    order = np.argsort(groups, kind="stable")
    same = pairs = 0
    for rows in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        left, right = (rows[half] for half in np.triu_indices(rows.size, 1))
        same += int(
            (reward_order(ours[left], ours[right]) == reward_order(theirs[left], theirs[right])).sum()
        )
        pairs += left.size
        if pairs > _MOST:
            break
    return same / pairs if pairs else float("nan")
