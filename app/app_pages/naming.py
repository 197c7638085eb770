"""Names by a model: a language model names features and is checked, in a process beside the app."""

from __future__ import annotations

import streamlit as st

from app.naming.form import naming_form
from app.naming.job import jobs
from app.naming.view import show_job, show_names
from app.session.page import page
from app.session.pages import Page

CAPTION = "What would a language model call these features, and do its names hold on answers it has not seen?"
SHOWN = 2

with page(Page.NAMING, CAPTION) as here:
    st.write(
        "It writes each name from half of the prompts and is checked on the others; what comes of it are suggestions. "
        "The page can be closed meanwhile."
    )
    asked = jobs(str(here.engine.store_path))[:SHOWN]
    for job in asked:
        with st.container(border=True):
            show_job(job)
    with st.expander("Name features", expanded=not asked, icon=":material/smart_toy:"):
        begun = naming_form(here.engine)
    if begun is not None:
        st.rerun()
    show_names(here.engine)
