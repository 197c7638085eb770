"""What one browser session holds: the chosen model, the comparison, the steering, and what was said."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import streamlit as st

from app.draw.plain_text import plain
from app.session.comparison import Comparison, from_corpus
from app.session.engine import Choice, Engine, default_choice, load_engine
from app.session.pages import Page
from app.session.steering_state import MAX_PANEL, SteeringState
from app.session.visitors import refuse_on_read_only_server
from feature_db import PermissionRefused, StoreError
from sarm_core.errors import SarmError
from sarm_core.features import separating_features
from sarm_core.score.scored import Scored, TokenTrace

__all__ = [
    "Errors",
    "add_features",
    "check_may_write",
    "comparison",
    "current_comparison",
    "decide_here",
    "engine",
    "guarded",
    "loaded_engine",
    "offer_features",
    "say",
    "score",
    "score_for",
    "set_comparison",
    "show_messages",
    "show_panel",
    "steering",
    "traces",
]

Errors = (SarmError, StoreError)
T = TypeVar("T")
SOON_READ = 1_000
"""Tokens that are read at every place before a bar could be followed."""
FIRST_EXAMPLE = "sensitive-01"
OFFERED = 4
"""Sliders to begin with"""
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
            current = load_engine(wanted)
            if current.is_stale:
                load_engine.clear(wanted)
                current = load_engine(wanted)
            return current
    except Errors as error:
        st.error(plain(str(error)), icon=":material/error:")
        st.page_link(Page.MODEL.path, label="Choose another model", icon=":material/tune:")
        st.stop()


def loaded_engine() -> Engine:
    """The engine as this session uses it, for what is drawn beside a page. Raises as `load_engine`."""
    return load_engine(choice())


def check_may_write(what: str) -> None:
    """Raises PermissionRefused for whoever only looks; `what` is not done for them. For writing beside the store."""
    refuse_on_read_only_server(what)
    try:
        current = load_engine(choice())
    except Errors:
        return  # without a model there is no store, and nobody has a role
    with current.store() as store:
        if store.looks_only:
            raise PermissionRefused(f"you only look here: {what} is not done; ask an admin for another role")


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


def show_panel(features: Sequence[int]) -> None:
    """Callback: these sliders, and what is steered, for the comparison that was just put on the page."""
    held = steering()
    held.panel = list(dict.fromkeys([*features, *held.current.features()]))[:MAX_PANEL]
    st.session_state["offered"] = []
    st.session_state["offered_for"] = comparison()


def offer_features(scored: Scored, n: int = OFFERED) -> None:
    """Sliders to begin with: what separates these answers most. With other answers, those nobody touched follow.

    What the person chose or what steers something stays. Sliders out of a link or a reload count as offered where
    they are what would be offered for the answers they came with.
    """
    held, now = steering(), comparison()
    if "offered" not in st.session_state:
        deciding = separating_features(scored.matrix, n)
        held.panel = held.panel or list(deciding)
        untouched = held.untouched()
        st.session_state["offered"] = untouched if set(untouched) <= set(deciding) else []
        st.session_state["offered_for"] = now
    elif st.session_state.get("offered_for") != now:
        untouched = [i for i in held.untouched() if i in st.session_state["offered"]]
        st.session_state["offered"] = _replace(held, untouched, separating_features(scored.matrix, n))
        st.session_state["offered_for"] = now


def decide_here(scored: Scored, n: int = OFFERED) -> None:
    """Callback: the sliders that steer nothing give way to the features that separate these answers most."""
    held = steering()
    st.session_state["offered"] = _replace(held, held.untouched(), separating_features(scored.matrix, n), n)
    st.session_state["offered_for"] = comparison()


def _replace(
    held: SteeringState, old: Sequence[int], new: Sequence[int], most: int | None = None
) -> list[int]:
    """Put of `new` as many as `old` were, or `most`, in their place; gives those."""
    kept = [i for i in held.panel if i not in old]
    coming = [i for i in new if i not in kept][: len(old) if most is None else most]
    held.panel = kept
    return [i for i in coming if i not in held.add(coming)]


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
    bar = place.empty()  # no bar for what was read before
    started = time.monotonic()

    def show(done: int, total: int) -> None:
        spent = time.monotonic() - started
        left = spent / max(done, 1) * (total - done)
        rest = f", about {left:.0f} s left" if spent > 2 and left >= 1 else ""
        bar.progress(min(1.0, done / max(total, 1)), text=f"{what}: {done:,} of {total:,} tokens{rest}")

    try:
        with bar, st.spinner(f"Loading {plain(current.choice.source)} …"):
            current.load_for(of.conversations())
        return current.score(
            key, of.conversations(), show, lambda note: st.toast(plain(note), icon=ICONS["info"])
        )
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
