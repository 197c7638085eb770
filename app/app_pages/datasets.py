"""Data sets: preferences brought once, with what the model makes of their labels, for every page to work on."""

from __future__ import annotations

import streamlit as st

from app.datasets.kept import keep_corpus
from app.datasets.listing import bring, show_list
from app.datasets.view import show_data_set
from app.session import session
from app.session.page import page
from app.session.pages import Page
from feature_db import StoreError

CAPTION = "With how many of these labels does the model agree, and on which prompts does it not?"

with page(Page.DATASETS, CAPTION) as here:
    working = st.empty()
    session.guarded(keep_corpus, here.engine)
    with st.container(key="datasets_errors"):  # always there, so that a message moves nothing under the mouse
        session.show_messages()
    if (opened := st.session_state.pop("open_data_set", None)) is not None:
        st.switch_page(Page.DATASETS.path, query_params={"d": opened})
    address = st.query_params.get("d", "")
    try:
        if address:
            show_data_set(here.engine, address, here.me.name, working)
    except StoreError as error:
        session.say(str(error), "warning")
        address = ""
    if not address:
        bring(here.engine, here.me, working)
        show_list(here.engine)
