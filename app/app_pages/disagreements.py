"""Disagreements: how far the labels can be trusted, where they differ, and who settles it."""

from __future__ import annotations

import streamlit as st

from app.label.agreement_view import agreement
from app.label.differences import differences
from app.label.guidelines import FOCUS_STYLE
from app.session.page import page
from app.session.pages import Page
from feature_db.label.agreement import MEASURES

CAPTION = "How far do people agree on what features mean, where do they differ, and what was settled?"
TABS = ("Where labels differ", "Agreement")

with page(Page.DISAGREEMENTS, CAPTION) as here:
    st.html(FOCUS_STYLE)
    with here.head:
        st.page_link(Page.PEOPLE.path, label=Page.PEOPLE.title, icon=Page.PEOPLE.icon)
    differ, figures = st.tabs(TABS, key="dispute_tab", on_change="rerun")
    # What reads every label, only when it is looked at.
    if differ.open:
        with differ:
            differences(here.engine, here.me)
    if figures.open:
        with figures:
            of = st.segmented_control(
                "Of", list(MEASURES), default=MEASURES[0], required=True, key="agreement_of"
            )
            agreement(here.engine, of)
