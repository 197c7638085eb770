"""The trade-off of a steering as a curve over its strength, instead of one lucky point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from sarm_core.bootstrap import block_of
from sarm_core.errors import SteeringError
from sarm_core.features import FeatureMatrix
from sarm_core.prove.benchmarks.benchmark import Benchmark
from sarm_core.prove.benchmarks.scores import Composite, Result
from sarm_core.prove.comparison import compare
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
    benchmark: Benchmark,
    matrix: FeatureMatrix,
    steering: Steering,
    strengths: Sequence[float],
    *,
    resamples: int = 0,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Every score at each strength: columns `strength`, `score`, `value`, `n`. Raises SteeringError.

    With `resamples` also `low` and `high`, the interval of the value, and `change_low`, `change_high`, that
    of its paired change from the plain model: the intervals `compare` gives, from the same draws of prompts.
    Memory: a block of 64 MB beside 32 bytes x resamples x scores x strengths.
    """
    ranked = [at_strength(steering, strength).without_offsets() for strength in strengths]
    results = [benchmark.result(each.rewards(matrix)) for each in ranked]
    tables = []
    for strength, result in zip(strengths, results, strict=True):
        table = result.table()
        table.insert(0, "strength", strength)
        tables.append(table)
    curve = pd.concat(tables, ignore_index=True)
    if resamples > 0:
        plain = benchmark.result(matrix.rewards)
        curve[["low", "high", "change_low", "change_high"]] = np.concatenate(
            [
                _intervals(plain, part, resamples, confidence, seed)
                for part in _blocks(results, len(plain.leaves), len(benchmark.items))
            ]
        )
    return curve


def _blocks(results: list[Result], n_leaves: int, n_items: int) -> list[list[Result]]:
    """As many strengths together as fit a block: all of one block share each draw of prompts."""
    size = block_of(3 * 8 * max(n_leaves, 1) * max(n_items, 1))
    return [results[start : start + size] for start in range(0, len(results), size)]


def _intervals(
    plain: Result, results: list[Result], resamples: int, confidence: float, seed: int
) -> np.ndarray:
    """[strengths x scores, 4] in the order of `strength_curve`, from one call of the bootstrap.

    The results are put side by side as if they were one with as many scores, so that every strength meets
    the same draws and the draws, which cost most, are made once.
    """
    compared = compare(
        _side_by_side(plain, [plain] * len(results)),
        _side_by_side(plain, results),
        resamples=resamples,
        confidence=confidence,
        seed=seed,
    ).scores.set_index("score")
    names = [_named(i, name) for i, result in enumerate(results) for name in result.scores]
    return compared.loc[names, ["after_low", "after_high", "low", "high"]].to_numpy()


def _side_by_side(plain: Result, results: list[Result]) -> Result:
    return replace(
        plain,
        leaves=tuple(
            replace(leaf, name=_named(i, leaf.name))
            for i, result in enumerate(results)
            for leaf in result.leaves
        ),
        composites=tuple(
            Composite(
                _named(i, each.name), tuple((_named(i, part), weight) for part, weight in each.parts), each.n
            )
            for i, result in enumerate(results)
            for each in result.composites
        ),
    )


def _named(position: int, name: str) -> str:
    return f"{position}\0{name}"
