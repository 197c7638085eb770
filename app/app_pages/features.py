"""Features: find the ones worth reading, by numbers, by words, on a map, or by what fires in your own text."""

from __future__ import annotations

import streamlit as st

from app.features.filters import filter_row, search_row
from app.features.listing import Listing, show_all
from app.features.own_text import own_text, show_own_text
from app.features.view import say_harvest
from app.session.page import page
from app.session.pages import Page

CAPTION = "What has this model learned to look for, and which of it moves the reward?"

with page(Page.FEATURES, CAPTION) as here:
    engine, me = here.engine, here.me.name
    with engine.store() as store:
        n_harvested = store.features_page(limit=0).total
        lists = store.lists()
    if not n_harvested:
        say_harvest(
            engine,
            "No corpus has been harvested for this model yet, so nothing is known about its features. "
            "Run this with a file of conversations, then reload the page:",
        )
    else:
        search = search_row(engine)
        text = own_text(engine)
        if text is not None:
            show_own_text(engine, text, lists, me, search.hide_dense)
        else:
            show_all(Listing(engine, me, lists, n_harvested, search, *filter_row(engine, lists, me, search)))
        st.page_link(
            Page.DICTIONARY.path,
            label="How much of the reward has a name, and which features double, split or are dense",
            icon=Page.DICTIONARY.icon,
        )
