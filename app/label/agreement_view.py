"""Agreement figures as tables, each with what it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from app.draw.plain_text import plain
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
    return "undefined" if figure.value is None else f"{figure.value:.3f}"


def interval_text(figure: Agreement) -> str:
    """The bootstrap interval, or the reason there is none."""
    if figure.value is None:
        return figure.reason
    if figure.low is None or figure.high is None:
        return "too few features for an interval"
    return f"{figure.low:.3f} to {figure.high:.3f}"


def _table(named: Sequence[tuple[str, Agreement]], first: str) -> None:
    st.dataframe(
        {
            first: [name for name, _ in named],
            "value": [figure_text(figure) for _, figure in named],
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
        _table(found.times, "up to (UTC)")
        st.caption(f"{plain(found.times[0][1].method)} of the ratings that stood at each of these times.")
    else:
        st.caption("No labels yet.")
