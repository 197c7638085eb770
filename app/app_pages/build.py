"""Build: a reward model of a backbone, a public dictionary and preference pairs, in a process beside the app."""

from __future__ import annotations

import streamlit as st

from app.build.form import build_form
from app.build.job import jobs
from app.build.progress import show_job
from app.session.page import page_without_model
from app.session.pages import Page

CAPTION = "Can a model you have, a dictionary somebody trained, and your pairs make a reward model that can be read?"
SHOWN = 5

with page_without_model(Page.BUILD, CAPTION):
    st.write(
        "Every answer is read once; then only a head is fitted, for every number of features it may use. The page can "
        "be closed meanwhile: the build goes on beside the app."
    )
    if build_form() is not None:
        st.rerun()
    for job in jobs()[:SHOWN]:
        with st.container(border=True):
            show_job(job)
