"""Watches a text box while it is typed in, and hands over what it holds: Streamlit itself reports on leaving it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import streamlit as st

__all__ = ["draft_watch"]

_component = st.components.v2.component(
    "sarm_draft_watch",
    js=(Path(__file__).parent / "draft_watch.js").read_text(encoding="utf-8"),
)


def draft_watch(
    box: str,
    item: str,
    saved: str,
    on_text: Callable[[str], None],
    on_found: Callable[[str], None],
    *,
    group: str,
    group_name: str,
    key: str,
) -> None:
    """Watch the text area inside the container with key `box`; `on_text` gets its text after a pause in typing.

    `item` says what the text belongs to: text typed for another item is not handed over. `saved` is the text that
    is kept already; until it is what was typed, the browser keeps the text, and when the page is loaded anew
    `on_found` gets it. While no box has the cursor,
    the key T puts it into this one; Esc leaves it.
    """

    def deliver() -> None:
        typed = (st.session_state.get(key) or {}).get("typed")
        if isinstance(typed, dict) and typed.get("item") == item and isinstance(typed.get("text"), str):
            (on_found if typed.get("found") is True else on_text)(typed["text"])

    _component(
        key=key,
        data={"box": box, "item": item, "saved": saved, "group": group, "group_name": group_name},
        on_typed_change=deliver,
        height=1,  # type: ignore[arg-type]
    )
