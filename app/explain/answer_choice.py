"""Which answer is explained: one of the comparison, or a pasted one."""

from __future__ import annotations

import streamlit as st

from app.draw.plain_text import cut, plain
from app.draw.popovers import close_popover, popover, turn
from app.session import session
from app.session.comparison import Comparison, from_texts

__all__ = ["choose_answer"]

MENU_WIDTH = 90


def choose_answer() -> tuple[Comparison, int]:
    """The comparison on the page and the index of the answer to explain."""
    now = session.current_comparison()
    titles = now.titles()
    if st.session_state.get("explained") not in range(len(titles)):
        st.session_state["explained"] = 0
    with st.container(horizontal=True, vertical_alignment="bottom"):
        index = st.selectbox(
            "Answer",
            range(len(titles)),
            format_func=lambda i: f"{titles[i]}: {cut(now.answers[i].text, MENU_WIDTH)}",
            key="explained",
            persist_state="session",
        )
        with popover("explain", "Paste an answer", icon=":material/content_paste:"):
            _paste(now)
    return now, int(index)


def _paste(now: Comparison) -> None:
    """With the prompt left as it is, the answer joins the others; a new prompt makes a new page of one."""
    # A box of its own for each question, filled by `value`: a value put into session state is sent once, to a box
    # that a closed popover has not drawn yet, and opened on a slow line the box stayed empty.
    box, pasted = f"explain_prompt_{now.key}", f"explain_answer_{turn('explain')}"

    def read() -> None:
        prompt, text = st.session_state[box], st.session_state[pasted]
        try:
            if prompt.strip() == now.question.strip():
                made, index = now.with_answer(text, "pasted")
            else:
                made, index = from_texts(prompt, [text], origin="pasted"), 0
        except session.Errors as error:
            st.session_state["explain_error"] = str(error)
            return
        st.session_state.pop("explain_error", None)
        session.set_comparison(made, keep_choices=index > 0)
        st.session_state["explained"] = index
        st.session_state.pop("traced", None)
        close_popover("explain")

    with st.form("explain", border=False):
        st.text_area("Prompt", now.question, height=80, key=box)
        st.text_area(
            "Answer",
            height=160,
            key=pasted,
            help="With the prompt as it is, it joins the answers above.",
        )
        if st.session_state.get("explain_error"):
            st.error(plain(st.session_state["explain_error"]), icon=":material/error:")
        st.form_submit_button("Explain", type="primary", on_click=read)
