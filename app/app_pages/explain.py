"""Explain one answer: its reward as a sum over features, and where in the text a feature is active."""

from __future__ import annotations

import streamlit as st

from app.compare.prompt import prompt_box
from app.explain.answer_choice import choose_answer
from app.explain.occlusion_view import which_words
from app.explain.reward_parts import Explained, figures, made_of, side_by_side, where_it_responds
from app.session import session
from app.session.page import page
from app.session.pages import Page

CAPTION = "What makes up the reward of this answer, and where in the text does a feature respond?"

with page(Page.EXPLAIN, CAPTION, linked=("explained", "traced")) as here:
    now, index = choose_answer()
    prompt_box(now)
    scored = session.score(here.engine, now)
    session.offer_features(scored)
    explained = Explained.of(here.engine, now, index, scored, session.steering().current)
    figures(explained)
    text, sums = side_by_side()
    with sums:
        made_of(explained)
    feature = where_it_responds(explained, *text)
    if feature is not None:
        st.divider()
        which_words(here.engine, now.conversations()[index], feature)
