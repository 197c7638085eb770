"""Which rewrites change the order of pairs, and through which features, as plain data for a JSON file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from sarm_core.prove.benchmarks.pairs import Pairs
from sarm_core.prove.benchmarks.scores import json_number
from sarm_core.prove.perturb import Perturbation, rewritten

__all__ = ["FORMAT", "perturbation_report"]

FORMAT = "sarm-perturbation/1"


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
