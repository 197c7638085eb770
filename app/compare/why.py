"""Why one answer is above another: the features that decide, as numbers and words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from app.session.engine import FeatureNote
from app.session.feature_title import feature_title
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
    ids, difference = matrix.difference(left, right)
    left_of = dict(zip(*(part.tolist() for part in matrix.contributions(left)), strict=True))
    right_of = dict(zip(*(part.tolist() for part in matrix.contributions(right)), strict=True))
    z_left = dict(zip(*(part.tolist() for part in matrix.activations(left)), strict=True))
    z_right = dict(zip(*(part.tolist() for part in matrix.activations(right)), strict=True))
    rewards = matrix.rewards
    margin = float(rewards[left]) - float(rewards[right])
    known = notes or {}
    table = pd.DataFrame(
        {
            "feature": ids,
            "label": [known[i].name if i in known else "" for i in ids.tolist()],
            "left": [left_of.get(i, 0.0) for i in ids.tolist()],
            "right": [right_of.get(i, 0.0) for i in ids.tolist()],
            "difference": difference,
            "z_left": [z_left.get(i, 0.0) for i in ids.tolist()],
            "z_right": [z_right.get(i, 0.0) for i in ids.tolist()],
            "weight": matrix.head[ids].astype(float),
            "density": [known[i].density if i in known else None for i in ids.tolist()],
        }
    )
    order = np.argsort(-np.abs(difference), kind="stable")
    return Decision(table.iloc[order].reset_index(drop=True), margin, abs(float(difference.sum()) - margin))


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
            mark = "suggested, " if note and note.name and note.suggested else ""
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
