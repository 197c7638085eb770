"""The reward head as a convex problem: -log sigmoid of the margin of pairs, with a ridge or an L1 penalty.

    loss(w)   sum_p v_p log(1 + exp(m_p - D_p w)) / sum_p v_p           D_p = z_chosen - z_rejected      [SARM, eq. 5]
    ridge     loss(w) + decay / 2 |w|^2
    L1        loss(w) + penalty |w|_1

m_p is a pair's margin, 0 unless its row states one. A tie is half a pair in each order,
log(1 + exp(-D_p w)) / 2 + log(1 + exp(D_p w)) / 2 (`objective.py` has the sources). Both losses have one minimum,
which is solved to convergence, so that the only choice left is the penalty, made on held-out pairs. With `targets`
the loss is the squared error sum_p v_p (D_p w - t_p)^2 / 2 sum_p v_p instead. With a `base` b the weights come on top
of what stands already, b_p + D_p w for D_p w; an L1 penalty may have a price for each feature, and bounds for w.

L-BFGS does the steps, on weights that are measured in units of each column's curvature: features that fire once in
ten thousand pairs then converge with those that fire in each. A path starts every solution from the one before.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import optimize, sparse, special

from sarm_core.errors import SarmError

__all__ = [
    "Part",
    "RidgeFit",
    "fit_head",
    "l1_path",
    "largest_l1",
    "log_losses",
    "pick_head",
    "polished",
    "ridge_path",
]

Matrix = Any  # scipy CSR or CSC, or dense float array, [rows, features]; all know @, .T and .shape
Floats = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]

SEARCH = 1e-7
"""Tolerance while a penalty is searched for: held-out losses are then right to some 1e-6; what is taken gets 1e-9."""
_SLACK = 1e-3
"""How far a gradient may exceed an L1 penalty, by its share, before its feature has to be let in."""


@dataclass(frozen=True)
class Part:
    """Some pairs: `differences` D [pairs, features], their `weights` v [pairs], `targets` [pairs] for squared errors.

    Without targets `stated` are the margins m float64 [pairs] and `tied` bool [pairs] says which are ties. `base`
    [pairs] is the margin of weights 0 (None: 0 everywhere).

    Memory: that of D. Its numbers may be float32; sums over features are then exact to 1e-6.
    """

    differences: Matrix
    weights: npt.NDArray[np.floating]
    targets: Floats | None = None
    stated: Floats | None = None
    tied: npt.NDArray[np.bool_] | None = None
    base: Floats | None = None

    @cached_property
    def share(self) -> Floats:
        """v / sum v, [pairs]."""
        weights = np.asarray(self.weights, dtype=np.float64)
        return weights / weights.sum()

    @cached_property
    def squares(self) -> Floats:
        """Weighted mean of D^2 of every feature, [features]."""
        d = self.differences
        if sparse.issparse(d):
            squared = d.copy()
            squared.data = squared.data**2
            return np.asarray(squared.T @ self.share.astype(d.dtype), dtype=np.float64).ravel()
        return self.share @ np.square(d, dtype=np.float64)

    @cached_property
    def _transposed(self) -> Matrix:
        return self.differences.T

    @property
    def curvature(self) -> float:
        """The largest second derivative of one pair's loss by its margin."""
        return 0.25 if self.targets is None else 1.0

    def margins(self, w: Floats) -> Floats:
        """D w, on top of the base, [pairs]."""
        d = self.differences
        own = np.asarray(d @ w.astype(d.dtype), dtype=np.float64).ravel()
        return own if self.base is None else self.base + own

    def gradient(self, slopes: Floats) -> Floats:
        """D^T s, [features], for slopes s [pairs]."""
        d = self.differences
        return np.asarray(self._transposed @ slopes.astype(d.dtype), dtype=np.float64).ravel()

    def losses(self, margins: Floats) -> Floats:
        """The loss of each pair, [pairs]."""
        if self.targets is not None:
            return (margins - self.targets) ** 2 / 2
        losses = log_losses(margins if self.stated is None else margins - self.stated)
        if self.tied is not None:
            losses[self.tied] = (log_losses(margins) + log_losses(-margins))[self.tied] / 2
        return losses

    def loss(self, margins: Floats) -> float:
        """The weighted mean loss."""
        return float(self.share @ self.losses(margins))

    def slopes(self, margins: Floats) -> Floats:
        """The derivative of the loss by each pair's margin, [pairs]."""
        if self.targets is not None:
            return self.share * (margins - self.targets)
        slopes = -special.expit(-margins if self.stated is None else self.stated - margins)
        if self.tied is not None:
            slopes[self.tied] = (special.expit(margins) - 0.5)[self.tied]
        return self.share * slopes

    def of(self, features: Ids) -> Part:
        """The same pairs over some features only. Cheap for CSC and for dense columns."""
        return replace(self, differences=self.differences[:, features])

    def some(self, rows: npt.NDArray[np.bool_]) -> Part:
        """Some of the pairs. Cheap for CSR and for dense rows."""
        others = {
            name: None if (values := getattr(self, name)) is None else values[rows]
            for name in ("targets", "stated", "tied", "base")
        }
        return Part(self.differences[rows], np.asarray(self.weights)[rows], **others)


@dataclass(frozen=True)
class RidgeFit:
    """A ridge head `w` float64 [features] of one `decay`, and its `loss` on the held-out part."""

    w: Floats
    decay: float
    loss: float


def log_losses(margins: Floats) -> Floats:
    """log(1 + exp(-m)) of each margin, [pairs]."""
    return np.logaddexp(0.0, -margins)


def fit_head(part: Part, decay: float, start: Floats | None = None, tolerance: float = 1e-9) -> Floats:
    """w float64 [features] minimising the loss + decay/2 |w|^2; exactly 0 for features that never differ.

    From `start` (default 0) until a step gains less than `tolerance` of the loss.
    """
    scale = 1 / np.sqrt(np.maximum(part.curvature * part.squares + decay, 1e-12))

    def objective(u: Floats) -> tuple[float, Floats]:
        w = scale * u
        margins = part.margins(w)
        loss = part.loss(margins) + decay / 2 * float(w @ w)
        return loss, scale * (part.gradient(part.slopes(margins)) + decay * w)

    first = np.zeros(part.differences.shape[1]) if start is None else start / scale
    solved = optimize.minimize(
        objective,
        first,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 1000, "ftol": tolerance, "gtol": 1e-8},
    )
    return scale * solved.x


def ridge_path(
    train: Part, held_out: Part, decays: Sequence[float] | None = None, *, log: bool = False
) -> list[RidgeFit]:
    """Heads of several weight decays, the strongest first, with their loss on `held_out`.

    Without `decays` they are found: from one that leaves next to nothing of the head, in steps of a half power of
    ten, until the held-out loss has risen twice. Raises SarmError for an empty list.
    """
    if decays is not None and not len(decays):
        raise SarmError("decays is empty: give at least one weight decay")
    fits: list[RidgeFit] = []
    w: Floats | None = None
    for decay in sorted(decays, reverse=True) if decays is not None else _own_decays(train):
        w = fit_head(train, decay, w, SEARCH)
        margins = held_out.margins(w)
        fits.append(RidgeFit(w, decay, held_out.loss(margins)))
        if log:
            print(
                f"  decay {decay:8.2g}  train accuracy {np.mean(train.margins(w) > 0):.4f}  "
                f"validation loss {fits[-1].loss:.4f}  accuracy {np.mean(margins > 0):.4f}",
                file=sys.stderr,
            )
        losses = [fit.loss for fit in fits]
        if decays is None and len(fits) > 2 and losses[-1] > losses[-2] > losses[-3]:
            break
    return fits


def _own_decays(train: Part) -> list[float]:
    """Twenty-one weight decays, strongest first: ten powers of ten below that of the strongest column."""
    strongest = float(train.squares.max(initial=0.0)) or 1.0
    return [strongest * 10.0**e for e in np.arange(0.0, -10.1, -0.5)]


def pick_head(
    train: Part, held_out: Part, decays: Sequence[float] | None = None, *, log: bool = False
) -> RidgeFit:
    """The head of the decay with the lowest held-out loss. Raises SarmError for an empty list."""
    return polished(
        train, held_out, min(ridge_path(train, held_out, decays, log=log), key=lambda fit: fit.loss)
    )


def polished(train: Part, held_out: Part, found: RidgeFit) -> RidgeFit:
    """The same head, fitted to the end."""
    w = fit_head(train, found.decay, found.w)
    return RidgeFit(w, found.decay, held_out.loss(held_out.margins(w)))


# -- L1 ----------------------------------------------------------------------------------------------------


def largest_l1(part: Part, prices: Floats | None = None) -> float:
    """The smallest L1 penalty under which no feature is used; `prices` as in `l1_path`."""
    nothing = part.margins(np.zeros(part.differences.shape[1]))
    return float((np.abs(part.gradient(part.slopes(nothing))) / _each(part, prices)).max(initial=0.0))


def l1_path(
    part: Part,
    penalties: Sequence[float],
    tolerance: float = 1e-8,
    *,
    prices: Floats | None = None,
    bounds: tuple[Floats, Floats] | None = None,
    start: Floats | None = None,
) -> Iterator[Floats]:
    """w float64 [features] minimising the loss + penalty sum_f price_f |w_f| for each of the falling `penalties`.

    `prices` [features] are above 0 (default: 1 each), `bounds` are two [features] with low <= 0 <= high.
    `start` [features] changes no result, only how soon it is found.

    Only features that can be in the solution take part in a step: those in the one before, and those that the
    sequential strong rule keeps (Tibshirani et al. 2012). What it left out wrongly shows in the gradient and is let in.
    """
    price = _each(part, prices)
    low, high = bounds or (np.full(len(price), -np.inf), np.full(len(price), np.inf))
    w = np.zeros(len(price)) if start is None else start.copy()
    gradient = np.abs(part.gradient(part.slopes(part.margins(w)))) / price
    before = float(gradient.max(initial=0.0))
    for penalty in penalties:
        inside = (w != 0) | (gradient >= 2 * penalty - before)
        while True:
            features = np.flatnonzero(inside)
            if len(features):
                within = (low[features], high[features])
                w[features] = _l1_within(
                    part.of(features), penalty * price[features], w[features], tolerance, within
                )
            gradient = np.abs(part.gradient(part.slopes(part.margins(w)))) / price
            missed = ~inside & (gradient > penalty * (1 + _SLACK))
            if not missed.any():
                break
            inside |= missed
        before = penalty
        yield w.copy()


def _each(part: Part, prices: Floats | None) -> Floats:
    return np.ones(part.differences.shape[1]) if prices is None else prices


def _l1_within(
    part: Part, costs: Floats, start: Floats, tolerance: float, bounds: tuple[Floats, Floats]
) -> Floats:
    """w as the difference of two parts that are not negative, which makes the penalty smooth: zeros are exact."""
    n = len(start)
    scale = 1 / np.sqrt(np.maximum(part.curvature * part.squares, 1e-12))
    low, high = bounds

    def objective(uv: Floats) -> tuple[float, Floats]:
        up, down = uv[:n], uv[n:]
        margins = part.margins(scale * (up - down))
        cost = costs * scale
        loss = part.loss(margins) + float(cost @ (up + down))
        slope = scale * part.gradient(part.slopes(margins))
        return loss, np.concatenate([slope + cost, cost - slope])

    first = np.concatenate([np.maximum(start, 0), np.maximum(-start, 0)]) / np.tile(scale, 2)
    most = np.concatenate([high, -low]) / np.tile(scale, 2)
    solved = optimize.minimize(
        objective,
        first,
        jac=True,
        method="L-BFGS-B",
        bounds=optimize.Bounds(0.0, most),
        options={"maxiter": 1000, "ftol": tolerance, "gtol": 1e-8},
    )
    up, down = solved.x[:n], solved.x[n:]
    w = scale * (up - down)
    w = np.where((up == most[:n]) & (down == 0), high, np.where((down == most[n:]) & (up == 0), low, w))
    return np.clip(w, low, high)
