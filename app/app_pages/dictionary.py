"""Dictionary: whose names carry the reward, which features double, split or are dense, and two beside each other."""

from __future__ import annotations

from functools import partial

import streamlit as st

from app.dictionary.reported import MOST, compared, other_kept, report_of
from app.dictionary.view import block_bar, downloads, show_headline, show_sections
from app.draw.plain_text import plain
from app.draw.progress import encoding_bar
from app.features.view import say_harvest
from app.session import session
from app.session.page import page
from app.session.pages import Page
from sarm_core.dictionary.look import Bounds

CAPTION = "How much of the reward can be read, and is each thing in this dictionary once?"

with page(Page.DICTIONARY, CAPTION) as here:
    above = st.container()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        other = st.text_input(
            "Beside another dictionary of this backbone",
            key="against",
            bind="query-params",
            width=330,
            placeholder="a checkpoint folder or a Hub id",
            help=f"Both read {MOST} answers of this model's store; `sarm dictionary --against` reads more.",
        ).strip()
        asked = st.button("Compare", key="dictionary_compare", disabled=not other)
        with st.popover("What counts as alike", icon=":material/tune:"):
            cosine = st.number_input(
                "One direction: cosine of decoder columns from", 0.3, 0.99, 0.7, 0.05, key="dictionary_cosine",
                bind="query-params",
            )  # fmt: skip
            jaccard = st.number_input(
                "The same answers: Jaccard from", 0.1, 0.99, 0.5, 0.05, key="dictionary_jaccard",
                bind="query-params", help="Answers in which both fire, of those in which either does",
            )  # fmt: skip
    bounds = Bounds(cosine=float(cosine), jaccard=float(jaccard))
    working = st.empty()
    with here.engine.store() as store:
        encoded = store.stats()["encodings"]
    if not encoded:
        say_harvest(
            here.engine,
            "This model's store keeps no encoded answers yet, so there is nothing to look at. "
            "Run this with a file of conversations, then reload the page:",
        )
    else:
        try:
            report = report_of(here.engine, here.me.name, bounds, partial(block_bar, working))
            working.empty()
        except session.Errors as error:
            st.error(plain(str(error)), icon=":material/error:")
        else:
            if other and (asked or other_kept(here.engine, other)):
                try:
                    with encoding_bar(working) as progress:
                        report["against"] = compared(here.engine, here.me.name, other, bounds, progress)
                except (*session.Errors, OSError) as error:
                    st.error(plain(str(error)), icon=":material/error:")
            with above:
                show_headline(report)
            show_sections(report)
            downloads(report)
