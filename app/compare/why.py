"""Why one answer is above another: the features that decide, as numbers and words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from app.session.engine import FeatureNote
from app.session.feature_title import feature_title, insert_names
from sarm_core.features import FeatureMatrix

__all__ = [
    "Decision",
    "decide",
    "in_words",
    "signed",
]


@dataclass(frozen=True)
class Decision:
    """Everything between two answers, one row per feature, largest |difference| first.

    `table` columns: feature, label, left, right, difference (contributions w z), z_left, z_right, weight,
    density. `margin` is r_left - r_right; `error` is |sum of differences - margin|.
    """

    table: pd.DataFrame
    margin: float
    error: float


def decide(
    matrix: FeatureMatrix, left: int, right: int, notes: Mapping[int, FeatureNote] | None = None
) -> Decision:
    """The exact decomposition of the margin between answers `left` and `right`."""
    made_of = matrix.difference_table(left, right)
    ids, known = made_of.features.tolist(), notes or {}
    table = pd.DataFrame(made_of.columns())
    insert_names(table, known)
    table["density"] = [known[i].density if i in known else None for i in ids]
    return Decision(table, made_of.margin, made_of.error)


def in_words(
    decision: Decision, left: str, right: str, notes: Mapping[int, FeatureNote], top: int = 3
) -> str:
    """One or two sentences that name the features for and against, with their share of the margin."""
    margin = decision.margin
    if margin == 0:
        return f"{left} and {right} have exactly the same reward: what speaks for either cancels."
    above, below = (left, right) if margin > 0 else (right, left)
    towards = decision.table["difference"] * np.sign(margin)
    ids = decision.table["feature"]

    def named(rows: pd.Series) -> str:
        said = []
        for i, value in rows.items():
            note = notes.get(int(ids[i]))
            mark = f"{note.mark}, " if note and note.mark else ""
            said.append(f"{feature_title(int(ids[i]), note, mark=False)} ({mark}{signed(value)})")
        return ", ".join(said)

    supporting = towards[towards > 0].nlargest(top)
    opposing = towards[towards < 0].nsmallest(top)
    text = f"{above} is above {below} by {abs(margin):.3g}"
    if len(supporting):
        text += f", most of all through {named(supporting)}"
    text += "."
    if len(opposing):
        against = float(towards[towards < 0].sum())
        text += f" Against it speak {named(opposing)}; everything against sums to {signed(against)}."
    return text


def signed(value: float, digits: int = 3) -> str:
    """`+0.831` or `−2.56`: a sign that is as wide as the plus."""
    return f"{value:+.{digits}g}".replace("-", "−")
