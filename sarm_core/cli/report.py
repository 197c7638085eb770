"""The command `report`: an evaluation on disk as one HTML file."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sarm_core.cli.command import Command
from sarm_core.cli.options import whole_number

if TYPE_CHECKING:
    from sarm_core.report.evidence import FeatureNote

__all__ = ["Report"]


class Report(Command):
    """What `evaluate` wrote in, an HTML file out."""

    name = "report"
    help = "one HTML file of an evaluation, ready to send"

    def add(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--evaluation", type=Path, required=True, metavar="IN.json", help="what `evaluate` wrote"
        )
        parser.add_argument(
            "--contrast", type=Path, metavar="C.csv", help="what `contrast` wrote: why these features"
        )
        parser.add_argument(
            "--store", type=Path, metavar="FILE", help="names and examples of the features (only read)"
        )
        parser.add_argument("--question", default="", metavar="TEXT", help="what the report answers")
        parser.add_argument("--title", default="", metavar="TEXT")
        parser.add_argument("--author", default="", metavar="TEXT")
        parser.add_argument(
            "--date",
            metavar="TEXT",
            help="written under the title (default: now); fix it for identical bytes",
        )
        parser.add_argument(
            "--trade-off",
            nargs=2,
            metavar=("SCORE", "SCORE"),
            help="two scores drawn against each other over the strength (default: where there are two subsets, these)",
        )
        parser.add_argument(
            "--items", type=whole_number, default=10, help="items won and items lost shown with their texts"
        )
        parser.add_argument("--out", type=Path, required=True, metavar="OUT.html")

    def run(self, options: argparse.Namespace) -> int:
        from sarm_core.files import whole_file
        from sarm_core.provenance import file_facts
        from sarm_core.report.html_report import html_report, read_contrast, read_evaluation, steered_ids

        evaluation = read_evaluation(options.evaluation)
        evidence = None
        if options.contrast is not None:
            evidence = read_contrast(
                options.contrast,
                title="Contrast of chosen and rejected answers",
                file=file_facts(options.contrast),
            )
        notes = None
        if options.store is not None:
            named = steered_ids(evaluation, evidence)
            notes = _notes(options.store, named, evaluation["model"]["fingerprint"])
        text = html_report(
            evaluation,
            question=options.question,
            title=options.title,
            author=options.author,
            time=options.date
            if options.date is not None
            else datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            evidence=evidence,
            notes=notes,
            trade_off=None if options.trade_off is None else tuple(options.trade_off),
            commands=[_command(options)],
            items=options.items,
        )
        with whole_file(options.out) as file:
            file.write(text)
        print(f"{len(text.encode()):,} bytes written to {options.out}", file=sys.stderr)
        return 0


def _notes(path: Path, features: Sequence[int], fingerprint: str) -> dict[int, FeatureNote]:
    """From a store that is only read."""
    from feature_db import Store
    from sarm_core.cli.stores import store_errors
    from sarm_core.report.store_notes import notes_in_store

    with (
        store_errors(path, "cannot be used as a store; open it with the app once"),
        Store.read_only(path) as store,
    ):
        return notes_in_store(store, features, fingerprint)


def _command(options: argparse.Namespace) -> str:
    words = ["sarm", "report", "--evaluation", str(options.evaluation)]
    for name in ("contrast", "store"):
        value = getattr(options, name)
        if value is not None:
            words += [f"--{name}", str(value)]
    for name in ("question", "title", "author"):
        value = getattr(options, name)
        if value:
            words += [f"--{name}", value]
    if options.trade_off is not None:
        words += ["--trade-off", *options.trade_off]
    return shlex.join([*words, "--out", str(options.out)])
