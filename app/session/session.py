"""What one browser session holds: the chosen model, the comparison, the steering, and the link to them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import streamlit as st

from app.draw.plain_text import plain
from app.session.comparison import Comparison, corpus, from_corpus, from_json
from app.session.engine import Choice, Engine, default_choice, load_engine
from app.session.steering_state import SteeringState
from feature_db import StoreError
from sarm_core.errors import SarmError
from sarm_core.features import separating_features
from sarm_core.score.scorer import Scored, TokenTrace

__all__ = [
    "Errors",
    "add_features",
    "comparison",
    "current_comparison",
    "engine",
    "guarded",
    "link",
    "offer_features",
    "open_link",
    "say",
    "score",
    "score_for",
    "set_comparison",
    "show_link",
    "show_messages",
    "steering",
    "traces",
    "update_link",
]

Errors = (SarmError, StoreError)
T = TypeVar("T")
SOON_READ = 1_000
"""Tokens that are read at every place before a bar could be followed."""
FIRST_EXAMPLE = "sensitive-01"
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
ICONS = {
    "error": ":material/error:",
    "warning": ":material/warning:",
    "success": ":material/check:",
    "info": ":material/info:",
}
ABOUT_ANSWERS = ("left", "right", "shaded", "explained", "traced")


def choice() -> Choice:
    """The model this session uses."""
    return st.session_state.setdefault("choice", default_choice())


def engine() -> Engine:
    """The loaded engine; stops the page with one line when the model cannot be loaded."""
    wanted = choice()
    try:
        with st.spinner(f"Loading {plain(wanted.source)} … (once a start: reads the weights from disk)"):
            return load_engine(wanted)
    except Errors as error:
        st.error(plain(str(error)), icon=":material/error:")
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


def set_comparison(new: Comparison, *, keep_choices: bool = False) -> None:
    """Put another comparison on the page; the steering stays, what was chosen among the old answers does not.

    `keep_choices` for the same answers with one more at the end. Says so where answers were left out.
    """
    st.session_state["comparison"] = new
    if new.left_out_words:
        say(new.left_out_words, "info")
    st.session_state.pop("comparison_saved", None)
    if not keep_choices:
        for name in ABOUT_ANSWERS:
            st.session_state.pop(name, None)


def steering() -> SteeringState:
    """The session's steering with its history."""
    return st.session_state.setdefault("steering_state", SteeringState())


def add_features(features: Sequence[int]) -> None:
    """Callback: put features on the panel, saying so when they do not fit."""
    left_out = steering().add(features)
    if left_out:
        which = "Feature" if len(left_out) == 1 else "Features"
        names = ", ".join(f"#{i}" for i in left_out[:6]) + (" …" if len(left_out) > 6 else "")
        say(f"The panel is full. {which} {names} not added: remove another first.", "warning")


def offer_features(scored: Scored, n: int = 4) -> None:
    """Sliders to begin with, while the person has chosen none: what separates these answers most."""
    held, offered = steering(), st.session_state.get("offered")
    untouched = len(held.history) == 1 and not held.current and held.panel == (offered or [])
    if untouched and (offered is None or st.session_state.get("offered_for") != comparison()):
        held.panel = st.session_state["offered"] = separating_features(scored.matrix, n)
        held.panel = list(held.panel)
        st.session_state["offered_for"] = comparison()


def say(text: str, kind: str = "error") -> None:
    """Show one line of Markdown at the top of the next run (callbacks cannot draw); `plain` what others wrote."""
    st.session_state.setdefault("messages", []).append((kind, text))


def show_messages() -> None:
    """Draw and forget what `say` left."""
    for kind, text in st.session_state.pop("messages", []):
        getattr(st, kind)(text, icon=ICONS[kind])


def score_for(current: Engine, of: Comparison) -> tuple[Scored, Any]:
    """`score`, and a container for what the page says with it.

    While the model runs, the progress bar stands in its place: what was said of other answers would look as if it
    were of these.
    """
    if current.cached(f"comparison:{of.key}") is not None:
        return score(current, of), st.container()
    place = st.empty()
    return score(current, of, place), place.container()


def score(current: Engine, of: Comparison, place: Any = st) -> Scored:
    """Scores of a comparison, with a progress bar in `place` when the model has to run. Stops the page on an error."""
    key = f"comparison:{of.key}"
    found = current.cached(key)
    if found is not None:
        return found
    what = f"Scoring {len(of.answers)} answer{'s' if len(of.answers) > 1 else ''}"
    bar = place.progress(0.0, text=f"{what} …")
    started = time.monotonic()

    def show(done: int, total: int) -> None:
        spent = time.monotonic() - started
        left = spent / max(done, 1) * (total - done)
        rest = f", about {left:.0f} s left" if spent > 2 and left >= 1 else ""
        bar.progress(min(1.0, done / max(total, 1)), text=f"{what}: {done:,} of {total:,} tokens{rest}")

    try:
        return current.score(key, of.conversations(), show)
    except Errors as error:
        st.error(plain(str(error)), icon=":material/error:")
        st.stop()
    finally:
        bar.empty()


def traces(
    current: Engine, now: Comparison, scored: Scored, answers: Sequence[int], feature: int
) -> list[TokenTrace]:
    """One feature at every token of some answers; a bar says how many tokens that is, and how long it may take.

    A text goes through the model in one piece, so the bar moves from text to text. Stops the page on an error.
    """
    conversations = now.conversations()
    sizes = {i: len(scored.sequences[i]) for i in answers if not current.traced(conversations[i], feature)}
    total, done = sum(sizes.values()), 0
    rate = current.tokens_per_second
    place = st.empty()
    try:
        found = []
        for i in answers:
            if i in sizes and total > SOON_READ:
                rest = f"; the rest takes about {(total - done) / rate:.0f} s" if rate else ""
                place.progress(done / total, text=f"Reading the feature: {done:,} of {total:,} tokens{rest}")
            found.append(current.trace(conversations[i], feature))
            done += sizes.get(i, 0)
        return found
    except Errors as error:
        st.error(plain(str(error)), icon=":material/error:")
        st.stop()
    finally:
        place.empty()


def guarded(action: Callable[..., T], *args: Any) -> T | None:
    """Run an action in a callback; a user-facing error becomes a message instead of a traceback."""
    try:
        return action(*args)
    except Errors as error:
        say(plain(str(error)))
        return None


# -- the link ----------------------------------------------------------------------------------------------


def open_link(current: Engine) -> None:
    """On the first run of a session: take comparison, steering and what is chosen from the address."""
    if st.session_state.get("link_opened"):
        return
    st.session_state["link_opened"] = True
    answers, state, model = (st.query_params.get(name) for name in ("a", "s", "m"))
    try:
        if answers and answers.startswith("example:"):
            set_comparison(from_corpus(answers.removeprefix("example:")))
        elif answers:
            with current.store() as store:
                set_comparison(from_json(store.open_session(answers)))
            st.session_state["comparison_saved"] = answers
        if answers:
            _open_choices()
        if state:
            if model and not current.fingerprint.startswith(model):
                raise SarmError("its steering was made for another model, so it was left out")
            opened = SteeringState.from_link(state)
            opened.current.check(current.scorer.n_features)
            if any(i >= current.scorer.n_features for i in opened.panel):
                raise SarmError("its steering was made for another model, so it was left out")
            opened.revision = 1
            st.session_state["steering_state"] = opened
    except Errors as error:
        say(f"This link could not be opened completely: {plain(str(error))}.", "warning")


def _open_choices() -> None:
    for key, name in LINKED.items():
        text = st.query_params.get(name, "")
        if key in LINKED_TEXTS and text:
            st.session_state[key] = text
        elif text.isascii() and text.isdecimal() and len(text) < 10:
            st.session_state[key] = int(text)


def update_link(current: Engine, choices: Sequence[str] = ()) -> None:
    """Write comparison, steering and the widgets named in `choices` into the address: copy, reload, send it."""
    now = comparison()
    wanted: dict[str, str] = {}
    if now is not None:
        if now.origin.startswith("example ") and now.origin.removeprefix("example ") in corpus():
            address = f"example:{now.origin.removeprefix('example ')}"
        else:
            if "comparison_saved" not in st.session_state:
                try:
                    with current.store() as store:
                        st.session_state["comparison_saved"] = store.save_session(now.to_json())
                except StoreError as error:
                    st.warning(f"This page cannot be linked to: {plain(str(error))}")
                    return
            address = str(st.session_state["comparison_saved"])
        wanted["a"] = address
        for key in choices:
            value = st.session_state.get(key)
            if value is not None:
                wanted[LINKED[key]] = str(value)
    state = steering()
    if state.panel or state.current:
        wanted["s"] = state.to_link()
        wanted["m"] = current.fingerprint[:8]
    # As few assignments as can be: each is a message and a place in the browser's history. What is not ours stays
    # untouched: Streamlit refuses an assignment that names a parameter with a widget bound to it.
    for name in {"a", "s", "m", *LINKED.values()} - wanted.keys():
        if name in st.query_params:
            del st.query_params[name]
    changed = {name: value for name, value in wanted.items() if st.query_params.get(name) != value}
    if changed:
        st.query_params.update(changed)


def link() -> str | None:
    """The whole address of what is on the page, once `update_link` ran; None where the browser gives no address."""
    base = st.context.url
    if not base:
        return None
    return base.split("?")[0] + "?" + urlencode(dict(st.query_params.items()), quote_via=quote)


def show_link(place: Any) -> None:
    """Draw the address in `place`, with a button that copies it."""
    address = link()
    with place:
        st.caption(
            "The address bar holds the same. It opens these answers, sliders and choices again; answers that are "
            "not an example are kept in this installation's store."
        )
        st.code(address or "see the address bar", language=None, wrap_lines=True)
