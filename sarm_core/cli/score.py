"""The command `score`: rewards of a file of answers, and the features that made them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sarm_core.cli.command import Command
from sarm_core.cli.options import (
    add_encoding_options,
    add_row_options,
    count,
    loaded,
    reader_of,
    say_reading,
    steering_of,
)

__all__ = ["Score"]


class Score(Command):
    """Answers in, the same rows with their rewards out."""

    name = "score"
    help = "score answers and list the features that decided"

    def add(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "source", type=Path, metavar="IN.jsonl", help="rows of messages, prompt + response, ..."
        )
        add_encoding_options(parser)
        add_row_options(parser)
        parser.add_argument("--out", type=Path, required=True, metavar="OUT.jsonl")
        parser.add_argument("--steering", type=Path, metavar="S.json", help="also write reward_steered")
        parser.add_argument(
            "--top", type=count, default=20, help="features a row, largest |contribution| first"
        )
        parser.add_argument(
            "--skip-bad", action="store_true", help="write the good rows and list the bad ones"
        )

    def run(self, options: argparse.Namespace) -> int:
        from sarm_core.score.score_file import WRITTEN, score_file

        steering, reader = steering_of(options), reader_of(options)
        written, bad = score_file(
            loaded(options),
            options.source,
            options.out,
            steering=steering,
            top=options.top,
            skip_bad=options.skip_bad,
            folder=options.cache,
            use_cache=not options.no_cache,
            reader=reader,
        )
        say_reading(reader, WRITTEN)
        for error in bad:
            print(f"skipped: {error}", file=sys.stderr)
        skipped = f", {len(bad)} skipped" if bad else ""
        print(f"{written} rows written to {options.out}{skipped}", file=sys.stderr)
        return 0
