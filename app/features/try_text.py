"""A text of one's own under one feature: where it responds, and whether it counts at the scored token."""

from __future__ import annotations

import numpy as np
import streamlit as st

from app.draw.token_view import token_html
from app.session import session
from app.session.comparison import Comparison, from_texts
from app.session.engine import Engine

__all__ = ["try_text"]

TRIED = "tried_text"
"""State's key: the prompt and answer tried last; they stay from feature to feature."""


def try_text(engine: Engine, feature: int) -> None:
    """Two boxes, and the text shaded by `feature` once there is one."""
    tried: Comparison | None = st.session_state.get(TRIED)
    with st.expander("Try a text on it", expanded=tried is not None, icon=":material/experiment:"):
        with st.form("try_text", border=False):
            prompt = st.text_area("Prompt", tried.question if tried else "", height=70, key="try_prompt")
            answer = st.text_area(
                "Answer", tried.answers[0].text if tried else "", height=110, key="try_answer"
            )
            if st.form_submit_button("Try", type="primary"):
                tried = session.guarded(from_texts, prompt, [answer], (), "tried")
                st.session_state[TRIED] = tried
        if tried is not None:
            _show(engine, feature, tried)


def _show(engine: Engine, feature: int, tried: Comparison) -> None:
    (conversation,) = tried.conversations()
    trace = session.guarded(engine.trace, conversation, feature)
    if trace is None:
        return
    along = trace.activations[:, 0]
    z, weight = float(along[-1]), float(engine.scorer.head[feature])
    counts = (
        f"it fires at the scored token with z = {z:.4g} and adds w z = {weight * z:+.4g} to the reward"
        if z
        else "it is silent at the scored token, so it adds nothing to the reward"
    )
    st.caption(
        f":green-badge[exact] {counts.replace('-', '−')}; active at {int((along != 0).sum()):,} of {len(along):,} "
        "tokens."
    )
    st.html(
        token_html(
            trace.pieces,
            along,
            scale=float(np.abs(along).max()),
            scored=len(along) - 1,
            muted_until=trace.answer_start,
            fold_prompt=True,
        )
    )
