"""Model: which checkpoint runs, its shape, fingerprint and speed; the steered model to take away; another one."""

from __future__ import annotations

import streamlit as st

from app.draw.plain_text import plain
from app.session import session
from app.session.engine import load_engine
from app.session.page import page_without_model
from app.session.pages import Page
from app.ship.cache_view import encoded_section
from app.ship.chat_view import chat_section
from app.ship.export_view import export_section
from app.ship.model_facts import about, figures
from app.ship.switch_model import switch

CAPTION = "Which reward model is being read here, and is it the one you think it is?"

with page_without_model(Page.MODEL, CAPTION):
    try:
        with st.spinner("Loading the model …"):
            engine = load_engine(session.choice())
    except session.Errors as error:
        st.error(plain(str(error)), icon=":material/error:")
    else:
        figures(engine)
        export_section(engine)
        about(engine)
        chat_section(engine)
    switch()
    encoded_section()
