"""Why one answer is above another: the features that decide, as numbers, words and a chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.engine import FeatureNote
from sarm_core.features import FeatureMatrix

__all__ = ["Decision", "contribution_chart", "decide", "difference_chart", "feature_title", "in_words"]

FOR, AGAINST = "#2f7dd0", "#d0643c"  # distinguishable without red and green, in light and dark


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


def feature_title(feature: int, note: FeatureNote | None, width: int = 34) -> str:
    """`#1287 refusal wording`, cut to `width`; an unlabelled feature is its number."""
    name = note.name if note else ""
    text = f"#{feature} {name}".strip()
    return text if len(text) <= width else text[: width - 1] + "…"


def in_words(decision: Decision, left: str, right: str, notes: Mapping[int, FeatureNote], top: int = 3) -> str:
    """One or two sentences that name the features for and against, with their share of the margin."""
    margin = decision.margin
    if margin == 0:
        return f"{left} and {right} have exactly the same reward: what speaks for either cancels."
    above, below = (left, right) if margin > 0 else (right, left)
    signed = decision.table["difference"] * np.sign(margin)
    ids = decision.table["feature"]

    def named(rows: pd.Series) -> str:
        return ", ".join(
            f"{feature_title(int(ids[i]), notes.get(int(ids[i])))} ({value:+.3g})" for i, value in rows.items()
        )

    supporting = signed[signed > 0].nlargest(top)
    opposing = signed[signed < 0].nsmallest(top)
    text = f"{above} is above {below} by {abs(margin):.3g}"
    if len(supporting):
        text += f", most of all through {named(supporting)}"
    text += "."
    if len(opposing):
        against = float(signed[signed < 0].sum())
        text += f" Against it speak {named(opposing)}; everything against sums to {against:+.3g}."
    return text


def _colours(values: Sequence[float]) -> list[str]:
    return [FOR if value > 0 else AGAINST for value in values]


def difference_chart(
    table: pd.DataFrame, left: str, right: str, notes: Mapping[int, FeatureNote]
) -> go.Figure:
    """Left, right and difference side by side on one shared scale; one bar a feature, largest on top."""
    rows = table.iloc[::-1]
    titles = [feature_title(int(i), notes.get(int(i))) for i in rows["feature"]]
    figure = make_subplots(
        rows=1,
        cols=3,
        shared_yaxes=True,
        shared_xaxes="all",
        horizontal_spacing=0.02,
        column_titles=[left, right, "difference"],
    )
    for column, name in enumerate(("left", "right", "difference"), start=1):
        figure.add_bar(
            x=rows[name].to_numpy(),
            y=np.arange(len(rows)),
            orientation="h",
            marker_color=_colours(rows[name].tolist()),
            customdata=rows[["feature", "z_left", "z_right", "weight"]].to_numpy(),
            hovertemplate=(
                "feature #%{customdata[0]:.0f}<br>w z = %{x:.4g}<br>z: %{customdata[1]:.4g} / %{customdata[2]:.4g}"
                "<br>w = %{customdata[3]:.4g}<extra></extra>"
            ),
            row=1,
            col=column,
        )
    figure.update_yaxes(tickmode="array", tickvals=np.arange(len(rows)), ticktext=titles, showgrid=False)
    return _dressed(figure, len(rows))


def contribution_chart(table: pd.DataFrame, notes: Mapping[int, FeatureNote]) -> go.Figure:
    """Contributions w z of one answer; `table` columns feature, contribution, activation, weight."""
    rows = table.iloc[::-1]
    titles = [feature_title(int(i), notes.get(int(i))) for i in rows["feature"]]
    figure = go.Figure(
        go.Bar(
            x=rows["contribution"].to_numpy(),
            y=np.arange(len(rows)),
            orientation="h",
            marker_color=_colours(rows["contribution"].tolist()),
            customdata=rows[["feature", "activation", "weight"]].to_numpy(),
            hovertemplate=(
                "feature #%{customdata[0]:.0f}<br>w z = %{x:.4g}<br>z = %{customdata[1]:.4g}"
                "<br>w = %{customdata[2]:.4g}<extra></extra>"
            ),
        )
    )
    figure.update_yaxes(tickmode="array", tickvals=np.arange(len(rows)), ticktext=titles, showgrid=False)
    return _dressed(figure, len(rows))


def _dressed(figure: go.Figure, n_rows: int) -> go.Figure:
    figure.update_xaxes(zeroline=True, zerolinewidth=1)
    figure.update_layout(
        height=90 + 24 * max(n_rows, 3),
        margin={"l": 8, "r": 8, "t": 28, "b": 8},
        bargap=0.28,
        showlegend=False,
        dragmode="select",
        clickmode="event+select",
        uirevision="keep",
    )
    return figure
