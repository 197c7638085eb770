"""Who is at the keyboard, as far as a typed name can say."""

from __future__ import annotations

import streamlit as st

from feature_db import StoreError
from feature_db.roles import check_name

__all__ = ["person"]


def person() -> str:
    """The name in the sidebar's box, "" when there is none. Draws the box; call it once a run."""
    typed = st.sidebar.text_input(
        "Your name",
        key="person",
        max_chars=100,
        placeholder="for what you keep",
        help="Written beside your bookmarks, lists and labels. Anyone can type any name: it is no proof of identity.",
        persist_state="session",
    )
    if not typed.strip():
        return ""
    try:
        return check_name(typed)
    except StoreError as error:
        st.sidebar.error(str(error))
        return ""
