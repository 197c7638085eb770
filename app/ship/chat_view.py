"""What the chat template puts around a conversation: its default system prompt, and the tokens that are read."""

from __future__ import annotations

import streamlit as st

from app.draw.plain_text import plain
from app.session.engine import Engine
from sarm_core.errors import SarmError

__all__ = ["chat_section"]

SHORT = {"prompt": "Hello.", "response": "Hi."}
"""The conversation whose tokens are shown: so short that what the template adds is most of it."""


def chat_section(engine: Engine) -> None:
    """The text that the template adds where no system prompt is given, beside the tokens of a short conversation."""
    form = engine.scorer.format
    if form is None:
        return
    st.subheader("What the model reads", anchor=False)
    try:
        (sequence,) = engine.scorer.tokens([SHORT])
        added = form.default_system
    except SarmError as error:
        st.caption(plain(str(error)))
        return
    left, right = st.columns(2, gap="large")
    with left:
        if added:
            st.caption(
                "The chat template starts every conversation that has no system prompt with this text, its default "
                "system prompt included. A system prompt of your own replaces it and changes the reward."
            )
            st.code(added, language=None, wrap_lines=True)
        else:
            st.caption("The chat template adds no system prompt of its own.")
        if form.writes_date:
            st.caption(f"It writes the date, which is always given as {form.date.isoformat()} here.")
    with right:
        st.caption(
            f"The {len(sequence)} tokens of the question “{SHORT['prompt']}” with the answer "
            f"“{SHORT['response']}”; the last one is scored."
        )
        st.dataframe(
            {
                "Token": [piece.replace("\n", "↵") for piece in sequence.pieces()],
                "Id": sequence.input_ids.tolist(),
                "Part": [
                    "scored"
                    if i == sequence.scored
                    else "answer"
                    if i >= sequence.answer_start
                    else "before it"
                    for i in range(len(sequence))
                ],
            },
            height=280,
            hide_index=True,
            key="short_conversation",
        )
