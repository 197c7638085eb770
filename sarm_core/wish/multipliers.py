"""Multipliers that a proposal or a learned steering may move, and the steering with new ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sarm_core.errors import SarmError
from sarm_core.features import FeatureMatrix
from sarm_core.steering import Steering

__all__ = [
    "HIGH",
    "LOW",
    "MOST",
    "HasMatrix",
    "check_bounds",
    "check_limit",
    "matrix_of",
    "may_move",
    "multiplied",
]

LOW, HIGH = 0.0, 2.0
"""Multipliers lie between: from silenced to twice as heavy."""
MOST = 32
"""As many features a learned steering moves at most, where nothing else is asked: so many sliders there are."""


class HasMatrix(Protocol):
    """Scored answers (`Scored`, `Encoded`)."""

    @property
    def matrix(self) -> FeatureMatrix:
        """Their activations."""
        ...


def matrix_of(scored: FeatureMatrix | HasMatrix) -> FeatureMatrix:
    """The activations of what was scored."""
    return scored if isinstance(scored, FeatureMatrix) else scored.matrix


def check_bounds(low: float, high: float) -> None:
    """Raise SarmError for bounds between which no multiplier lies."""
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise SarmError(f"multipliers between {low:g} and {high:g} are none")


def check_limit(max_features: int | None) -> None:
    """Raise SarmError for a limit under which nothing can change."""
    if max_features is not None and max_features < 1:
        raise SarmError(f"at most {max_features} features can change nothing")


def may_move(start: Steering, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which of the features `ids` have a multiplier of their own that changes anything, bool [ids].

    Not those that `start` sets to a value, nor those that one of its groups silences.
    """
    fixed = set(start.set)
    for group in start.groups.values():
        fixed.update(group.features if group.scale == 0.0 else ())
    return ~np.isin(ids, np.fromiter(fixed, dtype=np.int64, count=len(fixed)))


def multiplied(start: Steering, totals: Mapping[int, float]) -> Steering:
    """`start` with the total multiplier of some features (its groups included) changed to these."""
    scale = {i: m for i, m in start.scale.items() if i not in totals}
    own = {feature: total / _of_groups(start, feature) for feature, total in totals.items()}
    return replace(start, scale=scale | {feature: m for feature, m in own.items() if m != 1.0})


def _of_groups(start: Steering, feature: int) -> float:
    """The product of the multipliers of the groups that a feature belongs to."""
    product = 1.0
    for group in start.groups.values():
        if feature in group.features:
            product *= group.scale
    return product
