"""The command `contrast`: which features tell two sets of answers apart, as a table on disk."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sarm_core.cli.command import Command
from sarm_core.cli.options import (
    add_bootstrap_options,
    add_encoding_options,
    add_row_options,
    encoding_of,
    loaded,
    reader_of,
    say_reading,
    share,
    whole_number,
)
from sarm_core.errors import SarmError

if TYPE_CHECKING:
    from sarm_core.find.contrast import Contrast as Found
    from sarm_core.find.sides import Encodings, Sides
    from sarm_core.text.answers import Reader

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
        add_row_options(parser)
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
        add_bootstrap_options(parser)

    def run(self, options: argparse.Namespace) -> int:
        from sarm_core.find.suspicious import n_dropped
        from sarm_core.find.tables import write_ranked, write_table
        from sarm_core.text.answer_sets import read_answers
        from sarm_core.text.answers import Reader

        if (options.suspicious or options.cleaned) and (options.against or options.bias or options.styles):
            raise SarmError(
                "--suspicious and --cleaned judge the labels of pairs: give a file of pairs, nothing else"
            )
        outputs = [path for path in (options.out, options.suspicious, options.cleaned) if path]
        if len({path.absolute() for path in outputs}) < len(outputs):
            raise SarmError("two outputs have the same name: give each its own file")
        reader = reader_of(options)
        sides = _sides(options, reader)
        if options.cleaned:
            n_dropped(len(sides.chosen), options.drop)  # refused before a model runs or a file is written
        complement = (
            read_answers(options.complement, Reader(ignore=reader.ignore)) if options.complement else None
        )
        scorer = loaded(options)
        with encoding_of(options) as how:
            encodings = sides.encode(scorer, complement, **how)
        result = encodings.contrast(resamples=options.resamples, seed=options.seed)
        write_table(result, options.out, options.top)
        if options.suspicious or options.cleaned:
            write_ranked(encodings, options.suspicious, options.cleaned, options.drop)
        say_reading(reader)
        _report(result, encodings, options.out, scorer.max_length)
        return 0


def _sides(options: argparse.Namespace, reader: Reader) -> Sides:
    from sarm_core.find.sides import from_bias, from_pairs, from_styles, from_two_files
    from sarm_core.text.answer_sets import read_answers
    from sarm_core.text.tables import is_saved

    if options.source.is_dir() and not (is_saved(options.source) or options.against or options.bias):
        raise SarmError(
            f"{options.source}: is a folder of texts: name the other one with --against, or a bias with --bias"
        )
    if options.against:
        return from_two_files(options.source, options.against, reader=reader)
    if options.bias:
        return from_bias(read_answers(options.source, reader), options.bias.replace("-", " "))
    if options.styles:
        names = options.styles.split("/")
        if len(names) != 2:
            raise SarmError(
                f"--styles {options.styles!r}: give two styles as A/B, for example markdown/plain"
            )
        return from_styles(options.source, *names, reader=reader)
    return from_pairs(options.source, reader)


def _report(result: Found, encodings: Encodings, path: Path, max_length: int) -> None:
    from sarm_core.bootstrap import FEWEST_PROMPTS
    from sarm_core.find.tables import WIDE_PROMPTS

    what = (
        f"{result.n_chosen} pairs"
        if result.paired
        else f"{result.n_chosen} against {result.n_rejected} answers"
    )
    table = result.table
    lines = [
        f"{what} of {result.n_prompts} prompts, {len(table)} features fire: written to {path}",
        f"{int(table['opposes_head'].sum())} of them have s and w of opposite sign, "
        f"{int(table['few'].sum())} fire in fewer than 20 answers",
        *encodings.sides.notes,
        *encodings.encoded.notes,
    ]
    if result.n_prompts < WIDE_PROMPTS:
        kept = "wide" if result.n_prompts >= FEWEST_PROMPTS else f"not given below {FEWEST_PROMPTS}"
        lines.insert(
            2, f"only {result.n_prompts} prompts: intervals are {kept}, a feature may stand out by chance"
        )
    n_cut = int((encodings.encoded.n_cut > 0).sum())
    if n_cut:
        lines.append(f"{n_cut} answers were longer than {max_length} tokens and were cut on the left")
    lines.append(
        f"{encodings.encoded.reused} of {len(encodings.encoded.matrix)} answers were read from the cache"
    )
    print("\n".join(lines), file=sys.stderr)
