"""Popovers that close when what was in them is done."""

from __future__ import annotations

from typing import Any

import streamlit as st

__all__ = ["close_popover", "popover", "turn"]


def popover(name: str, label: str, **options: Any) -> Any:
    """`st.popover` that `close_popover(name)` closes at the next run.

    The server is not told whether it is open. It could be (`on_change="rerun"`), but Streamlit 1.67 tells it of a
    click outside after the click itself, and for the page the click was made on: a click on a link of the menu went
    to the other page and straight back, with the boxes of the old one emptied. So what is in it is drawn always; a
    dialog is the place for what is dear to draw.
    """
    return st.popover(label, key=f"{name}_popover_{turn(name)}", **options)


def turn(name: str) -> int:
    """How often the popover was closed: a box in it whose key ends with this is empty when it is opened again.

    A text put into session state would not do that: it is sent once, to a box that is not on the page by then.
    """
    return int(st.session_state.get(f"{name}_turn", 0))


def close_popover(name: str) -> None:
    """Close a popover when the page runs next: another takes its place. From a callback, or before `st.rerun`."""
    st.session_state[f"{name}_turn"] = turn(name) + 1
