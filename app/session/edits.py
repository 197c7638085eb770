"""Editing an answer in place: what the browser typed, waiting to be scored, and the versions of it.

Callbacks keep what was typed; the page scores it before it draws anything (`settle`), so that the earlier score stays
in sight until the new one is there. While somebody types nothing is kept: no encoded answer on disk, no address.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from app.draw.plain_text import plain
from app.session import session
from app.session.comparison import Comparison
from app.session.engine import Engine
from sarm_core.errors import SarmError
from sarm_core.find.bias_pairs import BIASES
from sarm_core.text.edits import EDITS
from sarm_core.text.rewrites import REWRITES, rewrite

__all__ = ["COMMANDS", "RULES", "act", "is_live", "open_edit", "revision", "settle", "shaded"]

COMMANDS = ("edit", "type", "rewrite", "version", "original", "shade")
DRAFTS = "edit_drafts"
"""State's key: texts that were typed, with whether they were left alone since, by answer"""
LIVE = "edit_live"
OPEN = "edit_open"
SHADED = "edit_shaded"
REVISION = "edit_revision"


def _without_list(text: str) -> str | None:
    """Lists as running text, without the marks of emphasis that stand in them."""
    _, plain_text = BIASES["markdown"](text) or (text, text)
    versions = BIASES["lists"](plain_text)
    found = None if versions is None else versions[1]
    return None if found is None or found == plain_text else found


RULES: dict[str, Callable[[str], str | None]] = {
    "without the apology": EDITS["without the apology"],
    "without the list": _without_list,
    "half as long": EDITS["half as long"],
    **{name: (lambda text, name=name: rewrite(text, name)) for name in REWRITES},  # type: ignore[misc]
}
"""Changes by rule, by the name on their button."""


def is_live() -> bool:
    """Whether somebody is typing: the address waits for a pause."""
    return bool(st.session_state.get(LIVE))


def open_edit() -> int | None:
    """The edited answer that was asked for last, whose box is to have the cursor."""
    found: int | None = st.session_state.get(OPEN)
    return found


def shaded() -> int | None:
    """The edited answer whose text shows what the reward hangs on."""
    found: int | None = st.session_state.get(SHADED)
    return found


def revision() -> int:
    """Rises whenever the server, not the keyboard, changed a text."""
    return int(st.session_state.get(REVISION, 0))


def act(command: Mapping[str, Any]) -> None:
    """Callback: one of `COMMANDS` of the ranking, about one answer."""
    now = session.comparison()
    index = int(command["answer"])
    if now is None or not 0 <= index < len(now.answers):
        return
    session.guarded(_ACTS[command["name"]], now, index, command)


def _edit(now: Comparison, index: int, _: Mapping[str, Any]) -> None:
    changed, at = now.with_edit(index)
    st.session_state[OPEN] = at
    of = changed.answers[at].of
    st.session_state["left"], st.session_state["right"] = at, of
    _show(changed)


def _type(now: Comparison, index: int, command: Mapping[str, Any]) -> None:
    if now.answers[index].of is not None:
        st.session_state.setdefault(DRAFTS, {})[index] = (command["text"], bool(command["rested"]))


def _rewrite(now: Comparison, index: int, command: Mapping[str, Any]) -> None:
    text = _newest(now, index)
    changed = RULES[command["rule"]](text)
    if changed is None:
        session.say(
            f"{plain(command['rule']).capitalize()}: there is nothing to change in this text.", "info"
        )
        return
    _by_server(index, changed)


def _version(now: Comparison, index: int, command: Mapping[str, Any]) -> None:
    versions, text = now.answers[index].versions, _newest(now, index)
    at = next((i for i in reversed(range(len(versions))) if versions[i] == text), len(versions))
    there = at + int(command["step"])
    if 0 <= there < len(versions):
        _by_server(index, versions[there])


def _original(now: Comparison, index: int, _: Mapping[str, Any]) -> None:
    of = now.answers[index].of
    changed = now.without_edit(index)
    for name in ("left", "right", "explained"):
        side = st.session_state.get(name)
        if isinstance(side, int) and side >= index:
            st.session_state[name] = of if side == index else side - 1
    if st.session_state.get("left") == st.session_state.get("right"):
        st.session_state.pop("right", None)
    for name in (OPEN, SHADED, LIVE, DRAFTS):
        st.session_state.pop(name, None)
    _show(changed)


def _shade(now: Comparison, index: int, _: Mapping[str, Any]) -> None:
    st.session_state[SHADED] = None if shaded() == index else index


_ACTS: dict[str, Callable[[Comparison, int, Mapping[str, Any]], None]] = {
    "edit": _edit,
    "type": _type,
    "rewrite": _rewrite,
    "version": _version,
    "original": _original,
    "shade": _shade,
}


def _newest(now: Comparison, index: int) -> str:
    """What stands in the box: the draft, or the text of the page."""
    draft = st.session_state.get(DRAFTS, {}).get(index)
    return str(draft[0]) if draft else now.answers[index].text


def _by_server(index: int, text: str) -> None:
    st.session_state.setdefault(DRAFTS, {})[index] = (text, True)
    st.session_state[REVISION] = revision() + 1


def _show(changed: Comparison) -> None:
    """Put it on the page; sliders nobody touched stay, as the words under them change with every key."""
    session.set_comparison(changed, keep_choices=True)
    st.session_state["offered_for"] = changed


def settle(current: Engine) -> None:
    """Score what was typed and put it on the page; call it before anything is drawn.

    A text that cannot be scored is said so, and the earlier one stays.
    """
    drafts: dict[int, tuple[str, bool]] = st.session_state.pop(DRAFTS, {})
    now = session.comparison()
    if not drafts or now is None:
        return
    changed, rested = now, True
    for index, (text, left_alone) in drafts.items():
        rested = rested and left_alone
        try:
            changed = changed.with_text(index, text, keep=left_alone)
        except (SarmError, IndexError) as error:
            session.say(plain(str(error)), "info")
    st.session_state[LIVE] = not rested
    before = current.cached(f"comparison:{now.key}")
    key, conversations = f"comparison:{changed.key}", changed.conversations()
    try:
        if rested or before is None or len(drafts) > 1:
            current.score(key, conversations)
        else:
            (index,) = drafts
            current.score_edit(key, before, index, conversations[index])
    except session.Errors as error:
        session.say(plain(str(error)))
        return
    _show(changed)
