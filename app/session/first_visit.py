"""A first visit in four steps on the example that is there: a button in the sidebar, and a box above the page."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from app.session.pages import Page

__all__ = ["STEPS", "Step", "first_visit"]

_AT = "first_visit"
"""Which step is shown, from 0; not in the state when none is."""


@dataclass(frozen=True)
class Step:
    """What to do on a page, and what to see by it."""

    page: Page
    title: str
    text: str


STEPS = (
    Step(
        Page.COMPARE,
        "Move one slider",
        "Five answers to one question, best first, as the model ranks them. Drag the first slider to 0: that feature "
        "is silenced, the answers change places under your mouse, and each row says which slider moved it. *Undo* "
        "brings everything back.",
    ),
    Step(
        Page.COMPARE,
        "Read why one answer is above another",
        "Press *Compare* in a row. Under the list stands which features speak for either answer; their bars sum to the "
        "margin exactly. A click on a name opens what that feature fires on, and how far its name can be trusted.",
    ),
    Step(
        Page.FIND,
        "Ask whether it is a habit",
        "Press *Find*. In sentences: does the model prefer refusals to helpful answers, in how many pairs, "
        "because of which features, and what silencing them would turn. Tick two and put them on the sliders.",
    ),
    Step(
        Page.EVALUATE,
        "Prove the change before you ship it",
        "Press *Evaluate*: what the change wins, and what it costs elsewhere, with intervals; a report takes it along. "
        "*Model* gives the changed model away, checked. Your own answers go in under *Paste*, *Upload* or *Data sets*.",
    ),
)


def first_visit(shown: str) -> None:
    """The button, and the step that is open; `shown` is the address of the page that is drawn, "" the first one."""
    with st.sidebar:
        st.button(
            "First visit: four steps",
            icon=":material/signpost:",
            type="tertiary",
            key="first_visit_start",
            on_click=_go,
            args=(0,),
        )
    number = st.session_state.get(_AT)
    if number is None:
        return
    step = STEPS[number]
    with st.container(border=True, key="first_visit_box"):
        st.markdown(f"**{number + 1} of {len(STEPS)}: {step.title}**  \n{step.text}")
        with st.container(horizontal=True, vertical_alignment="center"):
            if (shown or Page.COMPARE.address) != step.page.address:
                st.page_link(step.page.path, label=f"Go to {step.page.title}", icon=step.page.icon)
            st.button("Back", key="first_visit_back", on_click=_go, args=(number - 1,), disabled=number == 0)
            if number + 1 < len(STEPS):
                st.button("Next", key="first_visit_next", type="primary", on_click=_go, args=(number + 1,))
            st.button("End", key="first_visit_end", type="tertiary", on_click=_end)


def _go(number: int) -> None:
    """Callback."""
    st.session_state[_AT] = number


def _end() -> None:
    """Callback."""
    st.session_state.pop(_AT, None)
