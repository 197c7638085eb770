"""Runs: what was found, evaluated, learned, proposed and built, to open again and to hold against each other."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import streamlit as st

from app.build.built_runs import built_runs
from app.compare.proposal_run import show_kept as show_proposal
from app.find.recipe import show_kept as show_found
from app.prove.learned_run import show_kept as show_learned
from app.prove.recipe import show_kept as show_evaluation
from app.runs.listing import show_runs
from app.runs.view import show_run
from app.session import session
from app.session.page import page
from app.session.pages import Page
from feature_db import StoreError
from feature_db.runs import Run

with page(Page.RUNS, "What was tried so far, what came of it, and which of it was better?") as here:
    if (opened := st.session_state.pop("open_run", None)) is not None:
        st.query_params["run"] = opened
    base = show_runs(here.engine)
    uid = st.query_params.get("run", "")
    views: dict[str, Callable[[Run], None]] = {
        "find": partial(show_found, engine=here.engine),
        "evaluation": show_evaluation,
        "learned": partial(show_learned, engine=here.engine),
        "proposal": partial(show_proposal, engine=here.engine),
    }
    try:
        if uid:
            show_run(here.engine, uid, base, here.me.name, views)
    except StoreError as error:
        st.query_params.pop("run", None)
        session.say(str(error), "warning")
    built_runs()
