"""The benchmarks there are. A new one is a file with a subclass of `Benchmark`, and its line here."""

from __future__ import annotations

from typing import TypeVar

from sarm_core.errors import SarmError
from sarm_core.prove.benchmarks.benchmark import Benchmark
from sarm_core.prove.benchmarks.pairs import Pairs
from sarm_core.prove.benchmarks.reward_bench2 import RewardBench2
from sarm_core.prove.benchmarks.rm_bench import RMBench

__all__ = ["BENCHMARKS", "benchmark_of", "known", "register"]

BENCHMARKS: dict[str, type[Benchmark]] = {}
"""By kind, in the order in which they are offered"""

B = TypeVar("B", bound=type[Benchmark])


def register(benchmark: B) -> B:
    """Offer a benchmark to the command line, the page and the report; also a decorator. Raises ValueError for a kind
    that is taken."""
    if benchmark.kind in BENCHMARKS:
        raise ValueError(f"there is a benchmark of kind {benchmark.kind!r} already")
    BENCHMARKS[benchmark.kind] = benchmark
    return benchmark


for each in (Pairs, RMBench, RewardBench2):
    register(each)


def benchmark_of(kind: str) -> type[Benchmark]:
    """The benchmark of a kind. Raises SarmError for one there is not."""
    if kind not in BENCHMARKS:
        raise SarmError(f"unknown benchmark {kind!r}: use {', '.join(BENCHMARKS)}")
    return BENCHMARKS[kind]


def known(kind: str) -> type[Benchmark]:
    """The same for the kind that a file names: the base, with its general rules, where there is no such benchmark."""
    return BENCHMARKS.get(kind, Benchmark)
