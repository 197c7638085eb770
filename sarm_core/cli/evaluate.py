"""The command `evaluate`: a benchmark's scores before and after a steering, as one JSON file."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sarm_core.cli.command import Command
from sarm_core.cli.options import (
    add_bootstrap_options,
    add_complement_option,
    add_encoding_options,
    add_row_options,
    complement_of,
    encoding_of,
    loaded,
    reader_of,
    say_reading,
    steering_of,
)
from sarm_core.errors import SarmError

if TYPE_CHECKING:
    from sarm_core.prove.evaluated import Evaluated, Experiment
    from sarm_core.text.answers import Reader

__all__ = ["Evaluate"]


class Evaluate(Command):
    """A benchmark in, its figures without and with a steering out."""

    name = "evaluate"
    help = "score a benchmark, before and after a steering"

    def add(self, parser: argparse.ArgumentParser) -> None:
        from sarm_core.prove.benchmarks.registry import BENCHMARKS

        kinds = (*BENCHMARKS, "corpus")
        parser.add_argument("kind", choices=kinds, metavar="|".join(kinds))
        parser.add_argument(
            "files",
            type=Path,
            nargs="+",
            metavar="FILE",
            help="JSONL, JSON array or Parquet; after `corpus` the set: refusals or quality",
        )
        add_encoding_options(parser)
        add_row_options(parser)
        parser.add_argument("--steering", type=Path, metavar="S.json", help="also score under this steering")
        parser.add_argument("--out", type=Path, required=True, metavar="OUT.json")
        add_complement_option(parser)
        parser.add_argument(
            "--skip-bad", action="store_true", help="leave bad rows out and list them in the output"
        )
        add_bootstrap_options(parser)

    def run(self, options: argparse.Namespace) -> int:
        from sarm_core.files import whole_file

        steering, reader = steering_of(options), reader_of(options)
        experiment = _experiment(options, reader)
        scorer = loaded(options)
        if steering is not None:
            steering.check(scorer.n_features)
        with encoding_of(options) as how:
            of = experiment.encode(scorer, **how)
        report = of.report(steering, resamples=options.resamples, seed=options.seed)
        chosen = {name: getattr(options, name) for name in ("device", "max_length", "date", "steering")}
        report["command"] = of.command(str(options.model), report, str(options.out), **chosen)
        with whole_file(options.out) as file:
            json.dump(report, file, indent=1, ensure_ascii=False, allow_nan=False)
            file.write("\n")
        say_reading(reader)
        _say(report, of, options.out)
        return 0


def _experiment(options: argparse.Namespace, reader: Reader) -> Experiment:
    from sarm_core.prove.evaluated import Experiment

    if options.kind == "corpus":
        if options.complement:
            raise SarmError("evaluate corpus has a complement of its own, the corpus's other answers")
        return Experiment.of_corpus(" ".join(map(str, options.files)))
    beside = complement_of(options, reader)
    return Experiment.of_files(
        options.kind, options.files, skip_bad=options.skip_bad, complement=beside, reader=reader
    )


def _say(report: Mapping[str, Any], of: Evaluated, path: Path) -> None:
    from sarm_core.bootstrap import FEWEST_PROMPTS

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
    lines = [line, *report["notes"], *of.notes]
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
            f"{report['cut_answers']} answers were longer than {report['model']['max_length']} tokens: cut on the left"
        )
    lines.append(f"{of.n_reused} of {of.n_answers} answers were read from the cache")
    print("\n".join([*lines, f"written to {path}"]), file=sys.stderr)


def _figure(value: float | None, sign: str = "") -> str:
    return "undefined" if value is None else f"{value:{sign}.4f}"
