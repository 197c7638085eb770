"""What a study found, from the records of its arms: accuracies over seeds, and differences paired by prompt.

Every figure of several seeds is the mean over them. Its interval is over prompts, which are redrawn with the outcomes
of all seeds and both arms; how far seeds lie apart stands beside it as their standard deviation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sarm_core.prove.benchmarks.benchmark import Benchmark
from sarm_core.prove.benchmarks.scores import Result, json_number
from sarm_core.prove.comparison import compare
from sarm_core.train.held_out import HeldOut
from sarm_core.train.study_arms import Record

__all__ = ["Figures", "spread"]

Floats = npt.NDArray[np.float64]


def spread(values: Sequence[float]) -> float | None:
    """Standard deviation over seeds (ddof = 1), None for one."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


@dataclass(frozen=True)
class Figures:
    """`records` of each arm, one a seed or one in all; `held_out` the test pairs; `benchmarks` by kind."""

    records: Mapping[str, Sequence[Record]]
    held_out: HeldOut
    benchmarks: Mapping[str, Benchmark]

    def arm(self, name: str) -> dict[str, Any]:
        """Of one arm, by head: accuracy on test pairs in all and by source, benchmarks, features used."""
        records = self.records[name]
        first = records[0]
        return {
            "heads": {
                head: {
                    "n_features": _over([record["heads"][head]["n_features"] for record in records]),
                    "validation_accuracy": _over(
                        [record["heads"][head]["validation_accuracy"] for record in records]
                    ),
                    "train_accuracy": _over([record["heads"][head]["train_accuracy"] for record in records]),
                    "pairs": self._pairs(name, head),
                    "benchmarks": {
                        kind: self._benchmark(name, name, head, kind, "after") for kind in self.benchmarks
                    },
                }
                for head in first["heads"]
            },
            "unexplained": _over([record["unexplained"] for record in records])
            if first.get("unexplained") is not None
            else None,
        }

    def difference(self, ours: str, theirs: str) -> dict[str, Any]:
        """Heads of `ours` minus those of `theirs`, both ridge over all: on test pairs, by source, and on benchmarks."""
        return {
            "pairs": {source: self._paired(some, ours, theirs) for source, some in self._sources().items()},
            "benchmarks": {
                kind: self._benchmark(theirs, ours, "ridge", kind, "change") for kind in self.benchmarks
            },
        }

    # -- pairs ---------------------------------------------------------------------------------------------

    def _sources(self) -> dict[str, npt.NDArray[np.bool_]]:
        names = self.held_out.sources
        every = np.ones(len(names), dtype=bool)
        return {"all": every, **{str(name): names == name for name in np.unique(names) if str(name) != "all"}}

    def _right(self, name: str, head: str) -> Floats:
        """Whether each test pair is put in order, [seeds, pairs]."""
        return np.array(
            [np.array(record["heads"][head]["test_margins"]) > 0 for record in self.records[name]]
        ).astype(np.float64)

    def _pairs(self, name: str, head: str) -> dict[str, Any]:
        right = self._right(name, head)
        found = {}
        for source, some in self._sources().items():
            held_out = self._of(some)
            found[source] = {
                "n": int(some.sum()),
                "prompts": held_out.n_prompts,
                **_with_interval(held_out, right[:, some]),
            }
        ties = [sum(m == 0 for m in record["heads"][head]["test_margins"]) for record in self.records[name]]
        found["all"]["ties"] = ties
        return found

    def _paired(self, some: npt.NDArray[np.bool_], ours: str, theirs: str) -> dict[str, Any]:
        better = self._right(ours, "ridge")[:, some] - self._right(theirs, "ridge")[:, some]
        return _with_interval(self._of(some), better)

    def _of(self, some: npt.NDArray[np.bool_]) -> HeldOut:
        return self.held_out if some.all() else self.held_out.of(some)

    # -- benchmarks ----------------------------------------------------------------------------------------

    def _benchmark(self, before: str, after: str, head: str, kind: str, what: str) -> dict[str, Any]:
        """Headline scores of the arm `after`, or their "change" from `before`: mean, interval, and each seed's."""
        benchmark = self.benchmarks[kind]
        results = {name: self._results(name, head, kind) for name in {before, after}}
        means = {name: _mean_of(of) for name, of in results.items()}
        compared = compare(
            means[before], means[after], resamples=self.held_out.resamples, seed=self.held_out.seed
        ).scores.set_index("score")
        found = {}
        for score in benchmark.headlines(means[after].scores):
            row = compared.loc[score]
            each = [result.scores[score] for result in results[after]]
            if what == "change":
                base = [result.scores[score] for result in results[before]]
                each = [a - b for a, b in zip(*_as_many(each, base), strict=True)]
            prefix = "after_" if what == "after" else ""
            found[score] = {
                "n": int(row["n"]),
                "prompts": int(row["prompts"]),
                "value": json_number(float(row[what])),
                "low": json_number(float(row[f"{prefix}low"])),
                "high": json_number(float(row[f"{prefix}high"])),
                "seeds": [json_number(value) for value in each],
                "spread": spread(each) if all(map(math.isfinite, each)) else None,
            }
        return found

    def _results(self, name: str, head: str, kind: str) -> list[Result]:
        benchmark = self.benchmarks[kind]
        return [benchmark.result(record["heads"][head]["rewards"][kind]) for record in self.records[name]]


def _mean_of(results: Sequence[Result]) -> Result:
    """Scores are means over items and sums of such means, so those of the mean credit are the means over seeds."""
    if len(results) == 1:
        return results[0]
    leaves = tuple(
        replace(leaves[0], values=np.mean([leaf.values for leaf in leaves], axis=0))
        for leaves in zip(*(result.leaves for result in results), strict=True)
    )
    return replace(results[0], leaves=leaves)


def _over(values: Sequence[float]) -> dict[str, Any]:
    return {"value": float(np.mean(values)), "seeds": list(values), "spread": spread(values)}


def _with_interval(held_out: HeldOut, values: Floats) -> dict[str, Any]:
    """Of values [seeds, pairs]."""
    each = [float(np.average(of, weights=held_out.weights)) for of in values]
    low, high = held_out.interval_of(values.mean(0))
    return {"value": float(np.mean(each)), "low": low, "high": high, "seeds": each, "spread": spread(each)}


def _as_many(one: list[float], other: list[float]) -> tuple[list[float], list[float]]:
    """An arm without randomness has the same figure for every seed of the other."""
    n = max(len(one), len(other))
    return (one * n if len(one) == 1 else one), (other * n if len(other) == 1 else other)
