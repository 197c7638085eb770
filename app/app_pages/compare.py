"""Compare and steer: rank answers, see which features decide, re-weight them while the order follows."""

from __future__ import annotations

import streamlit as st

from app.compare.inputs import input_row
from app.compare.prompt import prompt_box
from app.compare.shares_view import shares
from app.compare.stored_pairs import flips_line
from app.compare.why_view import why
from app.draw.plain_text import cut, plain
from app.session import session
from app.session.person import person
from app.steer.panel import panel_tools, sliders

MOST_NAMED = 3

current = session.engine()
session.open_link(current)
person()
if (opened := st.session_state.pop("open_feature", None)) is not None:
    st.switch_page("app_pages/feature.py", query_params={"feature": str(opened)})

head, model = st.columns([3, 2], vertical_alignment="bottom")
head.title("Compare and steer", anchor=False)
checkpoint = current.scorer.checkpoint
model.caption(
    f"{plain(cut(checkpoint.name or checkpoint.source, 60))} · {checkpoint.shape.layer} blocks, "
    f"{checkpoint.shape.n_features:,} features",
    text_alignment="right",
)
st.caption(
    "Which answer does the reward model prefer, which features decide it, and what if they weighed otherwise?"
)
session.current_comparison()
link_box = input_row(current)
now = session.current_comparison()
# One place on the page, however many messages: what comes next takes the place of the old.
with st.container():
    session.show_messages()
    prompt_box(now)

scored, below = session.score_for(current, now)
with below:
    held = session.steering()
    held.panel = [i for i in held.panel if i < current.scorer.n_features]
    session.offer_features(scored)
    sliders(current, now, scored)
    if any(scored.n_cut):
        beginnings = [
            f"{plain(cut(title, 30))} ({n:,} tokens)"
            for title, n in zip(now.titles(), scored.n_cut, strict=True)
            if n
        ]
        named = ", ".join(beginnings[:MOST_NAMED])
        more = f" and {len(beginnings) - MOST_NAMED} more" if len(beginnings) > MOST_NAMED else ""
        st.warning(
            f"Longer than {current.scorer.max_length:,} tokens, prompt included: the beginning of {named}{more} was "
            "cut and had no influence.",
            icon=":material/content_cut:",
        )
    panel_tools(current, scored)
    steered = scored.steered(held.current)
    why(current, now, scored, steered)
    shares(current, scored, steered, now.titles())
    flips_line(current)
session.update_link(current, ("left", "right", "shaded", "at_least", "basis", "why_tab"))
session.show_link(link_box)
