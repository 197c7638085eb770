"""The command `perturb`: which rewrites change the order of pairs, and through which features, as one JSON file."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from sarm_core.cli.options import encoding_of, loaded, steering_of
from sarm_core.files import written_whole
from sarm_core.prove.benchmarks.pairs import Pairs
from sarm_core.prove.benchmarks.scores import json_number
from sarm_core.prove.evaluate import load_benchmark
from sarm_core.prove.perturb import Perturbation, perturb, rewritten, scores_from, versions_of
from sarm_core.provenance import file_facts, model_facts, versions
from sarm_core.score.encoded import encode_once
from sarm_core.steering import Steering
from sarm_core.text.rewrites import REWRITES

__all__ = ["perturbation_report", "run"]

FORMAT = "sarm-perturbation/1"


def run(options: argparse.Namespace) -> int:
    """Run the command with its parsed options (see `commands.perturb`). Raises SarmError."""
    steering = steering_of(options)
    rules = [name.replace("-", " ") for name in options.rule or REWRITES]
    rules = list(dict.fromkeys(rules))
    benchmark = load_benchmark("pairs", options.files, skip_bad=options.skip_bad)
    assert isinstance(benchmark, Pairs)
    files = [file_facts(path) for path in options.files]
    scorer = loaded(options)
    if steering is not None:
        steering.check(scorer.n_features)
    pairs = [
        (benchmark.conversations[chosen], benchmark.conversations[rejected])
        for chosen, rejected in zip(benchmark.chosen, benchmark.rejected, strict=True)
    ]
    conversations, origin = versions_of(pairs, rules=rules, seed=options.seed)
    places = [(benchmark.items[pair].source, benchmark.items[pair].row) for pair in origin]
    with encoding_of(options) as how:
        encoded = encode_once(scorer, conversations, places=places, **how)
    cuts = dict(zip(conversations, encoded.n_cut.tolist(), strict=True))

    def checked(under: Steering | None) -> Perturbation:
        matrix = encoded.matrix if under is None else under.apply(encoded.matrix)
        score = scores_from(conversations, matrix)
        return perturb(pairs, score, rules=rules, top=options.top, seed=options.seed, cuts=cuts)

    report: dict[str, Any] = {
        "format": FORMAT,
        "pairs": len(pairs),
        "seed": options.seed,
        "plain": perturbation_report(checked(None), benchmark),
    }
    if steering is not None:
        report["steered"] = perturbation_report(checked(steering), benchmark)
        report["steering"] = json.loads(steering.to_json())
    report["model"] = model_facts(scorer)
    report["files"] = files
    report["versions"] = versions()
    report["cut_answers"] = int((encoded.n_cut > 0).sum())
    report["skipped_rows"] = [str(error) for error in benchmark.skipped]
    with written_whole(options.out) as file:
        json.dump(report, file, indent=1, ensure_ascii=False, allow_nan=False)
        file.write("\n")
    lines = [*_summary(report), *encoded.notes]
    if report["cut_answers"]:
        lines.append(
            f"{report['cut_answers']} texts were longer than {scorer.max_length} tokens: cut on the left; a rewrite "
            "that lost another part of the prompt than its original is in no figure"
        )
    if benchmark.skipped:
        lines.append(f"{len(benchmark.skipped)} bad rows were left out, they are listed in the output")
    lines.append(f"{encoded.reused} of {len(encoded.matrix)} texts were read from the cache")
    print("\n".join([*lines, f"written to {options.out}"]), file=sys.stderr)
    return 0


def perturbation_report(found: Perturbation, benchmark: Pairs) -> dict[str, Any]:
    """`found` as plain JSON data; a flip names its pair by file, row and id, and holds both answers as compared."""
    return {
        "rules": _records(found.rules),
        "features": _records(found.features),
        "flips": [_flip(flip, benchmark, found.seed) for flip in found.flips.to_dict("records")],
    }


def _flip(flip: Mapping[Any, Any], benchmark: Pairs, seed: int) -> dict[str, Any]:
    pair, side, rule = int(flip["pair"]), str(flip["side"]), str(flip["rule"])
    item = benchmark.items[pair]
    answers = {}
    for name, number in (("chosen", benchmark.chosen[pair]), ("rejected", benchmark.rejected[pair])):
        answer = benchmark.conversations[number]
        if side in (name, "both"):
            answer = rewritten(answer, rule, seed) or answer
        answers[f"{name}_answer"] = answer.answer
    place = {"file": Path(item.source).name, "row": item.row, "id": item.id}
    margins = {name: float(flip[name]) for name in ("margin_before", "margin_after")}
    return {"rule": rule, "side": side, **place, **margins, **answers}


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON data: a count that a rule does not have, or a rate over nothing, is null."""
    return [
        {str(name): _plain(value, str(name)) for name, value in row.items()}
        for row in table.to_dict("records")
    ]


def _plain(value: Any, name: str) -> Any:
    if isinstance(value, str):
        return value
    whole = name in ("feature", "answers", "not_applicable", "cut", "nan") or name.startswith(
        ("pairs", "flips")
    )
    number = json_number(float(value))
    return int(number) if whole and number is not None else number


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
