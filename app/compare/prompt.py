"""The prompt above the answers, at a size that leaves room for them."""

from __future__ import annotations

import streamlit as st

from app.session.comparison import Comparison

__all__ = ["prompt_box"]

LONG = 900  # characters; a longer prompt scrolls in a box of its own
BOX_HEIGHT = 180


def prompt_box(now: Comparison) -> None:
    """The question as it was typed, earlier turns folded away."""
    earlier = now.prompt[:-1]
    with st.container(
        border=True, height=BOX_HEIGHT if len(now.question) > LONG else "content", key="prompt_box"
    ):
        st.text(now.question)
    if earlier:
        with st.expander(f"{len(earlier)} earlier turn{'s' if len(earlier) > 1 else ''}"):
            for turn in earlier:
                st.caption(turn.role)
                st.text(turn.content)
