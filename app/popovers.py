"""Popovers that close when what was in them is done."""

from __future__ import annotations

from typing import Any

import streamlit as st

__all__ = ["close_popover", "popover"]


def popover(name: str, label: str, **options: Any) -> Any:
    """`st.popover` that `close_popover(name)` closes at the next run."""
    key = f"{name}_open"
    if st.session_state.pop(f"{name}_close", False):
        st.session_state[key] = False
    return st.popover(label, key=key, on_change="rerun", **options)


def close_popover(name: str) -> None:
    """Close a popover when the page runs next; from a callback, or before `st.rerun`."""
    st.session_state[f"{name}_close"] = True
