"""All features at once: head weight against density, to choose some by drawing a box."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import streamlit as st

from app.draw.plain_text import chart_text
from app.session.engine import Engine
from app.session.feature_title import marked_name
from app.session.person import whoever

__all__ = ["feature_map", "map_columns", "map_names", "on_map", "selected_ids"]

Columns = dict[str, npt.NDArray[Any]]
HOVER_WIDTH = 60
SVG_POINTS = 3_000
"""Above this many points the browser draws with WebGL."""


def map_columns(engine: Engine) -> Columns:
    """`Store.densities` of the engine's store, read again only after the file has changed."""
    return _read(engine, _stamp(engine))


def map_names(engine: Engine) -> dict[int, str]:
    """Each feature's name with its mark, cut to a hover box, as the person at the keyboard may read it now."""
    minute = int(time.time()) // 60  # what must not be read yet also changes as leases end
    return _named(engine, (*_stamp(engine), whoever(), minute))


def _stamp(engine: Engine) -> tuple[Any, ...]:
    path = engine.store_path
    files = (path, path.with_name(path.name + "-wal"))
    return str(path), *(file.stat().st_mtime_ns if file.exists() else 0 for file in files)


@st.cache_data(max_entries=2, show_spinner=False)
def _read(_engine: Engine, key: tuple[Any, ...]) -> Columns:
    with _engine.store() as store:
        return store.densities()


@st.cache_data(max_entries=8, show_spinner=False)
def _named(_engine: Engine, key: tuple[Any, ...]) -> dict[int, str]:
    notes = _engine.notes(_read(_engine, _stamp(_engine))["id"].tolist())
    return {i: name for i, note in notes.items() if (name := marked_name(note, HOVER_WIDTH))}


def on_map(columns: Columns) -> npt.NDArray[np.bool_]:
    """Which rows have a place on the map: a log axis cannot show a density of 0, nor an unknown one."""
    return (columns["density"] > 0) & np.isfinite(columns["head_weight"])


def feature_map(columns: Columns, names: Mapping[int, str] | None = None) -> go.Figure:
    """Each feature that ever fires as a point: log density across, head weight up; labelled ones apart.

    `names` stand in the hover boxes.
    """
    called = names or {}
    known = on_map(columns)
    labelled = columns["n_labels"] > 0
    kind = go.Scattergl if int(known.sum()) > SVG_POINTS else go.Scatter
    figure = go.Figure()
    groups = [
        ("unlabelled", known & ~labelled, "#8a97a8", 4, 0.55),
        ("labelled", known & labelled, "#2f7dd0", 7, 0.95),
    ]
    for name, rows, colour, size, opacity in groups:
        if not rows.any():
            continue
        figure.add_trace(
            kind(
                x=columns["density"][rows],
                y=columns["head_weight"][rows],
                mode="markers",
                name=name,
                marker={"color": colour, "size": size, "opacity": opacity, "line": {"width": 0}},
                customdata=np.column_stack([columns["id"][rows]]),
                text=[chart_text(called.get(i, "unlabelled")) for i in columns["id"][rows].tolist()],
                hovertemplate="#%{customdata[0]} %{text}<br>w = %{y:.4g}<br>fires in %{x:.3%}<extra></extra>",
            )
        )
    figure.update_xaxes(
        type="log", title="density: share of positions where it fires", tickformat="~%", dtick=1
    )
    figure.update_yaxes(title="head weight w", zeroline=True, zerolinewidth=1)
    figure.update_layout(
        height=320,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0},
        dragmode="select",
        clickmode="event+select",
        uirevision="keep",
    )
    return figure


def selected_ids(columns: Columns, selection: Mapping[str, Any]) -> list[int] | None:
    """Features inside the boxes drawn, or the points clicked; None when nothing is selected.

    Boxes are read as ranges: what the browser lists as points may be thousands of entries.
    """
    boxes = selection.get("box") or []
    if boxes:
        inside = np.zeros(len(columns["id"]), dtype=bool)
        for box in boxes:
            (x0, x1), (y0, y1) = sorted(box["x"]), sorted(box["y"])
            inside |= (
                (columns["density"] >= x0)
                & (columns["density"] <= x1)
                & (columns["head_weight"] >= y0)
                & (columns["head_weight"] <= y1)
            )
        return [int(i) for i in columns["id"][inside]]
    points = selection.get("points") or []
    if points:
        return [_id(point["customdata"]) for point in points if point.get("customdata") is not None]
    return None


def _id(customdata: Any) -> int:
    return int(customdata[0] if isinstance(customdata, list | tuple) else customdata)
