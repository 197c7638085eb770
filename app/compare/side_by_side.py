"""Two answers to one prompt beside each other, whole, with one feature's activation on their tokens."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import streamlit as st

from app.compare.why import Decision, signed
from app.draw.plain_text import plain
from app.draw.token_view import token_html
from app.session import session
from app.session.comparison import Comparison
from app.session.engine import Engine, FeatureNote
from app.session.feature_title import feature_title
from sarm_core.score.scored import Scored

__all__ = ["side_by_side"]

MOST_OFFERED = 200
TOKENS_IN_SIGHT, LONGEST = 500, 560
"""An answer of more tokens scrolls in a box of so many pixels."""


def side_by_side(
    current: Engine,
    now: Comparison,
    scored: Scored,
    sides: tuple[int, int],
    decision: Decision,
    notes: Mapping[int, FeatureNote],
) -> None:
    """The texts of `sides`, shaded by a feature to choose; what decides most between them at first."""
    offered = [int(i) for i in decision.table["feature"].head(MOST_OFFERED)]
    if st.session_state.get("shaded") not in offered:
        st.session_state["shaded"] = offered[0]
    feature = st.selectbox(
        "Shade the tokens by",
        offered,
        format_func=lambda i: feature_title(i, notes.get(i), 90),
        key="shaded",
        persist_state="session",
        help="The features that differ between the two, the largest difference of w z first.",
    )
    traces = session.traces(current, now, scored, sides, feature)
    strongest = max(float(np.abs(trace.activations[trace.answer_start :]).max()) for trace in traces)
    st.caption(
        f":green-badge[exact] z of #{feature} at each token, before steering; full colour is "
        f"z = {strongest:.3g} in both texts. Only the framed last token is scored; the others show what the feature "
        "responds to, which is not yet proof of what caused the score."
    )
    row = decision.table.set_index("feature").loc[feature]
    titles = now.titles()
    for column, side, trace, w_z in zip(
        st.columns(2, gap="large"), sides, traces, (row["left"], row["right"]), strict=True
    ):
        start = trace.answer_start
        along = trace.activations[start:, 0]
        with column:
            st.markdown(f"**{plain(titles[side])}**")
            share = f"active at {np.count_nonzero(along):,} of {len(along):,} tokens"
            st.caption(f"{f'w z {signed(float(w_z))}' if w_z else 'silent at the scored token'} · {share}")
            with st.container(height=LONGEST if len(along) > TOKENS_IN_SIGHT else "content", border=False):
                st.html(token_html(trace.pieces[start:], along, scale=strongest, scored=len(along) - 1))
