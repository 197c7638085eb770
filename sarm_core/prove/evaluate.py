"""Prove what a steering does: benchmarks and plain pairs, before and after, from ONE encoded matrix.

benchmark = load_benchmark("rm-bench", "total_dataset.json")
matrix = ...                                   # benchmark.conversations encoded once, in that order
before = evaluate(benchmark, matrix)
after = evaluate(benchmark, matrix, steering)
compare(before, after).scores                  # every score, its change and the interval of the change
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sarm_core.errors import RowError, SarmError
from sarm_core.features import FeatureMatrix
from sarm_core.prove.benchmarks.pairs import Pairs
from sarm_core.prove.benchmarks.reward_bench2 import RewardBench2
from sarm_core.prove.benchmarks.rm_bench import RMBench
from sarm_core.prove.benchmarks.scores import Benchmark, Result
from sarm_core.prove.collateral import Collateral, Distribution, collateral, distribution
from sarm_core.prove.comparison import Comparison, compare
from sarm_core.steering import Steering
from sarm_core.text.row_files import read_rows

__all__ = [
    "KINDS",
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

KINDS = ("rm-bench", "rewardbench2", "pairs")
_READERS: dict[str, type[RMBench] | type[RewardBench2] | type[Pairs]] = {
    "rm-bench": RMBench,
    "rewardbench2": RewardBench2,
    "pairs": Pairs,
}


def load_benchmark(
    kind: str, paths: str | Path | Iterable[str | Path], *, skip_bad: bool = False
) -> Benchmark:
    """Read one file or several as one benchmark of `kind` (see `KINDS`).

    Rows that say the same are counted each, with a note. Raises RowError at the first bad row, SarmError for an
    unknown kind and for a file that is given twice. With `skip_bad` bad rows are left
    out and listed in `Benchmark.skipped`, and every result notes them; no usable row at all still raises.
    """
    if kind not in _READERS:
        raise SarmError(f"unknown benchmark {kind!r}: use {', '.join(KINDS)}")
    files = [paths] if isinstance(paths, str | Path) else list(paths)
    if not files:
        raise SarmError("no benchmark file given")
    twice = next((file for i, file in enumerate(files) if Path(file).resolve() in _resolved(files[:i])), None)
    if twice is not None:
        raise SarmError(f"{twice}: is given twice; its rows would count twice")
    skipped: list[RowError] = []
    rows = [
        (str(file), number, row)
        for file in files
        for number, row in read_rows(file, skipped.append if skip_bad else None)
    ]
    benchmark = _READERS[kind].from_rows(rows, skipped, skip_bad)
    if not benchmark.items:
        raise SarmError(f"{files[0]}: none of the {len(skipped)} rows can be used, the first: {skipped[0]}")
    return replace(benchmark, n_repeated=len(rows) - len({_contents(row) for _, _, row in rows}))


def _resolved(files: Iterable[str | Path]) -> set[Path]:
    return {Path(file).resolve() for file in files}


def _contents(row: Mapping[str, Any]) -> bytes:
    """What a row says, whatever it is called."""
    said = {key: value for key, value in row.items() if key != "id"}
    return hashlib.blake2b(
        json.dumps(said, sort_keys=True).encode("utf-8", "replace"), digest_size=16
    ).digest()


def evaluate(benchmark: Benchmark, matrix: FeatureMatrix, steering: Steering | None = None) -> Result:
    """Scores of the benchmark whose conversations `matrix` holds, under an optional steering.

    Offsets move every answer alike and are left out. Raises SarmError when the matrix holds another number of
    answers, SteeringError when the steering does not fit the model.
    """
    if steering is None:
        return benchmark.result(matrix.rewards)
    steering.check(matrix.n_features)
    return benchmark.result(steering.without_offsets().rewards(matrix))
