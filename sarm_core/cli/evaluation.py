"""What the command `evaluate` does."""

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

from sarm_core.bootstrap import FEWEST_PROMPTS
from sarm_core.cli.options import encoding_of, loaded, steering_of
from sarm_core.demo.corpus import CORPUS, answers
from sarm_core.errors import SarmError
from sarm_core.features import FeatureMatrix
from sarm_core.files import whole_file
from sarm_core.prove.benchmarks.pairs import Pairs
from sarm_core.prove.complement import BY_PROMPT, file_pairs, prompt_pairs
from sarm_core.prove.corpus import CORPUS_SETS, encoded_corpus, positions
from sarm_core.prove.evaluate import Benchmark, load_benchmark
from sarm_core.prove.evaluation_report import evaluation_report
from sarm_core.provenance import file_facts, model_facts, versions
from sarm_core.score.encoded import Encoded, encode_once
from sarm_core.score.scorer import Scorer
from sarm_core.text.answers import Answers, read_answers

__all__ = ["command_line", "run"]


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
    """Run the command with its parsed options (see `cli.evaluate`). Raises SarmError."""
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
        found = _from_corpus(options, scorer, benchmark)
    else:
        found = _from_files(options, scorer, benchmark, other)
    report = evaluation_report(
        benchmark,
        found.matrix,
        steering,
        complement=found.complement,
        complement_pairs=found.complement_pairs,
        complement_pairing=found.complement_pairing,
        resamples=options.resamples,
        seed=options.seed,
    )
    report["model"] = model_facts(scorer)
    report["files"] = found.files
    report["cut_answers"] = int((found.n_cut > 0).sum())
    if found.complement_file is not None:
        report["complement"]["file"] = found.complement_file
    report["encoding_notes"] = [note for part in found.encoded for note in part.notes]
    report["versions"] = versions()
    report["command"] = command_line(options, report["model"]["dtype"])
    with whole_file(options.out) as file:
        json.dump(report, file, indent=1, ensure_ascii=False, allow_nan=False)
        file.write("\n")
    _say(report, found.encoded, options.out, scorer)
    return 0


def _corpus_set(options: argparse.Namespace) -> Pairs:
    names = [str(file) for file in options.files]
    if len(names) != 1 or names[0] not in CORPUS_SETS:
        raise SarmError(f"evaluate corpus {' '.join(names)}: name one of {', '.join(CORPUS_SETS)}")
    if options.complement:
        raise SarmError("evaluate corpus has a complement of its own, the corpus's other answers")
    return CORPUS_SETS[names[0]].pairs()


def _from_corpus(options: argparse.Namespace, scorer: Scorer, benchmark: Pairs) -> _Answers:
    """The whole corpus is encoded, as the pages do, so that one encoding serves every set and the complement."""
    with encoding_of(options) as how:
        encoded = encoded_corpus(scorer, **how)
    own = positions(benchmark.conversations)
    rest = np.setdiff1d(np.arange(len(encoded.matrix)), own)
    file = file_facts(CORPUS)
    return _Answers(
        encoded.matrix.select(own),
        encoded.n_cut[own],
        (encoded,),
        [file],
        encoded.matrix.select(rest) if rest.size else None,
        prompt_pairs([answers()[i].conversation for i in rest]),
        BY_PROMPT,
        file if rest.size else None,
    )


def _from_files(
    options: argparse.Namespace, scorer: Scorer, benchmark: Benchmark, other: Answers | None
) -> _Answers:
    with encoding_of(options) as how:
        encoded = encode_once(scorer, benchmark.conversations, places=benchmark.places, **how)
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
        file_facts(CORPUS if _is_corpus(options.complement) else options.complement),
    )


def _is_corpus(path: Path) -> bool:
    """The word "corpus" stands for the project's own, unless there is such a file."""
    return str(path) == "corpus" and not path.exists()


def _complement(path: Path) -> Answers:
    if not _is_corpus(path):
        if path.is_dir():
            raise SarmError(f"{path}: a complement is a file of rows here, not a folder")
        return read_answers(path)
    return Answers(tuple(a.conversation for a in answers()), tuple((CORPUS.name, a.row) for a in answers()))


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
