"""Learn: what steering do these preferences teach, and does it hold?"""

from __future__ import annotations

import streamlit as st

from app.prove.learning_view import choose_pairs, learned_here, reopen, show_learned
from app.runs.kept import runs_link
from app.session import session
from app.session.page import page
from app.session.pages import Page
from app.steer.strip import steering_strip

with page(
    Page.LEARN, "What steering do these preferences teach, and does it hold on prompts that took no part?"
) as here:
    working = st.empty()
    choose_pairs(here.engine, working)
    with st.container(key="learn_errors"):  # always there, so that a message moves nothing under the mouse
        session.show_messages()
    steering_strip(here.engine)
    found = learned_here(here.engine)
    if reopen(here.engine):
        found = None
    elif found is None:
        st.info("Choose preferences above and press Learn.", icon=":material/arrow_upward:")
    if found is not None:
        show_learned(found, here.engine)
        runs_link("learned")
