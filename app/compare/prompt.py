"""What the page says of its input: the model, the prompt at a size that leaves room, and what was cut off."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.draw.plain_text import cut, plain
from app.session.comparison import Comparison
from app.session.engine import Engine
from sarm_core.score.scored import Scored

__all__ = ["cut_beginnings", "model_line", "prompt_box"]

LONG = 900  # characters; a longer prompt scrolls in a box of its own
BOX_HEIGHT = 180
MOST_NAMED = 3


def model_line(place: DeltaGenerator, engine: Engine) -> None:
    """Which model prefers what follows, at the right end of the heading."""
    facts = engine.scorer.facts
    place.caption(
        f"{plain(cut(facts.title, 60))} · {facts.layer} blocks, {facts.n_features:,} features",
        text_alignment="right",
    )


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


def cut_beginnings(engine: Engine, now: Comparison, scored: Scored) -> None:
    """Warns of answers of which the model has read the end only."""
    if not any(scored.n_cut):
        return
    beginnings = [
        f"{plain(cut(title, 30))} ({n:,} tokens)"
        for title, n in zip(now.titles(), scored.n_cut, strict=True)
        if n
    ]
    named = ", ".join(beginnings[:MOST_NAMED])
    more = f" and {len(beginnings) - MOST_NAMED} more" if len(beginnings) > MOST_NAMED else ""
    st.warning(
        f"Longer than {engine.scorer.max_length:,} tokens, prompt included: the beginning of {named}{more} was "
        "cut and had no influence.",
        icon=":material/content_cut:",
    )
