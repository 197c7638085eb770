"""Evaluate: what a steering changes in a benchmark, and what else it moves."""

from __future__ import annotations

import streamlit as st

from app.find.found import evidence_for
from app.prove.questions import choose, evaluated, found_here, keep_line, reopen
from app.prove.report import report_section
from app.prove.results import outcome_of, results
from app.session import session
from app.session.page import page
from app.session.pages import Page
from app.steer.strip import steering_strip

with page(
    Page.EVALUATE, "What does the steering win, what does it lose, and what else does it move?"
) as here:
    working = st.empty()
    choose(here.engine, working)
    with st.container(key="eval_errors"):  # always there, so that a message moves nothing under the mouse
        session.show_messages()
    kept_only = reopen(here.engine, working)
    steering_strip(here.engine)
    of, steering = evaluated(here.engine), session.steering().current
    if of is None and not kept_only:
        st.info("Choose a set, or your own files, and press Evaluate.", icon=":material/arrow_upward:")
    elif of is not None and not kept_only:
        contrast = evidence_for(of.benchmark, of.fingerprint)
        same = (contrast is not None and contrast.same_items) or found_here(here.engine, steering)
        if results(of, steering, found_here=same):
            keep_line(here.engine, of, outcome_of(of, steering), steering, found_here=same)
            report_section(of, steering, here.engine, here.me.name, contrast)
