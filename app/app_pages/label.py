"""Label: read what a feature fires on, say what it means, and go on to the next."""

from __future__ import annotations

import streamlit as st

from app.label.accept_many import accept_many
from app.label.at_hand import label_at_hand, may_label
from app.label.guidelines import FOCUS_STYLE, guidelines
from app.label.my_work import my_work
from app.label.queue_bar import choose_queue, make_queue
from app.label.trials_view import trials
from app.label.ways import WRITE, choose_way
from app.label.work import Work, take_asked
from app.session.page import page
from app.session.pages import Page

CAPTION = (
    "What does this feature mean, and how far does that hold? Your label is blind: others' appear after it."
)

with page(Page.LABEL, CAPTION) as here:
    st.html(FOCUS_STYLE)
    take_asked(here.engine, here.me)
    with here.head:
        way = choose_way()
        queue = choose_queue(here.engine, here.me) if way == WRITE else None
        if way == WRITE:
            make_queue(here.engine, here.me)
        if st.button("Guidelines", shortcut="G", icon=":material/menu_book:", key="label_guidelines"):
            guidelines()
        if here.me.may("label"):
            my_work(here.engine, here.me, queue)
    if may_label(here.me):
        if way == WRITE:
            label_at_hand(here.engine, here.me, Work(here.engine, here.me, queue))
        elif way == "accept":
            accept_many(here.engine, here.me)
        else:
            trials(here.engine, here.me, way)
