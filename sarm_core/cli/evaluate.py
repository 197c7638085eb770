"""The command `evaluate`: a benchmark's scores before and after a steering, as one JSON file."""

from __future__ import annotations

import argparse
from pathlib import Path

from sarm_core.cli.command import Command
from sarm_core.cli.options import add_encoding_options, whole_number

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
        parser.add_argument("--steering", type=Path, metavar="S.json", help="also score under this steering")
        parser.add_argument("--out", type=Path, required=True, metavar="OUT.json")
        parser.add_argument(
            "--complement",
            type=Path,
            metavar="FILE",
            help='answers or pairs that the steering should leave alone, or "corpus" for the project\'s own',
        )
        parser.add_argument(
            "--skip-bad", action="store_true", help="leave bad rows out and list them in the output"
        )
        parser.add_argument(
            "--resamples", type=whole_number, default=1000, help="of the bootstrap (0: no intervals)"
        )
        parser.add_argument("--seed", type=whole_number, default=0)

    def run(self, options: argparse.Namespace) -> int:
        from sarm_core.cli.evaluation import run

        return run(options)
