"""The command `perturb`: which rewrites change the order of pairs, and through which features, as one JSON file."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sarm_core.cli.command import Command
from sarm_core.cli.options import (
    add_encoding_options,
    add_row_options,
    encoding_of,
    loaded,
    reader_of,
    steering_of,
    whole_number,
)

__all__ = ["Perturb"]

FORMAT = "sarm-perturbation/1"
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
        add_row_options(parser)
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
        from sarm_core.files import whole_file
        from sarm_core.prove.benchmarks.pairs import Pairs
        from sarm_core.prove.rewritten import encode_rewrites
        from sarm_core.provenance import file_facts, versions
        from sarm_core.text.rewrites import REWRITES

        steering, reader = steering_of(options), reader_of(options)
        rules = list(dict.fromkeys(name.replace("-", " ") for name in options.rule or REWRITES))
        benchmark = Pairs.read(options.files, skip_bad=options.skip_bad, reader=reader)
        files = [file_facts(path) for path in options.files]
        scorer = loaded(options)
        if steering is not None:
            steering.check(scorer.n_features)
        with encoding_of(options) as how:
            of = encode_rewrites(scorer, benchmark, rules, seed=options.seed, **how)
        report: dict[str, Any] = {
            "format": FORMAT,
            "pairs": len(of.pairs),
            "seed": options.seed,
            "plain": of.report(top=options.top),
        }
        if steering is not None:
            report["steered"] = of.report(steering, top=options.top)
            report["steering"] = json.loads(steering.to_json())
        report["model"] = of.model
        report["files"] = files
        report["versions"] = versions()
        report["cut_answers"] = int((of.n_cut > 0).sum())
        report["skipped_rows"] = [str(error) for error in benchmark.skipped]
        with whole_file(options.out) as file:
            json.dump(report, file, indent=1, ensure_ascii=False, allow_nan=False)
            file.write("\n")
        lines = [*reader.said(), *_summary(report), *of.notes]
        if report["cut_answers"]:
            lines.append(
                f"{report['cut_answers']} texts were longer than {scorer.max_length} tokens: cut on the left; a "
                "rewrite that lost another part of the prompt than its original is in no figure"
            )
        if benchmark.skipped:
            lines.append(f"{len(benchmark.skipped)} bad rows were left out, they are listed in the output")
        lines.append(f"{of.n_reused} of {len(of.matrix)} texts were read from the cache")
        print("\n".join([*lines, f"written to {options.out}"]), file=sys.stderr)
        return 0


def _summary(report: Mapping[str, Any]) -> list[str]:
    lines = []
    steered = {row["rule"]: row for row in report.get("steered", {"rules": []})["rules"]}
    for row in report["plain"]["rules"]:
        text = f"{row['rule']}: {_flips(row)}, {row['not_applicable']} answers without use for it"
        if row["cut"]:
            text += f", {row['cut']} left out because rewrite and original were cut apart"
        if row["rule"] in steered:
            text += f"; steered {_flips(steered[row['rule']])}"
        lines.append(text)
    return lines


def _flips(row: Mapping[str, Any]) -> str:
    if not row["answers"] or row["flip_rate"] is None:
        return "no answer to rewrite"
    asked = sum(row[f"pairs_{side}"] for side in ("both", "chosen", "rejected"))
    return f"{row['flips']} of {asked} orders changed ({row['flip_rate']:.1%})"
