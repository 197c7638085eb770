"""A steering learned from preferences, proved on the half of their prompts from which it did not learn."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sarm_core.bootstrap import FEWEST_PROMPTS
from sarm_core.errors import SarmError
from sarm_core.features import FeatureMatrix
from sarm_core.figures import plural
from sarm_core.notebook import BAR, bar, drawn
from sarm_core.prove.complement import Complement
from sarm_core.steering import Steering
from sarm_core.train.held_out import Accuracy
from sarm_core.wish.elsewhere import Elsewhere, turned_elsewhere
from sarm_core.wish.fit import Problem, Strength, best_strength, strengths
from sarm_core.wish.labelled import LabelledPairs
from sarm_core.wish.measured import Gain, Measured
from sarm_core.wish.multipliers import HIGH, LOW, MOST, HasMatrix
from sarm_core.wish.preferences import Preferences
from sarm_core.wish.question import Question, question_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FrontierPoint", "Learned", "LearningPoint", "halves", "learn", "learned"]

SHARES = (0.125, 0.25, 0.5)
"""Of the prompts to learn from: the points of the learning curve before the last, which is all of them"""


@dataclass(frozen=True)
class FrontierPoint:
    """One strength: how many features it moves, what it gains on the held-out half, what it turns elsewhere.

    `turned`, `turned_low`, `turned_high` are the share of orders elsewhere with its interval, None without other
    answers. `chosen` marks the strength that was taken.
    """

    penalty: float
    share: float
    n_features: int
    loss: float
    accuracy: float
    gain: Gain
    turned: float | None
    turned_low: float | None
    turned_high: float | None
    chosen: bool


@dataclass(frozen=True)
class LearningPoint:
    """What so many pairs would have taught: all is done anew with them, and measured on the same held-out half."""

    n_pairs: int
    n_prompts: int
    n_features: int
    accuracy: float
    gain: Gain


@dataclass(frozen=True)
class Learned:
    """What preferences teach, and whether it holds on prompts that took no part.

    `steering` is whole, with what stood before; None where the gain is not told apart from none: `why` says it in one
    line. `found` is the steering that was measured, told apart or not; `moved` gives its (multiplier before, after) by
    feature, those first that move the leads most. `before` and `after` are accuracies on the held-out half, `gain` the
    change between them. `penalty` chose the features, the `share` of it their multipliers. `n_pairs` of `n_prompts`
    prompts were learned from; `alike` pairs had two answers that are the same, `ties` are not measured on.
    """

    steering: Steering | None
    why: str
    found: Steering
    moved: dict[int, tuple[float, float]]
    n_pairs: int
    n_prompts: int
    alike: int
    ties: int
    before: Accuracy
    after: Accuracy
    gain: Gain
    penalty: float
    share: float
    frontier: tuple[FrontierPoint, ...]
    collateral: Elsewhere | None
    preferences: Preferences = field(repr=False, compare=False)
    measured: Measured = field(repr=False, compare=False)

    def frame(self) -> pd.DataFrame:
        """One row a feature whose multiplier moves: feature, before, after; those first that move leads most."""
        import pandas as pd

        rows = [(feature, before, after) for feature, (before, after) in self.moved.items()]
        return pd.DataFrame(rows, columns=["feature", "before", "after"])

    def _repr_html_(self) -> str:
        furthest = max((abs(after - before) for before, after in self.moved.values()), default=0.0)
        rows = [
            (f"#{feature}", bar(after - before, furthest), f"×{before:.3g}", f"×{after:.3g}")
            for feature, (before, after) in self.moved.items()
        ]
        title = f"{plural(len(rows), 'multiplier')} learned from {plural(self.n_pairs, 'pair')}"
        note = self.why or self.measured_in_words
        return drawn(title, ("feature", BAR, "before", "after"), rows, text=(0,), note=note)

    @property
    def measured_in_words(self) -> str:
        """Held-out accuracy before and after, the change with its interval, over how much."""
        return (
            f"held-out accuracy {self.before.accuracy:.1%} -> {self.after.accuracy:.1%} ({self.gain.in_words}) over "
            f"{plural(self.before.n, 'pair')} of {plural(self.before.prompts, 'prompt')}"
        )

    @cached_property
    def curve(self) -> tuple[LearningPoint, ...]:
        """Held-out gain against the number of pairs learned from. Worked out when asked for."""
        return tuple(_curve(self))


def learn(
    scored: FeatureMatrix | HasMatrix,
    pairs: npt.ArrayLike | LabelledPairs,
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
) -> Learned:
    """Multipliers under which answers of `scored` stand as `pairs` int [p, 2] say (chosen, rejected), if they hold.

    `pairs` may be `LabelledPairs`, whose answers `scored` holds in their order.

    Half of the prompts teach (`fit` has the loss), with the strength of the penalty by cross-validation over them; the
    other half measures. `weights` [p] are shares of pairs, `tied` [p] says which two are equally good, `prompts` [p]
    which pairs belong together (default: those that share answers). `start` is the steering that stands now. Moving a
    multiplier costs the same for every feature, and more the more reward it carries in the answers of `elsewhere` than
    in these. Multipliers stay in [low, high], or where `start` has them outside; at most `max_features` move (None:
    no limit), of those among `features` where given, and at most a share of `max_collateral` of the orders elsewhere
    turns. `seed` draws halves and folds.

    Raises SarmError for pairs and limits that do not fit, and for fewer than 10 prompts in a half.
    """
    question = question_of(scored, start, elsewhere, low, high, max_features, max_collateral, features)
    preferences = preferences_of(question, pairs, weights, tied, prompts, seed)
    return learned(question, preferences, preferences.held_out)


def preferences_of(
    question: Question,
    pairs: npt.ArrayLike | LabelledPairs,
    weights: npt.ArrayLike | None,
    tied: npt.ArrayLike | None,
    prompts: Sequence[Hashable] | None,
    seed: int,
) -> Preferences:
    """The pairs, checked; those of files bring their weights, ties and prompts. Raises SarmError."""
    n = len(question.matrix)
    if isinstance(pairs, LabelledPairs):
        return Preferences.of(
            n, pairs.pairs, weights=pairs.weights, tied=pairs.tied, prompts=pairs.prompts, seed=seed
        )
    return Preferences.of(n, pairs, weights=weights, tied=tied, prompts=prompts, seed=seed)


def learned(question: Question, preferences: Preferences, held_out: npt.NDArray[np.bool_]) -> Learned:
    """Learn from the pairs outside of `held_out` bool [pairs], and measure on those in it."""
    train, test = halves(preferences, held_out)
    for part, what in ((train, "to learn from"), (test, "to measure on")):
        if part.n_prompts < FEWEST_PROMPTS:
            raise SarmError(
                f"{part.n_prompts} of {preferences.n_prompts} prompts are left {what}: at least {FEWEST_PROMPTS} "
                "are needed in each half, so give preferences on more prompts"
            )
    differ = preferences.chosen != preferences.rejected
    measured, taught = Measured(question, test), _Taught.by(question, train)
    problem, steering = taught.problem, taught.steering
    frontier = tuple(
        _frontier(measured, one, each, int((one.multipliers != problem.now).sum()), i == taught.taken)
        for i, (one, each) in enumerate(zip(taught.path, taught.steerings, strict=True))
        if i
    )
    now, new = problem.now, taught.path[taught.taken].multipliers
    moved = [int(i) for i in np.flatnonzero(new != now)]
    squares = problem.own_part.squares
    moved.sort(key=lambda i: -float(squares[i]) * float(new[i] - now[i]) ** 2)
    result = Learned(
        steering,
        "",
        steering,
        {int(problem.ids[i]): (float(now[i]), float(new[i])) for i in moved},
        len(train),
        train.n_prompts,
        int((~differ).sum()),
        int((preferences.tied & differ).sum()),
        measured.held.accuracy(measured.before),
        measured.held.accuracy(measured.after(steering)),
        measured.gain(steering),
        taught.path[taught.taken].penalty,
        taught.path[taught.taken].share,
        frontier,
        None
        if question.elsewhere is None
        else turned_elsewhere(question.elsewhere, question.start, steering),
        train,
        measured,
    )
    why = _why(result)
    return replace(result, steering=None, why=why) if why else result


def halves(preferences: Preferences, held_out: npt.NDArray[np.bool_]) -> tuple[Preferences, Preferences]:
    """Those to learn from and those to measure on. Pairs of an answer with itself are in neither, ties not in the
    second: they have no order to measure."""
    differ = preferences.chosen != preferences.rejected
    return preferences.some(differ & ~held_out), preferences.some(differ & held_out & ~preferences.tied)


@dataclass(frozen=True)
class _Taught:
    """All strengths on some preferences, with the one that is `taken`."""

    problem: Problem
    path: list[Strength]
    steerings: list[Steering]
    taken: int

    @classmethod
    def by(cls, question: Question, preferences: Preferences) -> _Taught:
        problem = question.problem(preferences)
        path = strengths(problem, question.max_features)
        steerings = [question.steering(problem, one.multipliers) for one in path]
        limit = question.max_collateral
        allowed = None if limit is None else [question.turned(steering) <= limit for steering in steerings]
        return cls(problem, path, steerings, best_strength(path, preferences, allowed))

    @property
    def steering(self) -> Steering:
        return self.steerings[self.taken]

    @property
    def n_features(self) -> int:
        return int((self.path[self.taken].multipliers != self.problem.now).sum())


def _why(found: Learned) -> str:
    """Why no steering is proposed, in one line; "" where one is."""
    question = found.measured.question
    if not found.moved:
        limited = question.max_collateral is not None
        return (
            f"no change of multipliers{' within the limits' if limited else ''} beats none in cross-validation over "
            f"{found.n_prompts:,} prompts: there is nothing to propose"
        )
    if found.gain.told_apart:
        return ""
    few = (
        "" if found.gain.low is None or found.gain.low <= 0 else "; too few prompts change to rule out a coin"
    )
    return f"not told apart from no change: {found.measured_in_words}{few}"


def _frontier(
    measured: Measured, one: Strength, steering: Steering, n_features: int, chosen: bool
) -> FrontierPoint:
    question, there = measured.question, None
    if question.elsewhere is not None:
        there = turned_elsewhere(question.elsewhere, question.start, steering)
    return FrontierPoint(
        one.penalty,
        one.share,
        n_features,
        one.loss,
        measured.held.share_right(measured.after(steering)),
        measured.gain(steering),
        None if there is None else _known(there.collateral.share_flipped),
        None if there is None else _known(there.low),
        None if there is None else _known(there.high),
        chosen,
    )


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _curve(found: Learned) -> list[LearningPoint]:
    """One point a share of the prompts, the smaller ones within the larger ones."""
    train, measured, points = found.preferences, found.measured, []
    for share in SHARES:
        some = train.some(train.in_order < round(share * train.n_prompts))
        if some.n_prompts < FEWEST_PROMPTS:
            continue
        taught = _Taught.by(measured.question, some)
        points.append(
            LearningPoint(
                len(some),
                some.n_prompts,
                taught.n_features,
                measured.held.share_right(measured.after(taught.steering)),
                measured.gain(taught.steering),
            )
        )
    last = LearningPoint(len(train), train.n_prompts, len(found.moved), found.after.accuracy, found.gain)
    return [*points, last]
