"""How few features a head needs: held-out accuracy against the number of features used, and a point on that curve.

The L1 path says which features go in, one penalty after another. Each set is fitted again without the L1 penalty, by
ridge, and the better of the two on the validation part is the curve's point: L1 shrinks what it keeps ("relaxed lasso",
Meinshausen 2007). The ridge head over all features ends the curve.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from sarm_core.errors import SarmError
from sarm_core.train.head_fit import SEARCH, Part, RidgeFit, fit_head, l1_path, largest_l1
from sarm_core.train.held_out import HeldOut

__all__ = ["CurvePoint", "chosen_by_validation", "curve_of", "finished", "with_exactly"]

Floats = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]
STEP = 0.8
"""Ratio of one L1 penalty to the one before."""
PATIENCE = 5
"""Steps of the path without a better validation loss before it ends."""
LONGEST = 50


@dataclass(frozen=True)
class CurvePoint:
    """A head that uses `features`, int64 ids ascending, with `weights` float64 of the same length.

    `how`: "l1", "relaxed" (L1 chose the features, ridge their weights) or "ridge" (all features). `penalty` is the L1
    penalty that chose them (None for ridge), `decay` the ridge weight decay (None for "l1"), `loss` that on the
    validation part.
    """

    how: Literal["l1", "relaxed", "ridge"]
    penalty: float | None
    decay: float | None
    features: Ids
    weights: Floats
    loss: float

    @property
    def n_features(self) -> int:
        """How many features the head uses."""
        return len(self.features)

    def head(self, n_features: int) -> npt.NDArray[np.float32]:
        """w float32 [M], 0 for features that are not used."""
        w = np.zeros(n_features, dtype=np.float32)
        w[self.features] = self.weights
        return w


def curve_of(train: Part, validation: Part, ridge: RidgeFit, *, log: bool = False) -> list[CurvePoint]:
    """Points by falling L1 penalty, the ridge head over all features last."""
    points: list[CurvePoint] = []
    best, at_best, decay = float("inf"), 0, ridge.decay
    largest = largest_l1(train)
    penalties = [largest * STEP**step for step in range(1, LONGEST + 1)]
    for step, (penalty, w) in enumerate(zip(penalties, l1_path(train, penalties), strict=True)):
        features = np.flatnonzero(w)
        if len(features):
            point, decay = _point(train, validation, features, w, penalty, decay)
            points.append(point)
            if log:
                print(
                    f"  {points[-1].n_features:6,} features  {points[-1].how:8} validation loss {points[-1].loss:.4f}",
                    file=sys.stderr,
                )
            if points[-1].loss < best:
                best, at_best = points[-1].loss, step
        if step - at_best >= PATIENCE and points:
            break
    features = np.flatnonzero(ridge.w)
    return [*points, CurvePoint("ridge", None, ridge.decay, features, ridge.w[features], ridge.loss)]


def _point(
    train: Part, validation: Part, features: Ids, w: Floats, penalty: float, decay: float
) -> tuple[CurvePoint, float]:
    """The better of the L1 head and of ridge on the features it chose; and the decay that suited them."""
    held_out = validation.of(features)
    loss = held_out.loss(held_out.margins(w[features]))
    refit = _relaxed(train.of(features), held_out, w[features], decay)
    if refit.loss < loss:
        return CurvePoint("relaxed", penalty, refit.decay, features, refit.w, refit.loss), refit.decay
    return CurvePoint("l1", penalty, None, features, w[features], loss), refit.decay


def _relaxed(train: Part, held_out: Part, start: Floats, decay: float) -> RidgeFit:
    """Ridge from a decay that suits similar features, stronger or weaker as long as the held-out loss falls."""

    def fit(decay: float, start: Floats) -> RidgeFit:
        w = fit_head(train, decay, start, SEARCH)
        return RidgeFit(w, decay, held_out.loss(held_out.margins(w)))

    best = fit(decay, start)
    for factor in (0.1, 10.0):
        while (other := fit(best.decay * factor, best.w)).loss < best.loss and 1e-9 < other.decay < 1e9:
            best = other
            if abs(np.log10(best.decay / decay)) > 5:
                break
        if best.decay != decay:
            break
    return best


def chosen_by_validation(points: list[CurvePoint], validation: Part, held_out: HeldOut) -> CurvePoint:
    """The point of the fewest features that is no worse than the best one by a standard error over prompts.

    Both are of the same pairs, so it is the standard error of the difference in loss.
    """
    losses = [validation.losses(validation.of(point.features).margins(point.weights)) for point in points]
    best = int(np.argmin([point.loss for point in points]))
    good = [
        point
        for point, mine in zip(points, losses, strict=True)
        if point.loss - points[best].loss <= held_out.standard_error(mine - losses[best])
    ]
    return min(good, key=lambda point: (point.n_features, point.loss))


def finished(point: CurvePoint, train: Part, validation: Part) -> CurvePoint:
    """A point whose weights are ridge's with these fitted to the end; L1's are as they are."""
    if point.decay is None:
        return point
    w = fit_head(train.of(point.features), point.decay, point.weights)
    return replace(point, weights=w, loss=validation.loss(validation.of(point.features).margins(w)))


def with_exactly(points: list[CurvePoint], n: int, train: Part, validation: Part) -> CurvePoint:
    """The head of `n` features: of the first point with as many, those that move margins most, fitted again.

    Raises SarmError where no head uses so many.
    """
    source = next((point for point in points if point.n_features >= n), None)
    if source is None:
        most = max(point.n_features for point in points)
        raise SarmError(
            f"--features {n}: no more than {most} features ever differ between two answers of a pair"
        )
    if source.n_features == n:
        return source
    moves = np.abs(source.weights) * np.sqrt(train.squares[source.features])
    features = np.sort(source.features[np.argsort(-moves, kind="stable")[:n]])
    decay = source.decay or next(point.decay for point in reversed(points) if point.decay)
    start = source.weights[np.searchsorted(source.features, features)]
    refit = _relaxed(train.of(features), validation.of(features), start, decay)
    return CurvePoint("relaxed", source.penalty, refit.decay, features, refit.w, refit.loss)
