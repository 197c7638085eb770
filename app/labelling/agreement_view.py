"""Agreement figures as tables, each with what it rests on."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.engine import Engine
from app.plain_text import plain
from feature_db.agreement import Agreement, alpha, by_pair, over_time, percent, ratings

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


def agreement(engine: Engine, measure: str) -> None:
    """Overall, by pair and over time."""
    with engine.store() as store:
        rated = ratings(store, measure)
        whole = [percent(rated), alpha(rated, "ordinal" if measure == "verdict" else "nominal")]
        pairs = by_pair(rated)
        times = over_time(store, measure, points=6)
    st.markdown("##### All together")
    _table([(figure.method, figure) for figure in whole], "measure")
    st.caption(
        "Over features that at least two people rated. Percent does not know chance; alpha is 1 for full agreement, 0 "
        "for what chance gives, and knows that a verdict of 4 is nearer to 5 than 1 is. They are never averaged."
    )
    st.markdown("##### By pair")
    if pairs:
        _table([(f"{a} and {b}", figure) for (a, b), figure in pairs.items()], "Cohen's kappa of")
    else:
        st.caption("No two people rated the same feature yet: make a queue with an overlap of 2 or more.")
    st.markdown("##### Over time")
    if times:
        _table([(f"{when:%Y-%m-%d %H:%M}", figure) for when, figure in times], "labels up to (UTC)")
        st.caption(f"{plain(times[0][1].method)} of the labels that stand today, as they came in.")
    else:
        st.caption("No labels yet.")
