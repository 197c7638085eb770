"""The trade-off of a steering as a curve over its strength, instead of one lucky point."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from sarm_core.errors import SteeringError
from sarm_core.evaluation.scores import Benchmark
from sarm_core.features import FeatureMatrix
from sarm_core.steering import Steering

__all__ = ["at_strength", "strength_curve"]


def at_strength(steering: Steering, strength: float) -> Steering:
    """The steering with every total multiplier m replaced by 1 + strength (m - 1), groups expanded.

    0 is the plain model, 1 the steering itself, 2 twice the change. Offsets are scaled alike; they cannot
    change a ranking. Raises SteeringError for a steering with set, which has no strength.
    """
    if steering.set:
        raise SteeringError(
            f"feature {min(steering.set)} is set to a value, which has no strength: use scale for a curve"
        )
    return Steering(
        scale={i: 1.0 + strength * (m - 1.0) for i, m in steering.multipliers().items()},
        offset={i: strength * v for i, v in steering.offset.items()},
    )


def strength_curve(
    benchmark: Benchmark, matrix: FeatureMatrix, steering: Steering, strengths: Sequence[float]
) -> pd.DataFrame:
    """Every score at each strength: columns `strength`, `score`, `value`, `n`. Raises SteeringError."""
    tables = []
    for strength in strengths:
        table = benchmark.result(at_strength(steering, strength).rewards(matrix)).table()
        table.insert(0, "strength", strength)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)
