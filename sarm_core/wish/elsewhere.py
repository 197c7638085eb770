"""What a changed steering does to answers that nobody asked it to change: whose order turns, with an interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sarm_core.bootstrap import FEWEST_PROMPTS, interval
from sarm_core.errors import SarmError
from sarm_core.features import FeatureMatrix
from sarm_core.prove.collateral import Collateral, collateral
from sarm_core.prove.complement import Complement
from sarm_core.steering import Steering

__all__ = ["Elsewhere", "check_elsewhere", "turned_elsewhere"]

Floats = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Elsewhere:
    """What a steering does to answers that no wish is about.

    `collateral` counts; `low`, `high` is the interval of the share of pairs whose order turned, over prompts drawn
    anew (answers that pairs join are one prompt's), NaN below 10 prompts. `worst` int [turned] numbers the turned
    pairs, those first whose order was clearest before; `before`, `after` their leads.
    """

    collateral: Collateral
    n_prompts: int
    low: float
    high: float
    worst: npt.NDArray[np.int64]
    before: Floats
    after: Floats


def check_elsewhere(others: Complement | None, matrix: FeatureMatrix) -> None:
    """Raise SarmError where the answers elsewhere are of another model than those of `matrix`."""
    if others is not None and others.matrix.n_features != matrix.n_features:
        raise SarmError(
            f"the answers elsewhere have {others.matrix.n_features} features, these {matrix.n_features}: "
            "they come from different models"
        )


def turned_elsewhere(elsewhere: Complement, start: Steering, steering: Steering) -> Elsewhere:
    """What turns among the pairs of `elsewhere` when `steering` takes the place of `start`."""
    one, two = (s.without_offsets().rewards(elsewhere.matrix, once=True) for s in (start, steering))
    pairs = np.zeros((0, 2), np.int64) if elsewhere.pairs is None else elsewhere.pairs
    counted = collateral(one, two, pairs)
    prompts = elsewhere.prompts
    n_prompts = int(prompts.max()) + 1 if prompts.size else 0
    low, high = _interval(prompts, counted.flipped, n_prompts)
    before, after = (values[pairs[:, 0]].astype(np.float64) - values[pairs[:, 1]] for values in (one, two))
    worst = counted.flipped[np.argsort(-np.abs(before[counted.flipped]), kind="stable")]
    return Elsewhere(counted, n_prompts, low, high, worst, before[worst], after[worst])


def _interval(prompts: Ids, turned: Ids, n_prompts: int) -> tuple[float, float]:
    """Of the share of pairs that turned, over prompts drawn anew; (NaN, NaN) below 10 prompts.

    Prompts with as many pairs and as many of them turned are alike, so how often each kind is drawn is multinomial:
    the same distribution as drawing every prompt, for the work of a few kinds. Where none turned, or all, every draw
    says the same; then the bound is that of a share seen in none of n prompts, 1 - 0.025^(1/n) [Clopper and Pearson].
    """
    if n_prompts < FEWEST_PROMPTS:
        return np.nan, np.nan
    unseen = 1 - 0.025 ** (1 / n_prompts)
    if not len(turned):
        return 0.0, unseen
    if len(turned) == len(prompts):
        return 1 - unseen, 1.0
    of_each = np.stack(
        [np.bincount(prompts[turned], minlength=n_prompts), np.bincount(prompts, minlength=n_prompts)]
    )
    kinds, many = np.unique(of_each, axis=1, return_counts=True)
    drawn = np.random.default_rng(0).multinomial(n_prompts, many / n_prompts, 1000) @ kinds.T.astype(
        np.float64
    )
    return interval(drawn[:, 0] / drawn[:, 1], 0.95)
