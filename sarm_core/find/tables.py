"""The command `contrast`: which features tell two sets of answers apart, as a table on disk."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from sarm_core.cli.options import encoding_of, loaded
from sarm_core.errors import SarmError
from sarm_core.files import written_whole
from sarm_core.find.contrast import Contrast
from sarm_core.find.sides import Encodings, Sides, from_bias, from_pairs, from_styles, from_two_files
from sarm_core.find.suspicious import keep_trusted, n_dropped, write_cleaned
from sarm_core.prove.comparison import FEWEST_PROMPTS
from sarm_core.text.answers import read_answers

__all__ = ["WIDE_PROMPTS", "run", "write_ranked", "write_table"]

WIDE_PROMPTS = 20
"""Below so many prompts a warning says that intervals are wide."""


def run(options: argparse.Namespace) -> int:
    """Run the command with its parsed options (see `commands.contrast`). Raises SarmError."""
    if (options.suspicious or options.cleaned) and (options.against or options.bias or options.styles):
        raise SarmError(
            "--suspicious and --cleaned judge the labels of pairs: give a file of pairs, nothing else"
        )
    outputs = [path for path in (options.out, options.suspicious, options.cleaned) if path]
    if len({path.absolute() for path in outputs}) < len(outputs):
        raise SarmError("two outputs have the same name: give each its own file")
    sides = _sides(options)
    if options.cleaned:
        n_dropped(len(sides.chosen), options.drop)  # refused before a model runs or a file is written
    complement = read_answers(options.complement) if options.complement else None
    scorer = loaded(options)
    with encoding_of(options) as how:
        encodings = sides.encode(scorer, complement, **how)
    result = encodings.contrast(resamples=options.resamples, seed=options.seed)
    write_table(result, options.out, options.top)
    if options.suspicious or options.cleaned:
        write_ranked(encodings, options.suspicious, options.cleaned, options.drop)
    _report(result, encodings, options.out, scorer.max_length)
    return 0


def _sides(options: argparse.Namespace) -> Sides:
    if options.source.is_dir() and not (options.against or options.bias):
        raise SarmError(
            f"{options.source}: is a folder of texts: name the other one with --against, or a bias with --bias"
        )
    if options.against:
        return from_two_files(options.source, options.against)
    if options.bias:
        return from_bias(read_answers(options.source), options.bias.replace("-", " "))
    if options.styles:
        names = options.styles.split("/")
        if len(names) != 2:
            raise SarmError(
                f"--styles {options.styles!r}: give two styles as A/B, for example markdown/plain"
            )
        return from_styles(options.source, *names)
    return from_pairs(options.source)


def write_table(result: Contrast, path: Path, top: int | None = None) -> None:
    """The table as CSV, largest |s| first; undefined numbers are empty, flags are true or false."""
    table = result.table if top is None else result.table.head(top)
    table = table.copy()
    for flag in ("opposes_head", "few", "fragile"):
        table[flag] = np.where(table[flag], "true", "false")
    with written_whole(path) as file:
        table.to_csv(file, index=False, lineterminator="\n")


def write_ranked(encodings: Encodings, ranked: Path | None, cleaned: Path | None, drop: float) -> None:
    """The pairs with `suspicious` scores, worst first, and the cleaned set in the order of the file."""
    rows = encodings.sides.rows
    table = encodings.suspicious()
    if ranked is not None:
        with written_whole(ranked) as file:
            for record in table.to_dict("records"):
                pair = int(record["pair"])
                scores: dict[str, Any] = {
                    "row": encodings.sides.chosen.places[pair][1],
                    "concept": _number(record["concept"]),
                    "margin": _number(record["margin"]),
                    "concept_rank": int(record["concept_rank"]),
                    "margin_rank": int(record["margin_rank"]),
                    "contradicted_by": record["contradicted_by"],
                }
                file.write(json.dumps({**rows[pair], "suspicion": scores}, ensure_ascii=False) + "\n")
    if cleaned is not None:
        write_cleaned(rows, keep_trusted(table, drop), cleaned)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _report(result: Contrast, encodings: Encodings, path: Path, max_length: int) -> None:
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
