"""Watches text boxes while they are typed in, and loses nothing of it: Streamlit itself reports on leaving a box."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import streamlit as st

__all__ = ["Box", "box_item", "draft_watch", "whose"]

_component = st.components.v2.component(
    "sarm_draft_watch",
    js=(Path(__file__).parent / "draft_watch.js").read_text(encoding="utf-8"),
)

Texts = Mapping[str, str]
"""Texts by the key of their box"""


@dataclass(frozen=True)
class Box:
    """A text box that is watched."""

    key: str
    """Of its widget"""
    item: str
    """What its text belongs to (`box_item`); the browser keeps it under this name"""
    saved: str
    """What the store has of it"""
    most: int
    """Characters it holds"""


def box_item(fingerprint: str, name: str, what: str) -> str:
    """`what` of one person and model: two who share a browser, or two models, never get each other's words."""
    return f"{fingerprint[:16]}:{whose(name)}:{what}"


def whose(name: str) -> str:
    """A part of keys that tells one person's boxes from another's in the same session."""
    return f"{zlib.crc32(name.encode()):08x}"


def draft_watch(
    boxes: Sequence[Box],
    on_found: Callable[[Texts], None],
    on_typed: Callable[[Texts], None] | None = None,
    *,
    key: str,
    focus: str = "",
) -> None:
    """Keep what is typed into `boxes` in the browser until it is `saved`; a page loaded anew gives it to `on_found`.

    `on_typed` gets it after a pause in typing as well; then whatever is no longer among the boxes counts as sent.
    Without it the browser keeps it, also while a box is not on the page. While no box has the cursor, the key T puts
    it into the one with the key `focus`; Esc leaves it.
    """
    by_item = {box.item: box for box in boxes}

    def known(texts: Any) -> dict[str, str]:
        if not isinstance(texts, dict):
            return {}
        return {
            by_item[item].key: text[: by_item[item].most]
            for item, text in texts.items()
            if item in by_item and isinstance(text, str)
        }

    def deliver() -> None:
        said = (st.session_state.get(key) or {}).get("typed")
        if not isinstance(said, dict):
            return
        for texts, call in ((known(said.get("found")), on_found), (known(said.get("typed")), on_typed)):
            if texts and call is not None:
                call(texts)

    _component(
        key=key,
        data={
            "boxes": [
                {name: value for name, value in asdict(box).items() if name != "most"} for box in boxes
            ],
            "tells": on_typed is not None,
            "focus": focus,
        },
        on_typed_change=deliver,
        height=1,  # type: ignore[arg-type]
    )
