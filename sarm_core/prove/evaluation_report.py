"""A benchmark's scores before and after a steering, and what else it moves, as plain data for one JSON file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from sarm_core.bootstrap import FEWEST_PROMPTS
from sarm_core.features import FeatureMatrix
from sarm_core.prove.benchmarks.benchmark import Benchmark
from sarm_core.prove.benchmarks.scores import json_number
from sarm_core.prove.collateral import Distribution
from sarm_core.prove.comparison import Comparison
from sarm_core.prove.complement import Complement
from sarm_core.prove.outcome import outcome
from sarm_core.prove.steered_features import steered_features
from sarm_core.prove.strength import strength_curve
from sarm_core.steering import Steering

__all__ = [
    "FORMAT",
    "evaluation_report",
    "flip_row",
    "scores_record",
]

FORMAT = "sarm-evaluation/1"
STRENGTHS = tuple(step / 10 for step in range(21))


def evaluation_report(
    benchmark: Benchmark,
    matrix: FeatureMatrix,
    steering: Steering | None = None,
    *,
    complement: Complement | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Everything about one benchmark as plain data for JSON; undefined numbers are null.

    `matrix` holds benchmark.conversations. Without a steering: `scores` with `intervals` and what was
    unusual. With one, in addition `scores_steered`, `change` (per score, with a paired bootstrap interval),
    `flips` (with the texts), `collateral` and `distribution` of the benchmark's own answers,
    `steered_features` (see `steered_features`) and, when it can re-rank and has a strength, `curve`: every
    score over strengths 0 to 2 with its interval. Of a `complement` collateral and distribution are reported.
    """
    drawn: dict[str, Any] = {"resamples": resamples, "confidence": confidence, "seed": seed}
    found = outcome(benchmark, matrix, steering, complement, **drawn)
    report = scores_record(found.comparison, steering)
    if steering is None:
        if found.spread_elsewhere is not None:
            report["complement"] = {"distribution": _distribution(found.spread_elsewhere, steered=False)}
        return report
    report["flips"] = [flip_row(benchmark, flip) for flip in found.comparison.to_dict()["flips"]]
    report["collateral"] = found.moved.to_dict()
    report["distribution"] = _distribution(found.spread)
    report["steered_features"] = steered_features(benchmark, matrix, steering)
    if steering.can_rerank() and not steering.set:
        report["curve"] = _curve(benchmark, matrix, steering, **drawn)
    if complement is not None and found.moved_elsewhere is not None and found.spread_elsewhere is not None:
        report["complement"] = {
            "collateral": found.moved_elsewhere.to_dict(),
            "distribution": _distribution(found.spread_elsewhere),
            "pairing": complement.pairing,
        }
    return report


def scores_record(compared: Comparison, steering: Steering | None = None) -> dict[str, Any]:
    """The scores of a comparison as they stand in the report, which is all that its verdict rests on."""
    report: dict[str, Any] = {"format": FORMAT, **compared.before.to_dict()}
    report["intervals"] = _intervals(compared, "before")
    report["bootstrap"] = {
        "unit": "prompt",
        "resamples": compared.resamples,
        "confidence": compared.confidence,
        "seed": compared.seed,
        "fewest_prompts": FEWEST_PROMPTS,
    }
    if steering is None:
        return report
    report["steering"] = json.loads(steering.to_json())
    report["scores_steered"] = compared.after.to_dict()["scores"]
    report["intervals_steered"] = _intervals(compared, "after")
    report["notes_steered"] = list(compared.after.notes)
    body = compared.to_dict()
    return report | {name: body[name] for name in ("change", "won", "lost")}


def _intervals(compared: Comparison, side: str) -> dict[str, list[float | None]]:
    return {
        str(row["score"]): [json_number(row[f"{side}_low"]), json_number(row[f"{side}_high"])]
        for row in compared.scores.to_dict("records")
    }


def flip_row(benchmark: Benchmark, flip: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `Comparison.flips` for a file, where the numbers of conversations mean nothing: with the answers."""
    texts = {f"{side}_answer": benchmark.conversations[flip[side]].answer for side in ("right", "wrong")}
    kept = {name: value for name, value in flip.items() if name not in ("right", "wrong", "item")}
    return {**kept, **texts}


def _distribution(found: Distribution, *, steered: bool = True) -> dict[str, Any]:
    def side(counts: np.ndarray, summary: Any) -> dict[str, Any]:
        return {
            "counts": counts.tolist(),
            "n": summary.n,
            "nan": summary.n_nan,
            "mean": json_number(summary.mean),
            "sd": json_number(summary.sd),
            "quantiles": {
                f"{q:g}": json_number(v) for q, v in zip(found.levels, summary.quantiles, strict=True)
            },
        }

    out: dict[str, Any] = {"edges": found.edges.tolist(), "before": side(found.counts_before, found.before)}
    if steered:
        out["after"] = side(found.counts_after, found.after)
    return out


def _curve(
    benchmark: Benchmark,
    matrix: FeatureMatrix,
    steering: Steering,
    resamples: int,
    confidence: float,
    seed: int,
) -> dict[str, Any]:
    table = strength_curve(
        benchmark, matrix, steering, STRENGTHS, resamples=resamples, confidence=confidence, seed=seed
    )
    columns = [
        name for name in ("value", "low", "high", "change_low", "change_high") if name in table.columns
    ]
    return {
        "strengths": list(STRENGTHS),
        "scores": {
            str(name): {column: [json_number(v) for v in part[column]] for column in columns}
            for name, part in table.groupby("score", sort=False)
        },
    }
