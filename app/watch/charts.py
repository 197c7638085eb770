"""The mean reward and the features' changes over the steps, with their intervals as bands."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from app.draw.colours import FOR, UNCLEAR
from app.draw.plain_text import chart_text, cut
from sarm_core.watch.drift import Alarm, Drift

__all__ = ["LINES", "features_chart", "reward_chart"]

LINES = ("#2f7dd0", "#d0643c", "#3a9d6b", "#9b59b6", "#b8860b", "#5c6f82")
"""One a feature"""
BANDS = 3
"""More of them hide each other"""


def reward_chart(drift: Drift) -> go.Figure:
    """The mean reward a step, and where it would be with answers as long as the first."""
    steps = _steps(drift)
    reward = np.array([point.reward for point in drift.points])
    matched = [drift.points[0].reward.value + point.matched_rise.value for point in drift.points]
    figure = go.Figure()
    _band(figure, steps, reward[:, 1], reward[:, 2], FOR)
    figure.add_scatter(x=steps, y=reward[:, 0], name="mean reward", line_color=FOR, mode="lines+markers")
    figure.add_scatter(
        x=steps, y=matched, name="with answers as long as the first", line={"color": UNCLEAR, "dash": "dash"}
    )
    return _laid_out(figure, "mean reward")


def features_chart(drift: Drift, alarms: Sequence[Alarm] = ()) -> go.Figure:
    """The change of the mean contribution of the features that drifted most; a diamond where an alarm was raised."""
    steps = _steps(drift)
    raised = {alarm.feature: alarm.point for alarm in alarms}
    figure = go.Figure()
    for row, colour in zip(range(len(drift.features)), LINES, strict=False):
        feature = int(drift.features[row])
        name = chart_text(cut(f"#{feature} {drift.names.get(feature, '')}".strip(), 34))
        if row < BANDS:
            _band(figure, steps, drift.change_low[row], drift.change_high[row], colour)
        figure.add_scatter(
            x=steps,
            y=drift.change[row],
            name=name,
            line_color=colour,
            mode="lines+markers",
            marker_size=4,
            hovertemplate=f"{name}<br>step %{{x}}: %{{y:+.3f}}<extra></extra>",
        )
        if feature in raised:
            at = raised[feature]
            figure.add_scatter(
                x=[steps[at]],
                y=[drift.change[row, at]],
                mode="markers+text",
                marker={"symbol": "diamond", "size": 13, "color": colour},
                text=["alarm"],
                textposition="top left",
                showlegend=False,
                hovertemplate=f"{name}<br>alarm at step %{{x}}<extra></extra>",
            )
    return _laid_out(figure, "change since the first step")


def _steps(drift: Drift) -> npt.NDArray[np.int64]:
    return np.array([point.steps[-1] for point in drift.points])


def _band(
    figure: go.Figure, steps: npt.NDArray[np.int64], low: npt.NDArray, high: npt.NDArray, colour: str
) -> None:
    there = ~np.isnan(low)
    if not there.any():
        return
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    figure.add_scatter(
        x=np.concatenate([steps[there], steps[there][::-1]]),
        y=np.concatenate([high[there], low[there][::-1]]),
        fill="toself",
        mode="lines",
        fillcolor=f"rgba({red}, {green}, {blue}, 0.14)",
        line_width=0,
        hoverinfo="skip",
        showlegend=False,
    )


def _laid_out(figure: go.Figure, up: str) -> go.Figure:
    figure.update_xaxes(title="step")
    figure.update_yaxes(title=up)
    figure.update_layout(
        height=360,
        margin={"t": 10, "b": 10, "l": 10, "r": 10},
        legend={"orientation": "h", "y": -0.25},
        uirevision="watch",
    )
    return figure
