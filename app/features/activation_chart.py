"""How strongly a feature fires when it fires: its stored histogram with marks for answers at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from app.draw.colours import AGAINST, FOR
from feature_db.records import FeatureRecord

__all__ = ["Mark", "Shape", "activation_chart", "shape_of"]


@dataclass(frozen=True)
class Mark:
    """An answer's activation; `strong` for the answer the person came from."""

    title: str
    activation: float
    strong: bool = False


@dataclass(frozen=True)
class Shape:
    """The part of a histogram that a log axis can show, and the counts it cannot.

    `low`, `high`, `counts` [bins]; `negative` activations and those `tiny` enough to share the bin at 0.
    """

    low: np.ndarray
    high: np.ndarray
    counts: np.ndarray
    negative: int
    tiny: int


def shape_of(record: FeatureRecord) -> Shape | None:
    """The stored histogram cut for a log axis; None when the store has none."""
    if record.histogram_edges is None or record.histogram_counts is None:
        return None
    edges = np.asarray(record.histogram_edges, dtype=np.float64)
    counts = np.asarray(record.histogram_counts, dtype=np.int64)
    low, high = edges[:-1], edges[1:]
    shown = low > 0
    negative = high <= 0
    return Shape(
        low[shown],
        high[shown],
        counts[shown],
        int(counts[negative].sum()),
        int(counts[~shown & ~negative].sum()),
    )


def activation_chart(shape: Shape, marks: Sequence[Mark]) -> go.Figure:
    """Bars over log-spaced, half-open bins; a line for each mark with a positive activation."""
    top = float(shape.counts.max(initial=1))
    figure = go.Figure()
    if len(shape.counts):
        # On a log axis a bar spans its bin when centre and width are those of the bin in z itself.
        figure.add_bar(
            x=(shape.low + shape.high) / 2,
            width=shape.high - shape.low,
            y=shape.counts,
            marker={"color": FOR, "opacity": 0.75, "line": {"width": 0}},
            customdata=np.column_stack([shape.low, shape.high]),
            hovertemplate="%{customdata[0]:.4g} ≤ z < %{customdata[1]:.4g}<br>%{y:,} positions<extra></extra>",
            name="positions",
        )
    for mark in sorted(marks, key=lambda mark: mark.strong):
        if mark.activation <= 0:
            continue
        figure.add_scatter(
            x=[mark.activation, mark.activation],
            y=[0, top * (1.06 if mark.strong else 0.25)],
            mode="lines+text" if mark.strong else "lines",
            line={"color": AGAINST, "width": 2.5 if mark.strong else 1.5},
            text=["", "this answer"] if mark.strong else None,
            textposition="top center",
            hovertemplate=f"z = {mark.activation:.4g}<extra></extra>",
        )
    ticks = _ticks(shape)
    figure.update_xaxes(
        type="log", title="activation z", tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks]
    )
    figure.update_yaxes(title="positions", rangemode="tozero", range=[0, top * 1.22])
    figure.update_layout(
        height=230,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        bargap=0,
        showlegend=False,
        uirevision="keep",
        dragmode=False,
    )
    return figure


def _ticks(shape: Shape) -> list[float]:
    """1, 2, 5 in each decade the bars cover; only powers of ten when they cover many."""
    if not len(shape.low):
        return []
    first, last = np.floor(np.log10(shape.low[0])), np.ceil(np.log10(shape.high[-1]))
    steps = (1, 2, 5) if last - first <= 3 else (1,)
    every = [float(step * 10.0**decade) for decade in np.arange(first, last + 1) for step in steps]
    return [tick for tick in every if shape.low[0] * 0.8 <= tick <= shape.high[-1] * 1.25]
