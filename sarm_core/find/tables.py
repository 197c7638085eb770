"""A contrast on disk: the table of features, the pairs whose label looks wrong, and the file without them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from sarm_core.files import whole_file
from sarm_core.find.contrast import Contrast
from sarm_core.find.sides import Encodings
from sarm_core.find.suspicious import keep_trusted, write_cleaned

__all__ = ["WIDE_PROMPTS", "write_ranked", "write_table"]

WIDE_PROMPTS = 20
"""Below so many prompts a warning says that intervals are wide."""


def write_table(result: Contrast, path: Path, top: int | None = None) -> None:
    """The table as CSV, largest |s| first; undefined numbers are empty, flags are true or false."""
    table = result.table if top is None else result.table.head(top)
    table = table.copy()
    for flag in ("opposes_head", "few", "fragile"):
        table[flag] = np.where(table[flag], "true", "false")
    with whole_file(path) as file:
        table.to_csv(file, index=False, lineterminator="\n")


def write_ranked(encodings: Encodings, ranked: Path | None, cleaned: Path | None, drop: float) -> None:
    """The pairs with `suspicious` scores, worst first, and the cleaned set in the order of the file."""
    rows = encodings.sides.rows
    table = encodings.suspicious()
    if ranked is not None:
        with whole_file(ranked) as file:
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
