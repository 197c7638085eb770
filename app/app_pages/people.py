"""People and data: who works here and how far they are, their roles, and labels taken out and brought in."""

from __future__ import annotations

import streamlit as st

from app.label.guidelines import FOCUS_STYLE
from app.label.people_section import people_section, who_did_what
from app.label.transfer import export_section, import_section
from app.session.page import page
from app.session.pages import Page

CAPTION = "Who labels here, how far are they, and how do labels get in and out?"
TABS = ("People", "Roles and categories", "Export and import")

with page(Page.PEOPLE, CAPTION) as here:
    st.html(FOCUS_STYLE)
    people, roles, files = st.tabs(TABS, key="people_tab", on_change="rerun")
    # What reads every label, only when it is looked at; a chosen file is not to be lost on the way to another tab.
    if people.open:
        with people:
            who_did_what(here.engine)
    with roles:
        people_section(here.engine, here.me)
    with files:
        st.markdown("## Take labels out")
        export_section(here.engine)
        st.markdown("## Bring labels in")
        import_section(here.engine, here.me)
