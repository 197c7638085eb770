"""The options of `perturb`."""

from __future__ import annotations

import argparse
from pathlib import Path

from sarm_core.cli.command import Command
from sarm_core.cli.options import add_encoding_options, whole_number

__all__ = ["Perturb"]

RULE_NAMES = ("whitespace", "greeting", "reordered list", "synonyms", "suffix")


class Perturb(Command):
    """Pairs in, what rewrites of their answers change out."""

    name = "perturb"
    help = "does a rewrite that keeps the meaning change which answer wins"

    def add(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "files", type=Path, nargs="+", metavar="PAIRS.jsonl", help="rows of prompt + chosen + rejected"
        )
        add_encoding_options(parser)
        parser.add_argument("--out", type=Path, required=True, metavar="OUT.json")
        parser.add_argument("--steering", type=Path, metavar="S.json", help="also check under this steering")
        parser.add_argument(
            "--rule",
            action="append",
            choices=[name.replace(" ", "-") for name in RULE_NAMES],
            help="check this rewrite only; may be given several times (default: all)",
        )
        parser.add_argument(
            "--top", type=whole_number, default=20, help="features listed for each rule, most moved first"
        )
        parser.add_argument("--seed", type=whole_number, default=0, help="of what the rules draw")
        parser.add_argument(
            "--skip-bad", action="store_true", help="leave bad rows out and list them in the output"
        )

    def run(self, options: argparse.Namespace) -> int:
        from sarm_core.prove.perturb_report import run

        return run(options)
