"""One steering a person or a group, side by side: where their preferences differ, and whose steering fits whom."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from sarm_core.bootstrap import FEWEST_PROMPTS, draws, interval
from sarm_core.errors import SarmError
from sarm_core.features import FeatureMatrix
from sarm_core.prove.complement import Complement
from sarm_core.steering import Steering
from sarm_core.wish.fit import Problem
from sarm_core.wish.labelled import LabelledPairs
from sarm_core.wish.learned import Learned, halves, learned, preferences_of
from sarm_core.wish.measured import Gain
from sarm_core.wish.multipliers import HIGH, LOW, MOST, HasMatrix
from sarm_core.wish.question import question_of

__all__ = ["Crossed", "Difference", "Multiplier", "Profiles", "learn_each"]

Floats = npt.NDArray[np.float64]

RESAMPLES = 200
"""Of the prompts learned from; every one is fitted again"""


@dataclass(frozen=True)
class Multiplier:
    """What somebody's preferences multiply a feature by, with its 95 % interval over the prompts learned from."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """How much more `one` wants of a feature than `other`: multiplier minus multiplier, with its 95 % interval.

    Prompts are drawn anew, those that both judged together, and both are fitted again at their own strength.
    """

    feature: int
    one: str
    other: str
    difference: float
    low: float
    high: float

    @property
    def told_apart(self) -> bool:
        """Whether the interval leaves out 0. Of twenty features that do not differ, one may."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Crossed:
    """The steering of `of` on the held-out pairs of `on`: accuracy, and what it gains there."""

    of: str
    on: str
    accuracy: float
    gain: Gain


@dataclass(frozen=True)
class Profiles:
    """`learned` by name; `left_out` names with too few prompts, and how many they have.

    `multipliers` gives, by name and feature, those of every feature that any of them moves, fitted for everybody over
    all of these: what an L1 penalty lets through for the one and not for the other hangs on little. `differences` are
    of every two names, told apart first, then by size. `crossed` holds every steering on everybody's held-out pairs;
    nobody's steering has learned from a prompt on which anybody's is measured.
    """

    learned: dict[str, Learned]
    left_out: dict[str, int]
    multipliers: dict[str, dict[int, Multiplier]]
    differences: tuple[Difference, ...]
    crossed: tuple[Crossed, ...]


def learn_each(
    scored: FeatureMatrix | HasMatrix,
    pairs: npt.ArrayLike | LabelledPairs,
    groups: Sequence[str] | None = None,
    *,
    weights: npt.ArrayLike | None = None,
    tied: npt.ArrayLike | None = None,
    prompts: Sequence[Hashable] | None = None,
    start: Steering | None = None,
    elsewhere: Complement | FeatureMatrix | None = None,
    low: float = LOW,
    high: float = HIGH,
    max_features: int | None = MOST,
    max_collateral: float | None = None,
    features: Collection[int] | None = None,
    seed: int = 0,
) -> Profiles:
    """`learn` for each of the `groups` [p] (names; default: those of `LabelledPairs`) on pairs of its own.

    Halves are drawn over the prompts of all. Raises SarmError as `learn`, and where no group has prompts enough.
    """
    question = question_of(scored, start, elsewhere, low, high, max_features, max_collateral, features)
    preferences = preferences_of(question, pairs, weights, tied, prompts, seed)
    if groups is None and isinstance(pairs, LabelledPairs):
        groups = pairs.groups
    if groups is None or len(groups) != len(preferences):
        raise SarmError(f"groups must name a person or a group for each of {len(preferences)} pairs")
    names = np.array(groups, dtype=object).astype(str)
    held_out = preferences.held_out
    found: dict[str, Learned] = {}
    left_out: dict[str, int] = {}
    for name in (str(name) for name in np.unique(names)):
        own = names == name
        some = preferences.some(own)
        if min(part.n_prompts for part in halves(some, held_out[own])) < FEWEST_PROMPTS:
            left_out[name] = some.n_prompts
        else:
            found[name] = learned(question, some, held_out[own])
    if not found:
        raise SarmError(
            f"none of {len(left_out)} groups has {FEWEST_PROMPTS} prompts in each half: give more preferences a group"
        )
    union = np.unique([feature for each in found.values() for feature in each.moved]).astype(np.int64)
    values, drawn = _fitted(found, union, seed)
    multipliers = {
        name: {
            int(feature): Multiplier(float(values[name][i]), *interval(drawn[name][:, i], 0.95))
            for i, feature in enumerate(union)
        }
        for name in found
    }
    differences = [
        Difference(
            int(feature),
            one,
            other,
            float(values[one][i] - values[other][i]),
            *interval(drawn[one][:, i] - drawn[other][:, i], 0.95),
        )
        for one, other in combinations(found, 2)
        for i, feature in enumerate(union)
    ]
    differences.sort(key=lambda each: (not each.told_apart, -abs(each.difference)))
    crossed = tuple(
        Crossed(of, on, there.held.share_right(there.after(mine.found)), there.gain(mine.found))
        for of, mine in found.items()
        for on, there in ((name, each.measured) for name, each in found.items())
    )
    return Profiles(found, left_out, multipliers, tuple(differences), crossed)


def _fitted(
    found: dict[str, Learned], union: npt.NDArray[np.int64], seed: int
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Multipliers by name of the features `union`: [features], and [resamples, features] of prompts drawn anew over all
    names at once. Everybody's are fitted over all of these features, at the penalty that was taken for each."""
    ranks = np.unique(np.concatenate([each.preferences.rank for each in found.values()]))
    problems: dict[str, Problem] = {}
    values: dict[str, Floats] = {}
    drawn: dict[str, Floats] = {}

    def fit(name: str, weights: Floats | None = None) -> Floats:
        problem, each = problems[name], found[name]
        total = each.measured.question.start.multipliers()
        out = np.array([total.get(int(feature), 1.0) for feature in union], dtype=np.float64)
        if len(problem.ids) and (weights is None or weights.any()):
            (u,) = problem.path([each.penalty * each.share], weights)
            out[np.searchsorted(union, problem.ids)] = problem.multipliers(u)
        return out

    for name, each in found.items():
        problem = each.measured.question.problem(each.preferences)
        problems[name] = problem.of_features(np.isin(problem.ids, union))
        values[name], drawn[name] = fit(name), np.zeros((RESAMPLES, len(union)))
    for block, counts in draws(len(ranks), RESAMPLES, np.random.default_rng(seed)):
        for number, count in zip(range(RESAMPLES)[block], counts, strict=True):
            for name, problem in problems.items():
                own = problem.preferences
                drawn[name][number] = fit(name, own.weights * count[np.searchsorted(ranks, own.rank)])
    return values, drawn
