"""What one steering does to one benchmark and its complement: arithmetic on stored activations."""

from __future__ import annotations

from dataclasses import dataclass

from sarm_core.features import FeatureMatrix
from sarm_core.prove.benchmarks.benchmark import Benchmark
from sarm_core.prove.benchmarks.scores import Ids
from sarm_core.prove.collateral import Collateral, Distribution, collateral, distribution
from sarm_core.prove.comparison import Comparison, compare
from sarm_core.prove.complement import Complement
from sarm_core.prove.evaluate import evaluate
from sarm_core.steering import Steering

__all__ = ["Outcome", "outcome"]


@dataclass(frozen=True)
class Outcome:
    """Before and after one steering: the scores, and what it moves in the benchmark's own answers and elsewhere.

    What is elsewhere is None without a complement.
    """

    comparison: Comparison
    moved: Collateral
    spread: Distribution
    moved_elsewhere: Collateral | None
    spread_elsewhere: Distribution | None


def outcome(
    benchmark: Benchmark,
    matrix: FeatureMatrix,
    steering: Steering | None = None,
    complement: Complement | None = None,
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Outcome:
    """`matrix` holds benchmark.conversations; without a steering nothing moves. See `compare` for the intervals.

    Raises SteeringError when the steering does not fit the model, SarmError when the matrix is of other answers.
    """
    before = evaluate(benchmark, matrix)
    after = before if steering is None else evaluate(benchmark, matrix, steering)
    compared = compare(before, after, resamples=resamples, confidence=confidence, seed=seed)
    moved, spread = _moved(matrix, benchmark.pair_numbers, steering)
    elsewhere = (None, None) if complement is None else _moved(complement.matrix, complement.pairs, steering)
    return Outcome(compared, moved, spread, *elsewhere)


def _moved(
    matrix: FeatureMatrix, pairs: Ids | None, steering: Steering | None
) -> tuple[Collateral, Distribution]:
    before = matrix.rewards
    if steering is None:
        return collateral(before, before, pairs), distribution(before, before)
    after = steering.rewards(matrix)
    ranked = steering.without_offsets().rewards(matrix)
    return collateral(before, after, pairs, ranked=ranked), distribution(before, after)
