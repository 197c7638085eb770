"""The command `evaluate`: a benchmark's scores before and after a steering, as one JSON file."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sarm_core.commands.options import encoding_of, loaded
from sarm_core.contrast_inputs import Answers, read_answers
from sarm_core.encoded import Encoded, Place, encode_once
from sarm_core.errors import RowError, SarmError
from sarm_core.evaluate import Benchmark, collateral, compare, distribution, evaluate, load_benchmark
from sarm_core.evaluation.collateral import Distribution
from sarm_core.evaluation.comparison import Comparison
from sarm_core.evaluation.pairs import Pairs
from sarm_core.evaluation.reward_bench2 import RewardBench2
from sarm_core.evaluation.rm_bench import RMBench
from sarm_core.evaluation.scores import json_number
from sarm_core.features import FeatureMatrix
from sarm_core.files import written_whole
from sarm_core.row_files import read_rows
from sarm_core.rows import pair_of
from sarm_core.scorer import Scorer
from sarm_core.steering import Steering

__all__ = ["conversation_places", "evaluation_report", "pair_numbers", "run"]

FORMAT = "sarm-evaluation/1"


def run(options: argparse.Namespace) -> int:
    """Run the command with its parsed options (see `commands.evaluate`). Raises SarmError."""
    steering = Steering.read(options.steering) if options.steering else None
    benchmark = load_benchmark(options.kind, options.files, skip_bad=options.skip_bad)
    other = read_answers(options.complement) if options.complement else None
    scorer = loaded(options)
    if steering is not None:
        steering.check(scorer.n_features)
    with encoding_of(options) as how:
        encoded = encode_once(scorer, benchmark.conversations, places=conversation_places(benchmark), **how)
    beside = None
    if other is not None:
        with encoding_of(options) as how:
            beside = encode_once(scorer, other.conversations, places=other.places, **how)
    report = evaluation_report(
        benchmark,
        encoded.matrix,
        steering,
        complement=None if beside is None else beside.matrix,
        complement_pairs=_pairs_of(options.complement, other) if other is not None else None,
        resamples=options.resamples,
        seed=options.seed,
    )
    report["model"] = _model(scorer)
    report["files"] = [_file(path) for path in options.files]
    report["cut_answers"] = int((encoded.n_cut > 0).sum())
    if options.complement:
        report["complement"]["file"] = _file(options.complement)
    with written_whole(options.out) as file:
        json.dump(report, file, indent=1, ensure_ascii=False, allow_nan=False)
        file.write("\n")
    _say(report, [encoded, *([beside] if beside else [])], options.out, scorer)
    return 0


def evaluation_report(
    benchmark: Benchmark,
    matrix: FeatureMatrix,
    steering: Steering | None = None,
    *,
    complement: FeatureMatrix | None = None,
    complement_pairs: np.ndarray | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Everything about one benchmark as plain data for JSON; undefined numbers are null.

    `matrix` holds benchmark.conversations. Without a steering: `scores` with `intervals` and what was
    unusual. With one, in addition `scores_steered`, `change` (per score, with a paired bootstrap interval),
    `flips` (with the texts), `collateral` and `distribution` of the benchmark's own answers. `complement`
    holds other answers, of which the same two are reported; `complement_pairs` int [p, 2] names its pairs.
    """
    before = evaluate(benchmark, matrix)
    after = before if steering is None else evaluate(benchmark, matrix, steering)
    compared = compare(before, after, resamples=resamples, confidence=confidence, seed=seed)
    report: dict[str, Any] = {"format": FORMAT, **before.to_dict()}
    report["intervals"] = _intervals(compared, "before")
    report["bootstrap"] = {"unit": "prompt", "resamples": resamples, "confidence": confidence, "seed": seed}
    if steering is None:
        if complement is not None:
            plain = complement.rewards
            report["complement"] = {"distribution": _distribution(distribution(plain, plain), steered=False)}
        return report
    report["steering"] = json.loads(steering.to_json())
    report["scores_steered"] = after.to_dict()["scores"]
    report["intervals_steered"] = _intervals(compared, "after")
    report["notes_steered"] = list(after.notes)
    body = compared.to_dict()
    report |= {name: body[name] for name in ("change", "won", "lost")}
    report["flips"] = [_flip(benchmark, flip) for flip in body["flips"]]
    own = matrix.rewards, steering.rewards(matrix)
    report["collateral"] = collateral(*own, pair_numbers(benchmark)).to_dict()
    report["distribution"] = _distribution(distribution(*own))
    if complement is not None:
        there = complement.rewards, steering.rewards(complement)
        report["complement"] = {
            "collateral": collateral(*there, complement_pairs).to_dict(),
            "distribution": _distribution(distribution(*there)),
        }
    return report


def pair_numbers(benchmark: Benchmark) -> np.ndarray:
    """Every right against every wrong answer of each item, int [pairs, 2], each pair once."""
    if isinstance(benchmark, Pairs):
        pairs = np.stack([benchmark.chosen, benchmark.rejected], axis=1)
    elif isinstance(benchmark, RMBench):
        right, wrong = np.repeat(benchmark.right, 3, axis=1), np.tile(benchmark.wrong, 3)
        pairs = np.stack([right.ravel(), wrong.ravel()], axis=1)
    elif isinstance(benchmark, RewardBench2):
        pairs = np.array(
            [(r, w) for each in benchmark.completions for r in each.right for w in each.wrong], np.int64
        ).reshape(-1, 2)
    else:
        decisions = benchmark.result(np.zeros(len(benchmark.conversations))).decisions
        pairs = np.stack([decisions.right, decisions.wrong], axis=1)
    return np.unique(pairs, axis=0)


def conversation_places(benchmark: Benchmark) -> list[Place]:
    """The file and row in which each conversation first appears."""
    places: list[Place | None] = [None] * len(benchmark.conversations)

    def add(item: int, conversations: np.ndarray | tuple[int, ...]) -> None:
        for conversation in conversations:
            if places[conversation] is None:
                places[conversation] = (benchmark.items[item].source, benchmark.items[item].row)

    for item in range(len(benchmark.items)):
        if isinstance(benchmark, Pairs):
            add(item, (int(benchmark.chosen[item]), int(benchmark.rejected[item])))
        elif isinstance(benchmark, RMBench):
            add(item, np.concatenate([benchmark.right[item], benchmark.wrong[item]]))
        elif isinstance(benchmark, RewardBench2):
            add(item, (*benchmark.completions[item].right, *benchmark.completions[item].wrong))
    return [place or ("the benchmark", 0) for place in places]


def _pairs_of(path: Path, answers: Answers) -> np.ndarray:
    """Pairs among the answers of a complement file; rows of single answers make none."""
    number = {conversation: i for i, conversation in enumerate(answers.conversations)}
    pairs = []
    for _, row in read_rows(path):
        try:
            one, two = pair_of(row)
        except RowError:
            continue
        pairs.append((number[one], number[two]))
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _intervals(compared: Comparison, side: str) -> dict[str, list[float | None]]:
    return {
        str(row["score"]): [json_number(row[f"{side}_low"]), json_number(row[f"{side}_high"])]
        for row in compared.scores.to_dict("records")
    }


def _flip(benchmark: Benchmark, flip: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers of conversations mean nothing outside this process, so the answers themselves are written."""
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


def _model(scorer: Scorer) -> dict[str, Any]:
    return {
        "source": scorer.checkpoint.source,
        "name": scorer.checkpoint.name,
        "fingerprint": scorer.fingerprint,
        "dtype": str(scorer.dtype).removeprefix("torch."),
        "max_length": scorer.max_length,
    }


def _file(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return {"name": path.name, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
    except OSError as error:
        raise SarmError(f"{path}: cannot be read ({error.strerror})") from None


def _say(report: Mapping[str, Any], encoded: list[Encoded], path: Path, scorer: Scorer) -> None:
    total = report["scores"]["total"]
    line = f"{report['benchmark']}: total {_figure(total)} over {report['items']} items"
    if "change" in report:
        change = report["change"]["total"]
        line += f", steered {_figure(change['after'])} (change {_figure(change['change'], '+')}"
        if change["low"] is not None:
            line += f", interval {_figure(change['low'], '+')} to {_figure(change['high'], '+')}"
        line += f"; {report['won']} won, {report['lost']} lost)"
    lines = [line, *report["notes"], *(note for part in encoded for note in part.notes)]
    if report["cut_answers"]:
        lines.append(
            f"{report['cut_answers']} answers were longer than {scorer.max_length} tokens: cut on the left"
        )
    lines.append(
        f"{sum(e.reused for e in encoded)} of {sum(len(e.matrix) for e in encoded)} answers were read from the cache"
    )
    print("\n".join([*lines, f"written to {path}"]), file=sys.stderr)


def _figure(value: float | None, sign: str = "") -> str:
    return "undefined" if value is None else f"{value:{sign}.4f}"
