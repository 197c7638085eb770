"""The options of `report`."""

from __future__ import annotations

import argparse
from pathlib import Path

from sarm_core.cli.command import Command
from sarm_core.cli.options import whole_number

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
        from sarm_core.cli.report_file import run

        return run(options)
