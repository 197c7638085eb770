"""Prove what a steering does: benchmarks and plain pairs, before and after, from ONE encoded matrix.

benchmark = load_benchmark("rm-bench", "total_dataset.json")
matrix = ...                                   # benchmark.conversations encoded once, in that order
before = evaluate(benchmark, matrix)
after = evaluate(benchmark, matrix, steering)
compare(before, after).scores                  # every score, its change and the interval of the change
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sarm_core.features import FeatureMatrix
from sarm_core.prove.benchmarks.benchmark import Benchmark
from sarm_core.prove.benchmarks.pairs import Pairs
from sarm_core.prove.benchmarks.registry import benchmark_of
from sarm_core.prove.benchmarks.reward_bench2 import RewardBench2
from sarm_core.prove.benchmarks.rm_bench import RMBench
from sarm_core.prove.benchmarks.scores import Result
from sarm_core.prove.collateral import Collateral, Distribution, collateral, distribution
from sarm_core.prove.comparison import Comparison, compare
from sarm_core.steering import Steering
from sarm_core.text.answers import Reader

__all__ = [
    "Benchmark",
    "Collateral",
    "Comparison",
    "Distribution",
    "Pairs",
    "RMBench",
    "Result",
    "RewardBench2",
    "collateral",
    "compare",
    "distribution",
    "evaluate",
    "load_benchmark",
]


def load_benchmark(
    kind: str,
    paths: str | Path | Iterable[str | Path],
    *,
    skip_bad: bool = False,
    reader: Reader | None = None,
) -> Benchmark:
    """Read one file or several as one benchmark of `kind` (see `registry.BENCHMARKS` and `Benchmark.read`).

    Raises SarmError for an unknown kind, RowError and SarmError for files that are not of it.
    """
    return benchmark_of(kind).read(paths, skip_bad=skip_bad, reader=reader)


def evaluate(benchmark: Benchmark, matrix: FeatureMatrix, steering: Steering | None = None) -> Result:
    """Scores of the benchmark whose conversations `matrix` holds, under an optional steering.

    Offsets move every answer alike and are left out. Raises SarmError when the matrix holds another number of
    answers, SteeringError when the steering does not fit the model.
    """
    if steering is None:
        return benchmark.result(matrix.rewards)
    steering.check(matrix.n_features)
    return benchmark.result(steering.without_offsets().rewards(matrix))
