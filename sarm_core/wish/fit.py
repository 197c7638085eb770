"""Multipliers from preferences: penalised logistic regression around the steering that stands, one strength a time.

    P(chosen over rejected) = sigmoid(t (b + sum_f d_f (m_f - now_f)))     d_f = w_f (z_f chosen - z_f rejected)
    minimised               - log P of the pairs + penalty sum_f price_f |t (m_f - now_f)|        low <= m_f <= high

b is the lead that the chosen answer has as things stand. t is the unit: how many nats of certainty a reward is worth,
fitted on the same pairs to the leads as they stand. It changes no order, and without it the cheapest way to a higher
likelihood would often be to turn everything up, or down, alike. A price is 1, and with other answers 1 + the reward
that the feature carries there, mean |w z|, as a multiple of what it carries here: what decides elsewhere is dear.
Every problem is convex; `train.head_fit` solves a path of falling penalties. A penalty says which features move; how
far they move is fitted again with a part of it, where that does better ("relaxed lasso", Meinshausen 2007), for L1
holds back what it lets through. Both are chosen by cross-validation over prompts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.optimize import minimize_scalar

from sarm_core.features import FeatureMatrix
from sarm_core.steering import Steering
from sarm_core.train.head_fit import Part, l1_path, largest_l1
from sarm_core.train.held_out import HeldOut
from sarm_core.wish.multipliers import may_move
from sarm_core.wish.preferences import Preferences

__all__ = ["FOLDS", "Problem", "Strength", "best_strength", "strengths"]

Floats = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]

FOLDS = 5
STEP = 0.8
"""Ratio of one penalty to the one before."""
LONGEST = 40
PATIENCE = 4
"""Steps of the path without a better cross-validated loss before it ends, but not before `SHORTEST`: the features that
enter first carry most, which need not be what people prefer by."""
SHORTEST = 10
RELAXED = (1.0, 0.3, 0.1)
"""Parts of a penalty with which the features that it lets through are fitted again."""
CROWDED = 10
"""A path under a limit ends where a penalty lets through so many times as many features as may move."""
_UNITS = (0.5, 10.0)
"""Between which the unit is sought, in nats for the median lead. Pairs about which the model is no better than a coin
would have a unit of 0, which leaves nothing to learn from."""
_NOTHING = 5e-3
"""A multiplier that moves by less was not moved."""


@dataclass(frozen=True)
class Problem:
    """Preferences to learn from, over the features `ids` int64 [F] that differ in them and may move.

    `differences` float64 CSR [pairs, F] holds d, `base` [pairs] the leads as they stand; `now`, `low`, `high`, `prices`
    [F] are the multipliers, their bounds and what moving one by 1 costs.
    """

    preferences: Preferences
    ids: Ids
    differences: sparse.csr_matrix
    base: Floats
    now: Floats
    low: Floats
    high: Floats
    prices: Floats

    @classmethod
    def of(
        cls,
        matrix: FeatureMatrix,
        preferences: Preferences,
        start: Steering,
        *,
        carried: Floats | None,
        bounds: tuple[float, float],
        features: Collection[int] | None = None,
    ) -> Problem:
        """`carried` [M] is mean |w z| elsewhere (None: all prices are 1)."""
        chosen, rejected = preferences.chosen, preferences.rejected
        steered = start.without_offsets().apply(matrix).exact_rewards
        own = sparse.csr_matrix(matrix.csr.multiply(matrix.head.astype(np.float64)[None, :]))
        d = sparse.csr_matrix(own[chosen] - own[rejected])
        squares = Part(d, preferences.weights).squares
        ids = np.flatnonzero(squares > 0)
        allowed = may_move(start, ids)
        if features is not None:
            allowed &= np.isin(ids, np.fromiter(features, dtype=np.int64, count=len(features)))
        ids = ids[allowed]
        here = matrix.select(np.unique(np.concatenate([chosen, rejected]))).carried
        total = start.multipliers()
        now = np.array([total.get(int(i), 1.0) for i in ids], dtype=np.float64)
        return cls(
            preferences,
            ids,
            sparse.csr_matrix(d[:, ids]),
            steered[chosen] - steered[rejected],
            now,
            np.minimum(bounds[0], now),
            np.maximum(bounds[1], now),
            np.ones(len(ids)) if carried is None else 1.0 + carried[ids] / here[ids],
        )

    def some(self, rows: npt.NDArray[np.bool_]) -> Problem:
        """Some of the pairs, at the same prices."""
        return replace(
            self,
            preferences=self.preferences.some(rows),
            differences=self.differences[rows],
            base=self.base[rows],
        )

    def of_features(self, kept: npt.NDArray[np.bool_]) -> Problem:
        """The same pairs where only the `kept` of the features may move."""
        fields = ("ids", "now", "low", "high", "prices")
        return replace(
            self,
            differences=self.differences[:, kept],
            **{name: getattr(self, name)[kept] for name in fields},
        )

    @cached_property
    def unit(self) -> float:
        """t: what a reward of 1 is worth in nats, on the leads as they stand."""
        sizes = np.abs(self.base[self.base != 0])
        if not sizes.size:
            spread = float(np.sqrt(self.part(1.0).squares.sum()))
            return 1.0 / spread if spread > 0 else 1.0
        median = float(np.median(sizes))
        part = self.part(1.0)
        found = minimize_scalar(
            lambda log: part.loss(np.exp(log) * self.base),
            bounds=tuple(np.log(np.array(_UNITS) / median)),
            method="bounded",
            options={"xatol": 1e-6},
        )
        return float(np.exp(found.x))

    def part(self, unit: float) -> Part:
        """The convex problem in u = unit (m - now)."""
        tied = self.preferences.tied
        return Part(
            sparse.csc_matrix(self.differences),
            self.preferences.weights,
            tied=tied if tied.any() else None,
            base=unit * self.base,
        )

    @cached_property
    def own_part(self) -> Part:
        """The same in the own unit."""
        return self.part(self.unit)

    def path(self, penalties: Sequence[float], weights: Floats | None = None) -> Iterator[Floats]:
        """u = unit (m - now) [F] for each of the falling penalties; `weights` [pairs] replace the pairs' own."""
        part = self.own_part if weights is None else replace(self.own_part, weights=weights)
        return l1_path(part, penalties, prices=self.prices, bounds=self._bounds)

    def relaxed(
        self, penalty: float, u: Floats, shares: Sequence[float] = RELAXED, most: int | None = None
    ) -> list[Floats]:
        """u [F] again, over the features that move in `u` only, for each of the falling `shares` of its penalty.

        Of more than `most` those that move leads most.
        """
        kept = np.flatnonzero(u)
        whole = most is None or kept.size <= most
        if not whole:
            moves = np.abs(u[kept]) * np.sqrt(self.own_part.squares[kept])
            kept = np.sort(kept[np.argsort(-moves, kind="stable")[:most]])
        found = [u if whole and share == 1.0 else np.zeros_like(u) for share in shares]
        again = [i for i, share in enumerate(shares) if not (whole and share == 1.0)]
        if not kept.size or not again:
            return found
        low, high = self._bounds
        path = l1_path(
            self.own_part.of(kept),
            [penalty * shares[i] for i in again],
            prices=self.prices[kept],
            bounds=(low[kept], high[kept]),
            start=u[kept],
        )
        for i, fitted in zip(again, path, strict=True):
            found[i][kept] = fitted
        return found

    @cached_property
    def _bounds(self) -> tuple[Floats, Floats]:
        return self.unit * (self.low - self.now), self.unit * (self.high - self.now)

    def largest(self) -> float:
        """The smallest penalty under which nothing moves."""
        return largest_l1(self.own_part, self.prices)

    def multipliers(self, u: Floats) -> Floats:
        """m [F]; those that hardly move do not."""
        moved = u / self.unit
        moved[np.abs(moved) < _NOTHING] = 0.0
        return np.clip(self.now + moved, self.low, self.high)


@dataclass(frozen=True)
class Strength:
    """Multipliers [F] of one `penalty`, fitted with the `share` of it; the first of a path moves nothing.

    `losses` [pairs] are those of each pair under fits without its prompt, `loss` is their weighted mean.
    """

    penalty: float
    share: float
    multipliers: Floats
    losses: Floats
    loss: float


def strengths(problem: Problem, most: int | None = None) -> list[Strength]:
    """A path of penalties, the strongest first, until the cross-validated loss no longer falls; at most `most` features
    move. Folds are of prompts: none is in two of them. Each penalty has the share of it that does best."""
    preferences = problem.preferences
    fold = preferences.in_order % min(FOLDS, preferences.n_prompts)
    folds = [fold == number for number in range(int(fold.max(initial=0)) + 1)]
    learned = [problem.some(~inside) for inside in folds]
    judged = [problem.some(inside).part(one.unit) for one, inside in zip(learned, folds, strict=True)]

    def judge(us: Sequence[Floats]) -> Floats:
        """The loss of each pair under the fit without its fold."""
        losses = np.zeros(len(preferences))
        for inside, part, u in zip(folds, judged, us, strict=True):
            losses[inside] = part.losses(part.margins(u))
        return losses

    def mean(losses: Floats) -> float:
        return float(np.average(losses, weights=preferences.weights))

    largest = problem.largest()
    nothing = judge([np.zeros(len(problem.ids))] * len(folds))
    found = [Strength(largest, 1.0, problem.now, nothing, mean(nothing))]
    if largest <= 0:
        return found
    penalties = [largest * STEP**step for step in range(1, LONGEST + 1)]
    paths = [problem.path(penalties), *(one.path(penalties) for one in learned)]
    for penalty, (u, *us) in zip(penalties, zip(*paths, strict=True), strict=True):
        fitted = [one.relaxed(penalty, its, most=most) for one, its in zip(learned, us, strict=True)]
        losses = [judge(of_share) for of_share in zip(*fitted, strict=True)]
        best = int(np.argmin([mean(each) for each in losses]))
        (u,) = problem.relaxed(penalty, u, [RELAXED[best]], most)
        found.append(
            Strength(penalty, RELAXED[best], problem.multipliers(u), losses[best], mean(losses[best]))
        )
        if most is not None and np.count_nonzero(us[0]) > CROWDED * most:
            break
        since = len(found) - 1 - int(np.argmin([one.loss for one in found]))
        if len(found) > SHORTEST and since >= PATIENCE:
            break
    return found


def best_strength(
    found: Sequence[Strength], preferences: Preferences, allowed: Sequence[bool] | None = None
) -> int:
    """The strongest penalty that is no worse than the best one by a standard error over prompts.

    It is the standard error of the difference in loss, of the same pairs. On few prompts that is wide, and the rule
    alone would give up all that was found: at most half of what the best gains over no change is given up for it.
    """
    numbers = [i for i in range(len(found)) if allowed is None or allowed[i]]
    best = min(numbers, key=lambda i: found[i].loss)
    held = HeldOut(preferences.weights, preferences.prompts, [""] * len(preferences))
    most = (found[0].loss - found[best].loss) / 2
    return next(
        i
        for i in numbers
        if found[i].loss - found[best].loss
        <= min(held.standard_error(found[i].losses - found[best].losses), most)
    )
