"""Agreement figures as tables, each with what it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go
import streamlit as st

from app.draw.colours import FOR
from app.draw.plain_text import chart_text, plain
from app.label.agreement_words import in_words
from app.session.engine import Engine
from feature_db.label.agreement import (
    Agreement,
    Level,
    alpha,
    by_pair,
    last_rating_event,
    over_time,
    percent,
    ratings,
    standing_ratings,
)

__all__ = ["agreement", "figure_text", "interval_text"]


def figure_text(figure: Agreement) -> str:
    """The value, or why there is none; never a zero in its place."""
    if figure.value is None:
        return "undefined"
    if figure.method == "percent":
        return f"{figure.value:.0%} of pairs equal"
    return f"{figure.value:.3f}"


def interval_text(figure: Agreement) -> str:
    """The bootstrap interval, or the reason there is none."""
    if figure.value is None:
        return figure.reason
    if figure.low is None or figure.high is None:
        return "too few features for an interval"
    if figure.method == "percent":
        return f"{figure.low:.0%} to {figure.high:.0%}"
    return f"{figure.low:.3f} to {figure.high:.3f}"


def _table(named: Sequence[tuple[str, Agreement]], first: str) -> None:
    st.dataframe(
        {
            first: [name for name, _ in named],
            "value": [figure_text(figure) for _, figure in named],
            "in words": ["" if figure.method == "percent" else in_words(figure) for _, figure in named],
            "95 % interval (bootstrap over features)": [interval_text(figure) for _, figure in named],
            "features": [figure.n_features for _, figure in named],
            "ratings": [figure.n_ratings for _, figure in named],
        },
        hide_index=True,
    )


@dataclass(frozen=True)
class _Figures:
    whole: tuple[Agreement, ...]
    discussed: tuple[Agreement, ...]
    """Of the labels that stand now; empty where those are the independent ones"""
    pairs: tuple[tuple[str, Agreement], ...]
    times: tuple[tuple[str, Agreement], ...]


@st.cache_resource(max_entries=16, show_spinner="Working out how far people agree…")
def _figures(path: str, fingerprint: str, last: str, measure: str, _engine: Engine) -> _Figures:
    """Everything the section shows; the same until the store at `path` has another `last` label, edit or undo."""
    level: Level = "ordinal" if measure == "verdict" else "nominal"
    with _engine.store() as store, store.snapshot():
        rated, standing = ratings(store, measure), standing_ratings(store, measure)
        times = over_time(store, measure, points=6)
    return _Figures(
        (percent(rated), alpha(rated, level)),
        (percent(standing), alpha(standing, level)) if standing != rated else (),
        tuple((f"{a} and {b}", figure) for (a, b), figure in by_pair(rated).items()),
        tuple((f"{when:%Y-%m-%d %H:%M}", figure) for when, figure in times),
    )


def agreement(engine: Engine, measure: str) -> None:
    """Overall, by pair and over time."""
    with engine.store() as store:
        last = last_rating_event(store)
    found = _figures(str(engine.store_path), engine.fingerprint, last, measure, engine)
    whole = found.whole[1]
    figure = f" {whole.method} {figure_text(whole)}, 95 % interval: {interval_text(whole)}."
    st.markdown(f"**{plain(in_words(whole))}**" + ("" if whole.value is None else plain(figure)))
    st.markdown("## All together")
    _table([(figure.method, figure) for figure in found.whole], "measure")
    st.caption(
        "Over features that at least two people rated, each with the label from before they could read another's. "
        "Percent does not know chance; alpha is 1 for full agreement, 0 for what chance gives, and knows that a "
        "verdict of 4 is nearer to 5 than 1 is. They are never averaged."
    )
    if found.discussed:
        st.markdown("## After discussion")
        _table([(figure.method, figure) for figure in found.discussed], "measure, labels as they stand")
        st.caption(
            "Of the labels that stand now, those included that were changed after reading others': how far people came "
            "to agree, no sign that they saw the same by themselves."
        )
    st.markdown("## By pair")
    if found.pairs:
        _table(found.pairs, "Cohen's kappa of")
    else:
        st.caption("No two people rated the same feature yet: make a queue with an overlap of 2 or more.")
    st.markdown("## Over time")
    if found.times:
        _over_time(found.times)
    else:
        st.caption("No labels yet.")


def _over_time(times: Sequence[tuple[str, Agreement]]) -> None:
    """A point with its interval for each time at which the figure is defined; where it is not, the words say so."""
    defined = [(when, figure) for when, figure in times if figure.value is not None]
    undefined = [(when, figure) for when, figure in times if figure.value is None]
    if defined:
        values = [figure.value or 0.0 for _, figure in defined]
        bars = [
            (value, value) if figure.low is None or figure.high is None else (figure.low, figure.high)
            for value, (_, figure) in zip(values, defined, strict=True)
        ]
        chart = go.Figure()
        chart.add_scatter(
            x=[when for when, _ in defined],
            y=values,
            mode="lines+markers",
            line_color=FOR,
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [high - value for value, (_, high) in zip(values, bars, strict=True)],
                "arrayminus": [value - low for value, (low, _) in zip(values, bars, strict=True)],
            },
            text=[in_words(figure) for _, figure in defined],
            hovertemplate="%{x} UTC<br>%{y:.3f}<br>%{text}<extra></extra>",
        )
        chart.add_hline(y=0, line_dash="dot", annotation_text="chance", annotation_position="bottom right")
        chart.update_layout(
            height=300,
            margin={"l": 10, "r": 10, "t": 10, "b": 10},
            xaxis={"title": "up to (UTC)", "type": "category"},
            yaxis_title=chart_text(defined[0][1].method),
        )
        st.plotly_chart(chart, width="stretch", key="agreement_over_time")
    if undefined:
        st.markdown(
            "Undefined up to "
            + ", ".join(f"{when} ({plain(figure.reason)})" for when, figure in undefined)
            + ": no point stands for these."
        )
    with st.expander("The same as a table"):
        _table(times, "up to (UTC)")
    st.caption(f"{plain(times[0][1].method)} of the ratings that stood at each of these times.")
