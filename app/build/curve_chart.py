"""Held-out accuracy against the number of features used, with the other heads as lines across."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from app.draw.colours import AGAINST, FOR
from sarm_core.train.build_card import BASELINES

__all__ = ["curve_chart", "points_of"]

_DASHES = ("dash", "dot", "dashdot", "longdash", "longdashdot")


def points_of(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """One point a number of features, of equal ones the best on the validation part, by rising number."""
    best: dict[int, Mapping[str, Any]] = {}
    for point in report["curve"]:
        held = best.get(point["n_features"])
        if held is None or point["validation_loss"] < held["validation_loss"]:
            best[point["n_features"]] = point
    return [best[n] for n in sorted(best)]


def curve_chart(report: Mapping[str, Any]) -> go.Figure:
    """The curve with 95 % intervals over prompts, the built head marked."""
    points = points_of(report)
    of = [point["test"] for point in points]
    figure = go.Figure()
    bars = None
    if all(row["low"] is not None for row in of):
        bars = {
            "array": [row["high"] - row["accuracy"] for row in of],
            "arrayminus": [row["accuracy"] - row["low"] for row in of],
            "thickness": 1,
        }
    figure.add_scatter(
        x=[point["n_features"] for point in points],
        y=[row["accuracy"] for row in of],
        error_y=bars,
        mode="lines+markers",
        name="heads on features",
        line_color=FOR,
        hovertemplate="%{x:,} features: %{y:.3f}<extra></extra>",
    )
    head = report["head"]
    figure.add_scatter(
        x=[head["n_features"]],
        y=[head["test"]["all"]["accuracy"]],
        mode="markers",
        name="the one that was built",
        marker={"color": AGAINST, "size": 12, "symbol": "diamond"},
        hovertemplate="%{x:,} features: %{y:.3f}<extra></extra>",
    )
    ends = [points[0]["n_features"], points[-1]["n_features"]]
    names = [name for name in BASELINES if name in report["baselines"] and name != "all_features"]
    for dash, name in zip(_DASHES, names, strict=False):
        value = report["baselines"][name]["test"]["all"]["accuracy"]
        figure.add_scatter(
            x=ends,
            y=[value, value],
            mode="lines",
            name=BASELINES[name],
            line={"dash": dash, "width": 1.5},
            hovertemplate=f"{BASELINES[name]}: {value:.3f}<extra></extra>",
        )
    figure.update_xaxes(type="log", dtick="D2", title="features the head uses")
    figure.update_yaxes(title="share of held-out pairs in order")
    figure.update_layout(height=420, margin={"t": 20, "b": 20}, legend={"orientation": "h", "y": -0.25})
    return figure
