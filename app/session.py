"""What one browser session holds: the chosen model, the comparison, the steering, and the link to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import streamlit as st

from app.comparison import Comparison, from_corpus, from_json
from app.engine import Choice, Engine, default_choice, load_engine
from app.steering_state import SteeringState
from feature_db import StoreError
from sarm_core.errors import SarmError
from sarm_core.scorer import Scored

__all__ = [
    "comparison",
    "current_comparison",
    "engine",
    "open_link",
    "say",
    "score",
    "set_comparison",
    "show_messages",
    "steering",
    "update_link",
]

Errors = (SarmError, StoreError)
T = TypeVar("T")
FIRST_EXAMPLE = "sensitive-01"


def choice() -> Choice:
    """The model this session uses."""
    return st.session_state.setdefault("choice", default_choice())


def engine() -> Engine:
    """The loaded engine; stops the page with one line when the model cannot be loaded."""
    wanted = choice()
    try:
        with st.spinner(f"Loading {wanted.source} … (the first time also reads the weights from disk)"):
            return load_engine(wanted)
    except Errors as error:
        st.error(str(error), icon=":material/error:")
        st.page_link("app_pages/model.py", label="Choose another model", icon=":material/tune:")
        st.stop()


def comparison() -> Comparison | None:
    """The prompt and answers on the page."""
    return st.session_state.get("comparison")


def current_comparison() -> Comparison:
    """The comparison on the page; a new session starts with the first example."""
    now = comparison()
    if now is None:
        now = from_corpus(FIRST_EXAMPLE)
        set_comparison(now)
    return now


def set_comparison(new: Comparison) -> None:
    """Put another comparison on the page; the steering stays."""
    st.session_state["comparison"] = new
    st.session_state.pop("comparison_saved", None)


def steering() -> SteeringState:
    """The session's steering with its history."""
    return st.session_state.setdefault("steering_state", SteeringState())


def say(text: str, kind: str = "error") -> None:
    """Show one line at the top of the next run (callbacks cannot draw)."""
    st.session_state.setdefault("messages", []).append((kind, text))


def show_messages() -> None:
    """Draw and forget what `say` left."""
    for kind, text in st.session_state.pop("messages", []):
        getattr(st, kind)(text)


def score(current: Engine, of: Comparison) -> Scored:
    """Scores of a comparison, with a progress bar when the model has to run. Stops the page on an error."""
    key = f"comparison:{of.key}"
    found = current.cached(key)
    if found is not None:
        return found
    bar = st.progress(0.0, text=f"Scoring {len(of.answers)} answers …")
    try:
        return current.score(key, of.conversations(), lambda done, total: bar.progress(done / max(total, 1)))
    except Errors as error:
        st.error(str(error), icon=":material/error:")
        st.stop()
    finally:
        bar.empty()


def guarded(action: Callable[..., T], *args: Any) -> T | None:
    """Run an action in a callback; a user-facing error becomes a message instead of a traceback."""
    try:
        return action(*args)
    except Errors as error:
        say(str(error))
        return None


# -- the link ----------------------------------------------------------------------------------------------


def open_link(current: Engine) -> None:
    """On the first run of a session: take comparison and steering from the address."""
    if st.session_state.get("link_opened"):
        return
    st.session_state["link_opened"] = True
    answers, state = st.query_params.get("a"), st.query_params.get("s")
    try:
        if answers and answers.startswith("example:"):
            set_comparison(from_corpus(answers.removeprefix("example:")))
        elif answers:
            with current.store() as store:
                set_comparison(from_json(store.open_session(answers)))
            st.session_state["comparison_saved"] = answers
        if state:
            opened = SteeringState.from_link(state)
            opened.current.check(current.scorer.n_features)
            if any(i >= current.scorer.n_features for i in opened.panel):
                raise SarmError("the link's steering was made for another model")
            opened.revision = 1
            st.session_state["steering_state"] = opened
    except Errors as error:
        say(f"This link could not be opened completely: {error}", "warning")


def update_link(current: Engine) -> None:
    """Write comparison and steering into the address, so that it can be copied, reloaded and sent."""
    now = comparison()
    if now is not None:
        if now.origin.startswith("example "):
            address = f"example:{now.origin.removeprefix('example ')}"
        else:
            address = st.session_state.get("comparison_saved")
            if address is None:
                try:
                    with current.store() as store:
                        address = store.save_session(now.to_json())
                except StoreError as error:
                    st.warning(f"This page cannot be linked to: {error}")
                    return
                st.session_state["comparison_saved"] = address
        if st.query_params.get("a") != address:
            st.query_params["a"] = address
    state = steering()
    text = state.to_link() if state.panel or state.current else ""
    if text and st.query_params.get("s") != text:
        st.query_params["s"] = text
    elif not text and "s" in st.query_params:
        del st.query_params["s"]
