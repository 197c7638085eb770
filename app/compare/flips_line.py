"""One line under the comparison: what the steering in force turns around among the stored answers."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app.compare.stored_pairs import StoredPairs
from app.session import session
from app.session.engine import Engine

__all__ = ["flips_line"]

MOST_PROMPTS = 100


@st.cache_resource(max_entries=2, ttl=900, show_spinner="Reading the stored answers …")
def _pairs(fingerprint: str, path: str, _engine: Engine) -> StoredPairs | None:
    with _engine.store() as store:
        return StoredPairs.read(store, _engine.scorer.head)


def flips_line(current: Engine) -> None:
    """Nothing without a steering that can re-rank, or without stored answers to one prompt."""
    steering = session.steering().current
    if not steering or not steering.can_rerank():
        return
    pairs = _pairs(current.fingerprint, str(current.store_path), current)
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
            st.dataframe(
                pd.DataFrame(found.by_prompt[:MOST_PROMPTS], columns=["prompt", "turned", "pairs"]),
                hide_index=True,
                key="flips",
            )
