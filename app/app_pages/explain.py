"""Explain one answer: its reward as a sum over features, and where in the text a feature is active."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import streamlit as st

from app import session
from app.comparison import Comparison, from_texts
from app.engine import Engine
from app.token_view import token_html
from app.why import contribution_chart, feature_title
from sarm_core.scorer import TokenTrace

current = session.engine()
session.open_link(current)
st.title("Explain one answer", anchor=False)
st.caption("What makes up the reward of this answer, and where in the text does a feature respond?")
session.show_messages()


def choose() -> tuple[Comparison, int]:
    """One answer of the comparison, or a pasted one."""
    now = session.current_comparison()
    titles = now.titles()
    indices = list(range(len(titles)))
    if st.session_state.get("explained") not in indices:
        st.session_state["explained"] = 0
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox("Answer", indices, format_func=titles.__getitem__, key="explained")
        with st.popover("Paste an answer", icon=":material/content_paste:"), st.form("explain", border=False):
            prompt = st.text_area("Prompt", height=80)
            answer = st.text_area("Answer", height=160)
            if st.form_submit_button("Explain", type="primary"):
                made = session.guarded(from_texts, prompt, [answer], (), "pasted")
                if made is not None:
                    session.set_comparison(made)
                st.rerun()
    return now, int(st.session_state["explained"])


now, index = choose()
scored = session.score(current, now)
held = session.steering()
steered = scored.steered(held.current)
answer = now.answers[index]
rewards, steered_rewards = scored.rewards, steered.rewards
rank = int((steered_rewards > steered_rewards[index]).sum()) + 1

figures = st.columns(4)
others = np.delete(steered_rewards, index)
if len(others):
    figures[0].metric("Margin to the best other", f"{steered_rewards[index] - others.max():+.3f}")
    figures[1].metric("Rank", f"{rank} of {len(now.answers)}")
changed = f"{steered_rewards[index] - rewards[index]:+.3f} by the steering" if held.current else None
figures[2].metric("Reward", f"{steered_rewards[index]:+.3f}", changed)
figures[3].metric("Active features", f"{int(scored.matrix.n_active[index])} of {current.scorer.n_features:,}")
st.caption("Only differences between answers to one prompt mean anything; the reward alone has no scale.")
if scored.n_cut[index]:
    st.warning(
        f"The conversation was longer than {current.scorer.max_length} tokens: its first {scored.n_cut[index]} tokens "
        "were cut and had no influence. The end of the answer is complete."
    )

ids, contributions = steered.contributions(index)
z = dict(zip(*(part.tolist() for part in steered.matrix.activations(index)), strict=True))
notes = current.notes(ids.tolist())
order = np.argsort(-np.abs(contributions), kind="stable")
table = pd.DataFrame(
    {
        "feature": ids,
        "label": [notes[i].name for i in ids.tolist()],
        "activation": [z.get(i, 0.0) for i in ids.tolist()],
        "weight": scored.matrix.head[ids].astype(float),
        "contribution": contributions,
        "density": [notes[i].density for i in ids.tolist()],
    }
).iloc[order]


def trace(engine: Engine, comparison: Comparison, index: int, features: tuple[int, ...]) -> TokenTrace:
    """Activations over all tokens, kept in the session for the answer on the page."""
    key = (engine.fingerprint, hashlib.sha256(f"{comparison.key}:{index}".encode()).hexdigest(), features)
    kept = st.session_state.get("trace")
    if kept is None or kept[0] != key:
        kept = (key, engine.scorer.trace(comparison.conversations()[index], features))
        st.session_state["trace"] = kept
    return kept[1]


text_side, sum_side = st.columns([1, 1])
with sum_side:
    st.subheader("What the reward is made of", anchor=False)
    error = abs(float(contributions.sum()) - float(steered_rewards[index]))
    st.caption(f":green-badge[exact] contributions sum to the reward (error {error:.0e})")
    chart, numbers = st.tabs(["Chart", "Table"])
    with chart:
        shown = table.head(40)
        event = st.plotly_chart(
            contribution_chart(shown, notes),
            key="contributions",
            on_select="rerun",
            selection_mode="points",
            config={"displaylogo": False, "modeBarButtonsToRemove": ["sendDataToCloud"]},
        )
        picked = [int(point["customdata"][0]) for point in event.selection.points]
        if len(table) > len(shown):
            st.caption(f"The {len(shown)} largest of {len(table)}; the table has all.")
    with numbers:
        st.dataframe(
            table,
            hide_index=True,
            column_config={
                "feature": st.column_config.NumberColumn(format="#%d"),
                "activation": st.column_config.NumberColumn("activation z", format="%.4f"),
                "weight": st.column_config.NumberColumn("head weight w", format="%+.4f"),
                "contribution": st.column_config.NumberColumn("contribution w z", format="%+.4f"),
                "density": st.column_config.NumberColumn("fires in", format="percent"),
            },
        )

with text_side:
    st.subheader("Where a feature responds", anchor=False)
    choices = table["feature"].tolist()
    if picked and st.session_state.get("picked_bar") != picked[0]:
        st.session_state["picked_bar"] = picked[0]
        st.session_state["traced"] = picked[0]
    if st.session_state.get("traced") not in choices:
        st.session_state["traced"] = choices[0] if choices else None
    if choices:
        with st.container(horizontal=True, vertical_alignment="bottom"):
            feature = st.selectbox(
                "Feature (or click a bar)",
                choices,
                format_func=lambda i: feature_title(i, notes.get(i), 60),
                key="traced",
            )
            st.button(
                "Add to sliders",
                on_click=held.add,
                args=([feature],),
                disabled=feature in held.panel,
                icon=":material/add:",
            )
        view = trace(current, now, index, (int(feature),))
        along = view.activations[:, 0]
        st.caption(
            f":green-badge[exact] z of feature #{feature} at each token; it is active at "
            f"{int((along != 0).sum())} of {len(along)}. Only the framed last token is scored; the others show what "
            "the feature responds to, which is not yet proof of what caused the score."
        )
        scale = float(np.abs(along).max())
        st.html(
            token_html(
                view.pieces, along, scale=scale, scored=len(along) - 1, muted_until=view.answer_start
            )
        )
session.update_link(current)
