"""The command `learn`: preferences in, a steering that holds on prompts it did not learn from out."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sarm_core.cli.command import Command
from sarm_core.cli.options import (
    add_complement_option,
    add_encoding_options,
    add_row_options,
    add_seed_option,
    complement_of,
    count,
    encoding_of,
    loaded,
    number,
    reader_of,
    say_reading,
    share,
    steering_of,
)
from sarm_core.errors import SarmError

if TYPE_CHECKING:
    from sarm_core.wish.learned import Learned
    from sarm_core.wish.profiles import Profiles

__all__ = ["Learn"]

NOT_TOLD_APART = 1
"""The exit code where all went well and no steering is proposed"""


class Learn(Command):
    """Preferences of a person or a team in, a steering and its proof out."""

    name = "learn"
    help = "a steering learned from preference pairs, proved on held-out prompts"
    description = (
        "Half of the prompts teach multipliers near 1, by penalised logistic regression; the other half measures what "
        "they gain. Where the interval of the gain holds 0 no steering is written, and the exit code is 1."
    )

    def add(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "files",
            type=Path,
            nargs="+",
            metavar="PAIRS",
            help="preferences of any format, several a prompt or one",
        )
        add_encoding_options(parser)
        add_row_options(parser)
        parser.add_argument(
            "--out",
            type=Path,
            required=True,
            metavar="S.json",
            help="the steering; with --by a folder of them",
        )
        parser.add_argument(
            "--by", metavar="COLUMN", help="one steering for each person or group that this column names"
        )
        parser.add_argument("--steering", type=Path, metavar="S.json", help="the steering to start from")
        add_complement_option(parser)
        parser.add_argument("--low", type=number, default=0.0, help="least multiplier (default 0)")
        parser.add_argument("--high", type=number, default=2.0, help="largest multiplier (default 2)")
        parser.add_argument(
            "--max-features", type=count, default=32, help="change at most so many features (default 32)"
        )
        parser.add_argument(
            "--max-collateral", type=share, help="turn at most this share of the orders in --complement"
        )
        add_seed_option(parser)
        parser.add_argument("--report", type=Path, metavar="R.json", help="every figure, as JSON")
        parser.add_argument("--json", action="store_true", help="the same on standard output")

    def run(self, options: argparse.Namespace) -> int:
        from sarm_core.files import whole_file
        from sarm_core.score.encoded import encode_once
        from sarm_core.wish.labelled import LabelledPairs
        from sarm_core.wish.learned import learn
        from sarm_core.wish.learned_json import learned_json, profiles_json
        from sarm_core.wish.profiles import learn_each

        if options.report and options.report.absolute() == options.out.absolute():
            raise SarmError("--report and --out have the same name: give each its own file")
        if options.max_collateral is not None and options.complement is None:
            raise SarmError("--max-collateral needs --complement: other answers, whose orders are counted")
        if options.by is not None and options.out.exists() and not options.out.is_dir():
            raise SarmError(f"{options.out}: is a file; with --by, --out names a folder")
        start, reader = steering_of(options), reader_of(options)
        labelled = LabelledPairs.read(options.files, reader, options.by)
        beside = complement_of(options, reader)
        scorer = loaded(options)
        if start is not None:
            start.check(scorer.n_features)
        with encoding_of(options) as how:
            encoded = encode_once(scorer, labelled.answers, places=labelled.places, **how)
            elsewhere = None
            if beside is not None:
                others = beside.answers
                elsewhere = beside.encoded(
                    encode_once(scorer, others.conversations, places=others.places, **how).matrix
                )
        asked: dict[str, Any] = {
            "start": start,
            "elsewhere": elsewhere,
            **{
                name: getattr(options, name)
                for name in ("low", "high", "max_features", "max_collateral", "seed")
            },
        }
        if options.by is None:
            found = learn(encoded, labelled, **asked)
            written = {options.out: found}
            report, lines = learned_json(found), _lines(found)
        else:
            profiles = learn_each(encoded, labelled, **asked)
            files = _files(options.out, profiles.learned)
            written = {files[name]: each for name, each in profiles.learned.items()}
            report, lines = profiles_json(profiles), _side_by_side(profiles)
        if options.report:
            with whole_file(options.report) as file:
                json.dump(report, file, indent=1, ensure_ascii=False, allow_nan=False)
                file.write("\n")
        told_apart = {path: each.steering for path, each in written.items() if each.steering is not None}
        for path, steering in told_apart.items():
            if options.by is not None:
                options.out.mkdir(parents=True, exist_ok=True)
            steering.write(path)
        say_reading(reader)
        if elsewhere is None:
            lines.append("what turns elsewhere is not known: name other answers with --complement")
        if cut := int((encoded.n_cut > 0).sum()):
            lines.append(f"{cut} answers were longer than {scorer.max_length} tokens: cut on the left")
        lines += [*encoded.notes, *(f"written to {path}" for path in told_apart)]
        print("\n".join(lines), file=sys.stderr)
        if options.json:
            print(json.dumps(report, allow_nan=False))
        return 0 if told_apart else NOT_TOLD_APART


def _lines(found: Learned) -> list[str]:
    if found.steering is None:
        return [f"no steering is written: {found.why}"]
    lines = [
        f"learned from {found.n_pairs:,} pairs of {found.n_prompts:,} prompts: {len(found.moved)} features changed",
        found.measured_in_words,
    ]
    for feature, (before, after) in list(found.moved.items())[:20]:
        lines.append(f"  feature {feature}: x {before:.4g} -> x {after:.4g}")
    if len(found.moved) > 20:
        lines.append(f"  and {len(found.moved) - 20} more")
    if (there := found.collateral) is not None:
        counted = there.collateral
        line = f"elsewhere: {counted.n_flipped} of {counted.n_pairs} orders turn"
        if counted.n_pairs:
            sure = f"interval {there.low:.1%} to {there.high:.1%}"
            line += (
                f" ({counted.share_flipped:.1%}, {'no interval: few prompts' if isnan(there.low) else sure})"
            )
        lines.append(line)
    return lines


def _side_by_side(found: Profiles) -> list[str]:
    lines = []
    for name, each in found.learned.items():
        own = _lines(each)
        lines += [f"{_shown(name)}: {own[0]}", *own[1:2]]
    for name, n in found.left_out.items():
        lines.append(f"{_shown(name)}: left out, {n} prompts are too few")
    apart = [each for each in found.differences if each.told_apart]
    if len(found.learned) > 1:
        lines.append(
            f"{len(apart)} of {len(found.differences)} differences between multipliers are told apart"
        )
    for two in apart[:20]:
        lines.append(
            f"  feature {two.feature}: {_shown(two.one)} minus {_shown(two.other)} {two.difference:+.3g} "
            f"(interval {two.low:+.3g} to {two.high:+.3g})"
        )
    for cell in found.crossed:
        if cell.of != cell.on:
            lines.append(
                f"  steering of {_shown(cell.of)} on held-out pairs of {_shown(cell.on)}: accuracy {cell.accuracy:.1%} "
                f"({cell.gain.in_words})"
            )
    return lines


def _shown(name: str) -> str:
    """Names come from files: what a terminal would obey is written out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name[:60])


def _files(folder: Path, names: Iterable[str]) -> dict[str, Path]:
    """A file a name, of letters, digits and signs that no file system minds; names that are then alike get numbers."""
    files: dict[str, Path] = {}
    taken: set[str] = set()
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:60] or "_"
        free, number = plain, 2
        while free.lower() in taken:
            free, number = f"{plain}-{number}", number + 1
        taken.add(free.lower())
        files[name] = folder / f"{free}.json"
    return files
