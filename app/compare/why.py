"""Why one answer is above another: the features that decide, as numbers, words and bars."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from app.components.feature_bars import Bar
from app.session.engine import FeatureNote
from sarm_core.features import FeatureMatrix

__all__ = [
    "AGAINST",
    "FOR",
    "Decision",
    "bars",
    "decide",
    "feature_title",
    "in_words",
    "separating_features",
    "signed",
]

FOR, AGAINST = "#2f7dd0", "#d0643c"
"""Distinguishable without red and green; the light theme's blue and orange in .streamlit/config.toml."""


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


def feature_title(feature: int, note: FeatureNote | None, width: int = 34, *, mark: bool = True) -> str:
    """`#1287 refusal wording`, cut to `width`; an unlabelled feature is its number. Behind the cut, unless told not
    to, it says of a suggestion that it is one."""
    name = note.name if note else ""
    text = f"#{feature} {name}".strip()
    text = text if len(text) <= width else text[: width - 1] + "…"
    return f"{text} (suggested)" if mark and note and note.suggested and name else text


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


def separating_features(matrix: FeatureMatrix, n: int) -> list[int]:
    """The `n` features whose contributions w z vary most over the answers, most first; fewer when fewer vary."""
    if len(matrix) < 2:
        return []
    contributions = matrix.csr.multiply(matrix.head[None, :].astype(np.float64)).tocsc()
    mean = np.asarray(contributions.mean(axis=0)).ravel()
    square = np.asarray(contributions.multiply(contributions).mean(axis=0)).ravel()
    spread = square - mean**2
    # A feature that is alike everywhere has a spread of rounding errors, not of 0.
    varies = spread > 1e-12 * np.maximum(square, 1e-30)
    order = np.argsort(-np.where(varies, spread, 0.0), kind="stable")[:n]
    return [int(i) for i in order if varies[i]]


def bars(
    table: pd.DataFrame,
    columns: Sequence[str],
    notes: Mapping[int, FeatureNote],
    panel: Collection[int] = (),
) -> list[Bar]:
    """Rows of `decide`'s table, or of one answer's contributions, for the bars; `columns` are drawn.

    The line beside a name gives activations and head weight, so that a bar can be checked by hand.
    """
    on_panel = set(panel)
    found = []
    for row in table.to_dict("records"):
        feature = int(row["feature"])
        note = notes.get(feature, FeatureNote())
        activations = [row[name] for name in ("activation", "z_left", "z_right") if name in row]
        z = " / ".join(f"{value:.3g}" for value in activations)
        facts = f"z {z} · w {row['weight']:.3g}".replace("-", "−")
        if note.density is not None:
            facts += f" · fires in {100 * note.density:.3g} %"
        found.append(
            Bar(
                feature,
                note.name,
                tuple(float(row[column]) for column in columns),
                facts,
                note.suggested,
                feature in on_panel,
            )
        )
    return found
