"""Ways of working on the Label page: writing labels, comparing names, finding the odd one out, accepting many."""

from __future__ import annotations

import streamlit as st

__all__ = ["WRITE", "choose_way"]

WRITE = "write"
WAYS = {
    WRITE: "Write labels",
    "names": "Compare names",
    "odd one out": "Find the odd one out",
    "accept": "Accept many names",
}


def choose_way() -> str:
    """The way in the address (?way=names) or chosen here."""
    asked = st.query_params.get("way", "")
    if st.session_state.get("label_way") not in WAYS:
        st.session_state["label_way"] = asked if asked in WAYS else WRITE
    way: str = st.selectbox(
        "Way of working",
        list(WAYS),
        format_func=lambda name: WAYS[name],
        key="label_way",
        persist_state="session",
        label_visibility="collapsed",
        width=190,
    )
    if way == WRITE:
        st.query_params.pop("way", None)
    else:
        st.query_params["way"] = way
    return way
