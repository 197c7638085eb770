"""The options of `contrast`."""

from __future__ import annotations

import argparse
from pathlib import Path

from sarm_core.cli.command import Command
from sarm_core.cli.options import add_encoding_options, share, whole_number

__all__ = ["Contrast"]

BIAS_NAMES = ("length", "lists", "markdown", "refusal wording", "flattery", "certainty")


class Contrast(Command):
    """Pairs or two sets of answers in, a table of features out."""

    name = "contrast"
    help = "which features tell two sets of answers apart"

    def add(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "source",
            type=Path,
            metavar="IN",
            help="rows of prompt + chosen + rejected; with --against or --bias rows of single answers, or a folder "
            "of texts (.txt or .md, UTF-8, one answer a file); with --styles an RM-Bench file",
        )
        add_encoding_options(parser)
        parser.add_argument("--out", type=Path, required=True, metavar="OUT.csv")
        how = parser.add_mutually_exclusive_group()
        how.add_argument(
            "--against",
            type=Path,
            metavar="OTHER",
            help="a second file of answers, or folder of texts, instead of pairs",
        )
        how.add_argument(
            "--bias",
            choices=[name.replace(" ", "-") for name in BIAS_NAMES],
            help="make the pairs by rule from the answers in IN, with the property against without",
        )
        how.add_argument("--styles", metavar="A/B", help="two styles of RM-Bench, for example markdown/plain")
        parser.add_argument(
            "--complement",
            type=Path,
            metavar="FILE",
            help="other answers, rows or a folder of texts: where else it fires",
        )
        parser.add_argument(
            "--suspicious",
            type=Path,
            metavar="OUT.jsonl",
            help="the pairs, worst label first, with their scores",
        )
        parser.add_argument(
            "--cleaned", type=Path, metavar="OUT.jsonl", help="the pairs without the worst ones"
        )
        parser.add_argument(
            "--drop", type=share, default=0.04, help="share left out of --cleaned (default 0.04)"
        )
        parser.add_argument("--top", type=whole_number, help="features in the table (default: all that fire)")
        parser.add_argument(
            "--resamples", type=whole_number, default=1000, help="of the bootstrap (0: no intervals)"
        )
        parser.add_argument("--seed", type=whole_number, default=0)

    def run(self, options: argparse.Namespace) -> int:
        from sarm_core.find.tables import run

        return run(options)
