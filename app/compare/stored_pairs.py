"""What a steering does to the answers in the store: which pairs of answers to one prompt change places."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from app.session import session
from app.session.comparison import Answer, Comparison
from app.session.engine import Engine
from app.session.stored_pairs import stored_pairs
from sarm_core.steering import Steering
from sarm_core.text.rows import Message

__all__ = [
    "flips_line",
    "silenced_line",
    "stored_comparison",
]

MOST_PROMPTS = 100


def flips_line(current: Engine) -> None:
    """Nothing without a steering that can re-rank, or without stored answers to one prompt."""
    steering = session.steering().current
    if not steering or not steering.can_rerank():
        return
    pairs = stored_pairs(current)
    if pairs is None:
        return
    found = pairs.flips(steering)
    st.caption(
        f":green-badge[exact] of the {found.pairs:,} pairs of stored answers to one prompt, this steering turns "
        f"{found.turned:,} around ({found.turned / max(found.pairs, 1):.1%}), on {len(found.by_prompt):,} of "
        f"{len(pairs.questions):,} prompts"
    )
    if found.turned:
        with st.expander("On which prompts"):
            picked = st.dataframe(
                pd.DataFrame(found.by_prompt[:MOST_PROMPTS], columns=["prompt", "turned", "pairs"]),
                hide_index=True,
                on_select="rerun",
                selection_mode="single-row",
                key="flips",
            )
            rows = picked.selection.rows
            st.button(
                "Compare its answers",
                on_click=_open,
                args=(current, pairs.texts_of(found.prompts[rows[0]]) if rows else []),
                icon=":material/compare_arrows:",
                disabled=not rows,
                help=None if rows else "Choose a prompt first",
                key="flips_open",
            )


def stored_comparison(current: Engine, texts: Sequence[int]) -> Comparison:
    """Stored answers to one prompt, to be compared. Raises StoreError for texts that are gone."""
    with current.store() as store:
        found = [store.text(text).messages or [] for text in texts]
    turns = tuple(Message(str(turn["role"]), str(turn["content"])) for turn in found[0][:-1])
    return Comparison(turns, tuple(Answer(str(turns[-1]["content"])) for turns in found), "stored answers")


def _open(current: Engine, texts: Sequence[int]) -> None:
    made = session.guarded(lambda: stored_comparison(current, texts))
    if made is not None:
        session.set_comparison(made)


def silenced_line(current: Engine, feature: int) -> None:
    """What the reward would be without this feature: how many pairs of stored answers would change places."""
    pairs = stored_pairs(current)
    if pairs is None:
        return
    found = pairs.flips(Steering(scale={feature: 0.0}))
    st.caption(
        f":green-badge[exact] Silenced, it turns {found.turned:,} of {found.pairs:,} pairs of stored answers to one "
        f"prompt around, on {len(found.by_prompt):,} of {len(pairs.questions):,} prompts."
    )
