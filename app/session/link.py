"""The address of what is on the page: comparison, steering and choices, to copy, reload or send."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import streamlit as st

from app.draw.plain_text import plain
from app.session import session
from app.session.comparison import Comparison, corpus, from_corpus, from_json
from app.session.engine import Engine
from app.session.pages import Page
from app.session.steering_state import SteeringState
from app.session.wishes import wishes
from feature_db import PermissionRefused, StoreError
from sarm_core.errors import SarmError

__all__ = ["BASE_URL", "LINKED", "link", "only_here", "open_link", "show_link", "take_link", "update_link"]

BASE_URL = "SARM_BASE_URL"
"""Environment variable: the address under which others reach this app"""

LINKED = {
    "left": "l",
    "right": "r",
    "shaded": "h",
    "explained": "e",
    "traced": "f",
    "at_least": "t",
    "basis": "u",
    "why_tab": "v",
}
"""Widget keys that are part of a link, and their names in it; whole numbers but for LINKED_TEXTS."""
LINKED_TEXTS = ("basis", "why_tab")


def open_link(current: Engine) -> None:
    """On the first run of a session: take comparison, steering and what is chosen from the address."""
    if st.session_state.get("link_opened"):
        return
    st.session_state["link_opened"] = True
    answers, state, model = (st.query_params.get(name) for name in ("a", "s", "m"))
    try:
        if answers and answers.startswith("example:"):
            session.set_comparison(from_corpus(answers.removeprefix("example:")))
        elif answers:
            with current.store() as store:
                session.set_comparison(from_json(store.open_session(answers)))
            st.session_state["comparison_saved"] = answers
        if answers:
            _open_choices()
            wishes().open(session.current_comparison(), st.query_params.get("w", ""))
        if state:
            if model and not current.fingerprint.startswith(model):
                raise SarmError("its steering was made for another model, so it was left out")
            opened = SteeringState.from_link(state)
            opened.current.check(current.scorer.n_features)
            if any(i >= current.scorer.n_features for i in opened.panel):
                raise SarmError("its steering was made for another model, so it was left out")
            opened.revision = 1
            st.session_state["steering_state"] = opened
    except session.Errors as error:
        session.say(f"This link could not be opened completely: {plain(str(error))}.", "warning")


def _open_choices() -> None:
    for key, name in LINKED.items():
        text = st.query_params.get(name, "")
        if key in LINKED_TEXTS and text:
            st.session_state[key] = text
        elif text.isascii() and text.isdecimal() and len(text) < 10:
            st.session_state[key] = int(text)


def update_link(current: Engine, choices: Sequence[str] = ()) -> None:
    """Write comparison, steering and the widgets named in `choices` into the address: copy, reload, send it."""
    now = session.comparison()
    wanted: dict[str, str] = {}
    if now is not None:
        if now.origin.startswith("example ") and now.origin.removeprefix("example ") in corpus():
            address = f"example:{now.origin.removeprefix('example ')}"
        else:
            if "comparison_saved" not in st.session_state:
                try:
                    with current.store() as store:
                        st.session_state["comparison_saved"] = store.save_session(now.to_json())
                except PermissionRefused:
                    address = ""  # a visitor's answers are not kept, so no address names them
                except StoreError as error:
                    st.warning(f"This page cannot be linked to: {plain(str(error))}")
                    return
            address = str(st.session_state.get("comparison_saved", ""))
        if address:
            wanted["a"] = address
        for key in choices:
            value = st.session_state.get(key)
            if value is not None:
                wanted[LINKED[key]] = str(value)
        order = wishes().of(now)
        if order is not None:
            wanted["w"] = order.to_link()
    state = session.steering()
    if state.panel or state.current:
        wanted["s"] = state.to_link()
        wanted["m"] = current.fingerprint[:8]
    # As few assignments as can be: each is a message and a place in the browser's history. What is not ours stays
    # untouched: Streamlit refuses an assignment that names a parameter with a widget bound to it.
    for name in {"a", "s", "m", "w", *LINKED.values()} - wanted.keys():
        if name in st.query_params:
            del st.query_params[name]
    changed = {name: value for name, value in wanted.items() if st.query_params.get(name) != value}
    if changed:
        st.query_params.update(changed)


def take_link(current: Engine, address: str, now: Comparison) -> None:
    """Keep the answers of an opened file under the id that its sender's link has: then that link opens here too."""
    if not address:
        return
    try:
        with current.store() as store:
            if store.restore_session(address, now.to_json()):
                st.session_state["comparison_saved"] = address
    except StoreError:
        return  # without it the answers get an id of their own


def link() -> str | None:
    """The whole address of what is on the page, once `update_link` ran; None where the browser gives no address."""
    base = _base()
    if not base:
        return None
    return base + "?" + urlencode(dict(st.query_params.items()), quote_via=quote)


def _base() -> str | None:
    """Where others find this page: under $SARM_BASE_URL where it is set, else where this browser found it."""
    seen = (st.context.url or "").split("?")[0]
    stated = os.environ.get(BASE_URL, "").strip().rstrip("/")
    if not stated:
        return seen or None
    if not stated.startswith(("http://", "https://")):
        stated = f"https://{stated}"
    last = seen.rstrip("/").rpartition("/")[2]
    return f"{stated}/{last}" if last in {page.address for page in Page} else stated


def only_here(address: str) -> bool:
    """Whether an address leads nowhere but to the machine that it is opened on."""
    try:
        host = urlsplit(address).hostname or ""
        return host == "localhost" or host.endswith(".localhost") or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return False


def show_link(place: Any) -> None:
    """Draw the address in `place`, with a button that copies it."""
    address = link()
    with place:
        st.caption(
            "The address opens these answers, sliders and choices again; answers that are not an example are kept in "
            "this installation's store."
        )
        if session.comparison() is not None and "a" not in st.query_params:
            st.caption(
                ":material/visibility: As a visitor you keep nothing here, so the address names the sliders and not "
                "these answers: send the page or the file."
            )
        st.code(address or "see the address bar", language=None, wrap_lines=True)
        if address and only_here(address):
            st.caption(
                ":material/computer: It opens on this computer only. For others send the page below, or serve the app: "
                f"`sarm app --server.address 0.0.0.0`, and {BASE_URL} for the address they use."
            )
