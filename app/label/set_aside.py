"""Skip and flag: a small dialog with the reasons, each with a key."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from app.draw.plain_text import cut, plain
from app.label.label_fields import Fields
from app.label.work import Item, Work

__all__ = ["ask_why_flag", "ask_why_skip"]

SKIPS = ("No pattern I can name", "Too few texts", "Not my field", "Text is broken or offensive")
FLAGS = ("Two features in one", "Looks like a bug", "Text is broken or offensive", "Needs an expert")
FIRST_KEY = 6
"""1 to 5 are the verdict's."""
DONE = "label_set_aside"
"""State's key: a reason was given, so the dialog closes"""


def ask_why_skip(work: Work, item: Item, fields: Fields) -> None:
    """Open the dialog."""
    st.session_state.pop(DONE, None)
    _skip_dialog(work, item, fields)


def ask_why_flag(work: Work, item: Item, fields: Fields) -> None:
    """Open the dialog."""
    st.session_state.pop(DONE, None)
    _flag_dialog(work, item, fields)


@st.dialog("Skip this feature: why?", width="small")
def _skip_dialog(work: Work, item: Item, fields: Fields) -> None:
    st.caption("Others still get it, and you can come back to it.")
    _reasons(SKIPS, fields, lambda reason: work.skip(item, fields, reason))


@st.dialog("Flag this feature: why?", width="small")
def _flag_dialog(work: Work, item: Item, fields: Fields) -> None:
    st.caption("Others can filter for it; it stays at hand.")
    _reasons(FLAGS, fields, lambda reason: work.flag(item, reason))


def _reasons(offered: Sequence[str], fields: Fields, act: Callable[[str], None]) -> None:
    if st.session_state.pop(DONE, False):
        st.rerun()
    note = (st.session_state.get(fields.key("note")) or "").strip()
    reasons = (*offered[:3], note) if note else offered
    for place, reason in enumerate(reasons, start=FIRST_KEY):
        st.button(
            plain(cut(reason, 60)),
            key=f"label_reason_{place}",
            shortcut=str(place),
            on_click=_give,
            args=(act, reason),
            width="stretch",
        )
    st.caption("What stands in the note is offered as a reason too.")


def _give(act: Callable[[str], None], reason: str) -> None:
    act(reason)
    st.session_state[DONE] = True
