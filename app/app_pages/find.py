"""Find features: which features tell two kinds of answers apart, and does the head reward them?"""

from __future__ import annotations

import streamlit as st

from app.datasets.choice import IN_DATA_SET, follow_address
from app.find.questions import (
    IN_CORPUS,
    IN_FILES,
    from_corpus_form,
    from_data_set_form,
    from_files_form,
    last_found,
    reopen,
)
from app.find.results import show, suspicious
from app.prove.rewrites_view import rewrites_section
from app.runs.kept import runs_link
from app.session import session
from app.session.page import page
from app.session.pages import Page

REWRITES = "Harmless rewrites"
SOURCES = (IN_CORPUS, IN_DATA_SET, *IN_FILES, REWRITES)

with page(
    Page.FIND, "Which features tell two kinds of answers apart, and does the reward pay for them?"
) as here:
    working = st.empty()
    follow_address("find_source", IN_CORPUS)
    source = st.segmented_control("Where from", SOURCES, required=True, key="find_source")
    if source == REWRITES:
        rewrites_section(here.engine, working)
    elif source == IN_CORPUS or source is None:
        from_corpus_form(here.engine, working)
    elif source == IN_DATA_SET:
        from_data_set_form(here.engine, working)
    else:
        from_files_form(here.engine, source, working)
    with st.container(key="find_errors"):  # always there, so that a message moves no tab under the mouse
        session.show_messages()
    kept_only = source != REWRITES and reopen(here.engine, working)
    found = None if kept_only else last_found(here.engine)
    if source != REWRITES and found is not None:
        show(found, here.engine)
        suspicious(found)
        runs_link("find")
    elif source != REWRITES and not kept_only:
        ask = {IN_CORPUS: "Choose a question", IN_DATA_SET: "Choose a data set"}.get(
            source or "", "Choose a file"
        )
        st.info(f"{ask} above and press Find.", icon=":material/arrow_upward:")
