"""The command `build`: a SARM from a backbone, a dictionary and preference pairs."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from sarm_core.cli.command import Command
from sarm_core.cli.options import (
    add_cache_option,
    add_computing_options,
    add_preference_options,
    add_row_options,
    add_seed_option,
    count,
    reader_of,
    say_reading,
)

__all__ = ["Build"]


class Build(Command):
    """Fits the head only: minutes where training takes days."""

    name = "build"
    help = "make a SARM of a backbone, a public dictionary and preference pairs"
    description = (
        "Makes a SARM of a language or reward model, a dictionary of features for one of its blocks, and preference "
        "pairs: reads every answer once, fits the head, and reports held-out accuracy against the number of features "
        "used, beside a scalar head, random directions and the answers' length. What is read is kept: an interrupted "
        "run goes on, and another --features or dictionary for the same block reads nothing again."
    )

    def add(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("pairs", nargs="+", type=Path, metavar="PAIRS", help="files of preference pairs")
        parser.add_argument("--backbone", required=True, metavar="PATH", help='"demo", a folder or a Hub id')
        parser.add_argument(
            "--sae", required=True, metavar="PATH", help="a dictionary: a file, a folder or a Hub id"
        )
        parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the new SARM's folder")
        parser.add_argument(
            "--layer",
            type=count,
            metavar="L",
            help="blocks before the stream that the dictionary reads, where it does not say so itself",
        )
        parser.add_argument(
            "--features", type=count, metavar="N", help="features the head uses (default: validation decides)"
        )
        add_preference_options(parser)
        parser.add_argument(
            "--k", type=count, help="active features, where the dictionary does not say so itself"
        )
        parser.add_argument("--name", help="the name shown in the app (default: that of DIR)")
        parser.add_argument(
            "--scored-token",
            metavar="RULE",
            help="last-special-token, last-token, or a token of the tokenizer",
        )
        add_computing_options(parser, longest="4096")
        add_seed_option(parser)
        add_cache_option(parser)
        parser.add_argument(
            "--json", action="store_true", help="the report as a JSON object on standard output"
        )
        add_row_options(parser)

    def run(self, options: argparse.Namespace) -> int:
        from sarm_core.train.build import BuildConfig, run_build

        reader = reader_of(options)
        out = run_build(
            BuildConfig(
                pairs=[str(path) for path in options.pairs],
                backbone=options.backbone,
                sae=options.sae,
                out=str(options.out),
                layer=options.layer,
                features=options.features,
                ties=options.ties,
                strength=options.strength,
                k=options.k,
                scored_token=options.scored_token,
                max_length=options.max_length,
                device=options.device,
                dtype=options.dtype,
                seed=options.seed,
                name=options.name,
                cache=str(options.cache) if options.cache else None,
            ),
            reader,
        )
        say_reading(reader)
        report = json.loads((out / "report.json").read_text(encoding="utf-8"))
        if options.json:
            print(json.dumps(report, allow_nan=False))
        else:
            print(out)
        print(_summary(report), file=sys.stderr)
        return 0


def _summary(report: dict) -> str:
    head, test = report["head"], report["head"]["test"]["all"]
    interval = "" if test["low"] is None else f" [{test['low']:.3f}, {test['high']:.3f}]"
    others = ", ".join(
        f"{name.replace('_', ' ')} {found['test']['all']['accuracy']:.3f}"
        for name, found in report["baselines"].items()
    )
    doubtful = report["pairs"]["contradicting"] + report["pairs"]["against"]
    return (
        f"{head['n_features']:,} of {report['built']['n_features']:,} features put {test['accuracy']:.3f}{interval} of "
        f"{test['n']:,} held-out pairs in order; {others}; {doubtful:,} pairs are doubtful"
    )
