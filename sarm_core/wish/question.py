"""What a steering is learned under: answers, what stands, what to leave alone, and limits."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sarm_core.errors import SarmError
from sarm_core.features import FeatureMatrix
from sarm_core.prove.collateral import collateral
from sarm_core.prove.complement import Complement
from sarm_core.steering import Steering
from sarm_core.wish.elsewhere import check_elsewhere
from sarm_core.wish.fit import Problem
from sarm_core.wish.multipliers import HasMatrix, check_bounds, check_limit, matrix_of, multiplied
from sarm_core.wish.preferences import Preferences

__all__ = ["Question", "question_of"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Question:
    """What a steering is learned under: answers, the steering that stands, others to leave alone, limits."""

    matrix: FeatureMatrix
    start: Steering
    elsewhere: Complement | None
    bounds: tuple[float, float]
    max_features: int | None
    max_collateral: float | None
    features: Collection[int] | None

    def problem(self, preferences: Preferences) -> Problem:
        """The preferences as a convex problem."""
        carried = None if self.elsewhere is None else self.elsewhere.matrix.carried
        return Problem.of(
            self.matrix,
            preferences,
            self.start,
            carried=carried,
            bounds=self.bounds,
            features=self.features,
        )

    def steering(self, problem: Problem, multipliers: Floats) -> Steering:
        """The steering that stands, with these multipliers [F]."""
        moved = np.flatnonzero(multipliers != problem.now)
        return multiplied(self.start, {int(problem.ids[i]): float(multipliers[i]) for i in moved})

    def margins(self, preferences: Preferences, steering: Steering) -> Floats:
        """r_chosen - r_rejected [pairs] of rewards as they are given out: float32, without offsets."""
        rewards = steering.without_offsets().rewards(self.matrix).astype(np.float64)
        return rewards[preferences.chosen] - rewards[preferences.rejected]

    def turned(self, steering: Steering) -> float:
        """Share of the orders elsewhere that turn; 0 where there is none."""
        others = self.elsewhere
        if others is None or others.pairs is None or not len(others.pairs):
            return 0.0
        one, two = (s.without_offsets().rewards(others.matrix) for s in (self.start, steering))
        share = collateral(one, two, others.pairs).share_flipped
        return 0.0 if np.isnan(share) else share


def question_of(
    scored: FeatureMatrix | HasMatrix,
    start: Steering | None,
    elsewhere: Complement | FeatureMatrix | None,
    low: float,
    high: float,
    max_features: int | None,
    max_collateral: float | None,
    features: Collection[int] | None,
) -> Question:
    """The same, checked. Raises SarmError."""
    matrix = matrix_of(scored)
    check_bounds(low, high)
    check_limit(max_features)
    others = Complement(elsewhere) if isinstance(elsewhere, FeatureMatrix) else elsewhere
    start = Steering() if start is None else start
    start.check(matrix.n_features)
    check_elsewhere(others, matrix)
    for part in (matrix, *([others.matrix] if others else [])):
        if not np.isfinite(part.csr.data).all():
            raise SarmError("an activation is not finite: leave its answer out")
    if max_collateral is not None:
        if not 0 <= max_collateral < 1:
            raise SarmError(f"a share of orders is a number from 0 to below 1, not {max_collateral:g}")
        if others is None or others.pairs is None or not len(others.pairs):
            raise SarmError(
                "a limit on what turns elsewhere needs other answers, with pairs among them: name a complement"
            )
    return Question(matrix, start, others, (low, high), max_features, max_collateral, features)
