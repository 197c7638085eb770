"""Compare and steer: rank answers, see which features decide, re-weight them while the order follows."""

from __future__ import annotations

import streamlit as st

from app.compare.edit_view import edited_rows
from app.compare.inputs import input_row
from app.compare.open_shared import agreement
from app.compare.prompt import cut_beginnings, model_line, prompt_box
from app.compare.share_view import share_files
from app.compare.shares_view import shares
from app.compare.stored_pairs import flips_line
from app.compare.why_view import SIDES, choose_sides, why
from app.compare.wishes_view import wishes_section
from app.datasets.walk import walk_bar
from app.session import edits, session
from app.session.page import page
from app.session.pages import Page
from app.steer.panel import panel_tools, sliders

CAPTION = (
    "Which answer does the reward model prefer, which features decide it, and what if they weighed otherwise?"
)
LINKED = ("left", "right", "shaded", "at_least", "basis", "why_tab")

with page(Page.COMPARE, CAPTION, linked=LINKED) as here:
    model_line(here.head, here.engine)
    session.current_comparison()
    edits.settle(here.engine)
    here.is_unsettled = edits.is_live()
    sharing = input_row(here.engine)
    here.link_box = sharing.container()
    walk_bar(here.engine)
    now = session.current_comparison()
    prompt_box(now)
    scored, below = session.score_for(here.engine, now)
    with below:
        held = session.steering()
        held.panel = [i for i in held.panel if i < here.engine.scorer.n_features]
        session.offer_features(scored)
        steered = scored.steered(held.current)
        sliders(
            here.engine, now, scored, choose_sides(steered), SIDES, edited_rows(here.engine, now, steered)
        )
        with st.container(key="under_ranking"):
            cut_beginnings(here.engine, now, scored)
            agreement(here.engine, now, scored)
            with sharing:
                share_files(here.engine, now, scored)
            panel_tools(here.engine, scored)
            wishes_section(here.engine, now, scored)
            why(here.engine, now, scored, steered)
            shares(here.engine, scored, steered, now.titles())
            flips_line(here.engine)
