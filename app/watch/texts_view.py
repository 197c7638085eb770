"""What the policy said first and says now, beside each other; a click takes both to Compare, or the last to Explain."""

from __future__ import annotations

import html

import streamlit as st

from app.draw.plain_text import cut, plain
from app.session import session
from app.session.comparison import Answer, Comparison
from app.session.engine import Engine
from app.session.feature_title import feature_title
from app.session.pages import Page
from sarm_core.figures import signed
from sarm_core.text.rows import prompt_of
from sarm_core.watch.drift import Drift
from sarm_core.watch.texts import FirstAndLast, first_and_last

__all__ = ["texts"]

SHOWN, OFFERED = 5, 12
REWARD = "the reward"
LONGEST = 1_200
"""Characters of an answer in sight; Compare has all"""


def texts(drift: Drift, engine: Engine) -> None:
    """Pairs of answers of the prompts that changed most, by a feature to choose."""
    st.subheader("First and last", anchor=False)
    offered = [None, *(int(i) for i in drift.features[:OFFERED])]
    notes = engine.notes([i for i in offered if i is not None])
    chosen = st.selectbox(
        "Prompts whose answers changed most by",
        offered,
        index=min(1, len(offered) - 1),
        format_func=lambda i: REWARD if i is None else feature_title(i, notes.get(i), 60),
        key="watch_by",
    )
    pairs = first_and_last(drift, chosen, n=SHOWN)
    if not pairs:
        st.info(
            "The last step asks no prompt that the first one asked: there is nothing to put side by side."
        )
        return
    steps = [f"step {drift.points[at].title}" for at in (0, -1)]
    for number, pair in enumerate(pairs):
        with st.container(border=True):
            _pair(pair, number, steps, chosen)


def _pair(pair: FirstAndLast, number: int, steps: list[str], feature: int | None) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        question = prompt_of(pair.first)[1]
        st.markdown(f"**{plain(cut(question, 140))}**")
        for label, page in (("Compare", Page.COMPARE), ("Explain the last", Page.EXPLAIN)):
            if st.button(label, key=f"watch_{page.address}_{number}", icon=page.icon):
                _open(pair, steps, page)
    columns = st.columns(2, gap="medium")
    sides = zip(columns, steps, (pair.first, pair.last), pair.rewards, pair.parts, strict=True)
    for column, step, conversation, reward, part in sides:
        with column:
            carried = "" if feature is None else f" · #{feature} {signed(part)}"
            st.caption(f"{step} · reward {signed(reward)}{carried}")
            said = conversation.answer or "(token ids)"
            cut_off = "…" if len(said) > LONGEST else ""
            st.html(
                f'<div dir="auto" style="white-space:pre-wrap;overflow-wrap:anywhere">'
                f"{html.escape(said[:LONGEST])}{cut_off}</div>"
            )


def _open(pair: FirstAndLast, steps: list[str], page: Page) -> None:
    before = pair.first.messages or ()
    answers = [
        Answer(turn.content, step, turn.extra)
        for conversation, step in ((pair.first, steps[0]), (pair.last, steps[1]))
        for turn in (conversation.messages or ())[-1:]
    ]
    session.set_comparison(Comparison(before[:-1], tuple(answers), "a watched run", tools=pair.first.tools))
    if page is Page.EXPLAIN:
        st.session_state["explained"] = 1
    st.switch_page(page.path, query_params={})  # said, because widgets are bound to those of this page
