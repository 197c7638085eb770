"""The command `evaluate`: a benchmark's scores before and after a steering, as one JSON file."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sarm_core.cli.options import encoding_of, loaded, steering_of
from sarm_core.demo import corpus as axes
from sarm_core.errors import SarmError
from sarm_core.features import FeatureMatrix
from sarm_core.files import written_whole
from sarm_core.prove.benchmarks.pairs import Pairs
from sarm_core.prove.benchmarks.reward_bench2 import RewardBench2
from sarm_core.prove.benchmarks.rm_bench import RMBench
from sarm_core.prove.benchmarks.scores import json_number
from sarm_core.prove.collateral import Distribution
from sarm_core.prove.comparison import FEWEST_PROMPTS, Comparison
from sarm_core.prove.complement import BY_PROMPT, file_pairs, prompt_pairs
from sarm_core.prove.evaluate import Benchmark, collateral, compare, distribution, evaluate, load_benchmark
from sarm_core.prove.steered_features import item_pairs, steered_features
from sarm_core.prove.strength import strength_curve
from sarm_core.provenance import file_facts, model_facts, versions
from sarm_core.report.evaluation_json import FORMAT
from sarm_core.score.encoded import Encoded, encode_once
from sarm_core.score.scorer import Scorer
from sarm_core.steering import Steering
from sarm_core.text.answers import Answers, read_answers
from sarm_core.text.rows import Place

__all__ = [
    "FORMAT",
    "command_line",
    "conversation_places",
    "evaluation_report",
    "flip_row",
    "pair_numbers",
    "run",
]

CORPUS_SETS = {"refusals": axes.refusal_pairs, "quality": axes.quality_pairs}
STRENGTHS = tuple(step / 10 for step in range(21))


@dataclass(frozen=True)
class _Answers:
    """Activations of the benchmark's conversations and of the complement's, and where both came from."""

    matrix: FeatureMatrix
    n_cut: np.ndarray
    encoded: tuple[Encoded, ...]
    files: list[dict[str, str]]
    complement: FeatureMatrix | None = None
    complement_pairs: np.ndarray | None = None
    complement_pairing: str = ""
    complement_file: dict[str, str] | None = None


def run(options: argparse.Namespace) -> int:
    """Run the command with its parsed options (see `commands.evaluate`). Raises SarmError."""
    steering = steering_of(options)
    if options.kind == "corpus":
        benchmark: Benchmark = _corpus_set(options)
        other = None
    else:
        benchmark = load_benchmark(options.kind, options.files, skip_bad=options.skip_bad)
        other = _complement(options.complement) if options.complement else None
    scorer = loaded(options)
    if steering is not None:
        steering.check(scorer.n_features)
    if isinstance(benchmark, Pairs) and options.kind == "corpus":
        answers = _from_corpus(options, scorer, benchmark)
    else:
        answers = _from_files(options, scorer, benchmark, other)
    report = evaluation_report(
        benchmark,
        answers.matrix,
        steering,
        complement=answers.complement,
        complement_pairs=answers.complement_pairs,
        complement_pairing=answers.complement_pairing,
        resamples=options.resamples,
        seed=options.seed,
    )
    report["model"] = model_facts(scorer)
    report["files"] = answers.files
    report["cut_answers"] = int((answers.n_cut > 0).sum())
    if answers.complement_file is not None:
        report["complement"]["file"] = answers.complement_file
    report["encoding_notes"] = [note for part in answers.encoded for note in part.notes]
    report["versions"] = versions()
    report["command"] = command_line(options, report["model"]["dtype"])
    with written_whole(options.out) as file:
        json.dump(report, file, indent=1, ensure_ascii=False, allow_nan=False)
        file.write("\n")
    _say(report, answers.encoded, options.out, scorer)
    return 0


def _corpus_set(options: argparse.Namespace) -> Pairs:
    names = [str(file) for file in options.files]
    if len(names) != 1 or names[0] not in CORPUS_SETS:
        raise SarmError(f"evaluate corpus {' '.join(names)}: name one of {', '.join(CORPUS_SETS)}")
    if options.complement:
        raise SarmError("evaluate corpus has a complement of its own, the corpus's other answers")
    return CORPUS_SETS[names[0]]()


def _from_corpus(options: argparse.Namespace, scorer: Scorer, benchmark: Pairs) -> _Answers:
    """The whole corpus is encoded, as the pages do, so that one encoding serves every set and the complement."""
    with encoding_of(options) as how:
        every = [answer.conversation for answer in axes.answers()]
        encoded = encode_once(scorer, every, **how)
    own = axes.positions(benchmark)
    rest = np.setdiff1d(np.arange(len(encoded.matrix)), own)
    file = file_facts(axes.CORPUS)
    return _Answers(
        encoded.matrix.select(own),
        encoded.n_cut[own],
        (encoded,),
        [file],
        encoded.matrix.select(rest) if rest.size else None,
        prompt_pairs([every[i] for i in rest]),
        BY_PROMPT,
        file if rest.size else None,
    )


def _from_files(
    options: argparse.Namespace, scorer: Scorer, benchmark: Benchmark, other: Answers | None
) -> _Answers:
    with encoding_of(options) as how:
        encoded = encode_once(scorer, benchmark.conversations, places=conversation_places(benchmark), **how)
    files = [file_facts(path) for path in options.files]
    if other is None:
        return _Answers(encoded.matrix, encoded.n_cut, (encoded,), files)
    with encoding_of(options) as how:
        beside = encode_once(scorer, other.conversations, places=other.places, **how)
    if _is_corpus(options.complement):
        pairs, pairing = prompt_pairs(other.conversations), BY_PROMPT
    else:
        pairs, pairing = file_pairs(options.complement, other.conversations)
    return _Answers(
        encoded.matrix,
        encoded.n_cut,
        (encoded, beside),
        files,
        beside.matrix,
        pairs,
        pairing,
        file_facts(axes.CORPUS if _is_corpus(options.complement) else options.complement),
    )


def _is_corpus(path: Path) -> bool:
    """The word "corpus" stands for the project's own, unless there is such a file."""
    return str(path) == "corpus" and not path.exists()


def _complement(path: Path) -> Answers:
    if not _is_corpus(path):
        if path.is_dir():
            raise SarmError(f"{path}: a complement is a file of rows here, not a folder")
        return read_answers(path)
    every = axes.answers()
    return Answers(tuple(a.conversation for a in every), tuple((axes.CORPUS.name, a.row) for a in every))


def command_line(options: argparse.Namespace, dtype: str) -> str:
    """The command that gives these figures again; `dtype` is what "auto" came to on this machine."""
    words = ["python", "-m", "sarm_core", "evaluate", options.kind, *map(str, options.files)]
    words += ["--model", str(options.model), "--dtype", dtype]
    for name in ("device", "max_length", "steering", "complement"):
        value = getattr(options, name)
        if value is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    if options.skip_bad:
        words.append("--skip-bad")
    words += ["--resamples", str(options.resamples), "--seed", str(options.seed), "--out", str(options.out)]
    return shlex.join(words)


def evaluation_report(
    benchmark: Benchmark,
    matrix: FeatureMatrix,
    steering: Steering | None = None,
    *,
    complement: FeatureMatrix | None = None,
    complement_pairs: np.ndarray | None = None,
    complement_pairing: str = "",
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Everything about one benchmark as plain data for JSON; undefined numbers are null.

    `matrix` holds benchmark.conversations. Without a steering: `scores` with `intervals` and what was
    unusual. With one, in addition `scores_steered`, `change` (per score, with a paired bootstrap interval),
    `flips` (with the texts), `collateral` and `distribution` of the benchmark's own answers,
    `steered_features` (see `steered_features`) and, when it can re-rank and has a strength, `curve`: every
    score over strengths 0 to 2 with its interval. `complement` holds other answers, of which collateral and
    distribution are reported; `complement_pairs` int [p, 2] names its pairs, `complement_pairing` how they were
    made.
    """
    before = evaluate(benchmark, matrix)
    after = before if steering is None else evaluate(benchmark, matrix, steering)
    compared = compare(before, after, resamples=resamples, confidence=confidence, seed=seed)
    report: dict[str, Any] = {"format": FORMAT, **before.to_dict()}
    report["intervals"] = _intervals(compared, "before")
    report["bootstrap"] = {
        "unit": "prompt",
        "resamples": resamples,
        "confidence": confidence,
        "seed": seed,
        "fewest_prompts": FEWEST_PROMPTS,
    }
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
    report["flips"] = [flip_row(benchmark, flip) for flip in body["flips"]]
    own = matrix.rewards, steering.rewards(matrix)
    ranking = steering.without_offsets()
    report["collateral"] = collateral(*own, pair_numbers(benchmark), ranked=ranking.rewards(matrix)).to_dict()
    report["distribution"] = _distribution(distribution(*own))
    report["steered_features"] = steered_features(benchmark, matrix, steering)
    if steering.can_rerank() and not steering.set:
        report["curve"] = _curve(benchmark, matrix, steering, resamples, confidence, seed)
    if complement is not None:
        there = complement.rewards, steering.rewards(complement)
        report["complement"] = {
            "collateral": collateral(*there, complement_pairs, ranked=ranking.rewards(complement)).to_dict(),
            "distribution": _distribution(distribution(*there)),
            "pairing": complement_pairing,
        }
    return report


def pair_numbers(benchmark: Benchmark) -> np.ndarray:
    """Every right against every wrong answer of each item, int [pairs, 2], each pair once."""
    _, right, wrong = item_pairs(benchmark)
    return np.unique(np.stack([right, wrong], axis=1), axis=0)


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


def _say(report: Mapping[str, Any], encoded: Sequence[Encoded], path: Path, scorer: Scorer) -> None:
    total = report["scores"]["total"]
    line = f"{report['benchmark']}: total {_figure(total)} over {report['items']} items"
    if "change" in report:
        change = report["change"]["total"]
        line += f", steered {_figure(change['after'])} (change {_figure(change['change'], '+')}"
        if change["low"] is not None:
            line += f", interval {_figure(change['low'], '+')} to {_figure(change['high'], '+')}"
        elif report["prompts"]["total"] < FEWEST_PROMPTS:
            line += f", no interval: few prompts ({report['prompts']['total']})"
        line += f"; {report['won']} won, {report['lost']} lost)"
    lines = [line, *report["notes"], *(note for part in encoded for note in part.notes)]
    few = [name for name, n in report["prompts"].items() if name != "total" and n < FEWEST_PROMPTS]
    if few and "change" in report:
        lines.append(
            f"no interval for scores over fewer than {FEWEST_PROMPTS} prompts: "
            + ", ".join(f"{name} ({report['prompts'][name]})" for name in few[:8])
            + (f" and {len(few) - 8} more" if len(few) > 8 else "")
        )
    beside = report.get("complement", {}).get("collateral")
    if beside is not None:
        line = f"complement: {beside['moved']} of {beside['answers']} answers changed their reward"
        if beside["pairs"]:
            line += f", {beside['flipped']} of {beside['pairs']} pairs their order"
            line += f" (pairs: {report['complement']['pairing']})"
        lines.append(line)
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
