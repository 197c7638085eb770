"""Watch a run: which features do the answers of a training run gain, and how much of the reward's rise are they?"""

from __future__ import annotations

import streamlit as st

from app.draw.plain_text import plain
from app.session import session
from app.session.page import page
from app.session.pages import Page
from app.watch.roots import ROOTS, allowed, roots, runs
from app.watch.view import show_run
from sarm_core.errors import SarmError
from sarm_core.steering import Steering

CAPTION = "Which features do the answers of a training run gain, and how much of the reward's rise are they?"

with page(Page.WATCH, CAPTION) as here:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        run = st.selectbox(
            "Run",
            runs(),
            index=None,
            accept_new_options=True,
            placeholder="Choose a run, or type its folder",
            key="run",
            bind="query-params",
            width=360,
            help="A folder with the completions that a trainer logs: TRL with log_completions=True, or JSONL of step, "
            f"prompt, completion. Looked for below {plain(', '.join(map(str, roots())))}.",
        )
        percent = st.number_input(
            "Alarm at a share of %", 5, 100, 50, 5, key="run_alarm", bind="query-params", width=170,
            help="A feature that carries this much of the rise of the mean reward",
        )  # fmt: skip
        window = st.number_input(
            "Steps a point", 1, 1000, 1, key="run_window", bind="query-params", width=120,
            help="Steps that are put together: an interval needs ten prompts a point",
        )  # fmt: skip
        sliders = session.steering().current
        steered = bool(sliders) and st.toggle(
            "Under the sliders", key="run_steered", help="The reward as the sliders of Compare change it"
        )
        follow = st.toggle(
            "Follow", True, key="run_follow", help="Look every few seconds and score what is new"
        )
    if not run:
        st.info(
            "Choose a run above. A trainer logs one with `log_completions=True`; folders elsewhere are opened by "
            f"starting the app with `{ROOTS}=FOLDER`.",
            icon=":material/arrow_upward:",
        )
    else:
        try:
            folder = allowed(run)
        except SarmError as error:
            st.error(plain(str(error)), icon=":material/error:")
        else:
            show_run(
                here.engine,
                folder,
                sliders if steered else Steering(),
                window=int(window),
                alarm=percent / 100,
                follow=follow,
            )
