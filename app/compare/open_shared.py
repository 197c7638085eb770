"""Opening a comparison that somebody shared: the file or the page, from this model or another one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import streamlit as st

from app.draw.plain_text import cut, plain
from app.session import session
from app.session.comparison import MAX_ANSWERS, Answer, Comparison, from_corpus
from app.session.engine import Engine
from app.session.link import take_link
from sarm_core.errors import SarmError
from sarm_core.score.scored import Scored
from sarm_core.share.shared import Shared

__all__ = ["agreement", "other_model", "read_shared", "take_over"]

OPENED = "opened_file"
"""State's key: what was opened last, to be compared with what this installation scores."""
LEAST = 1e-4
"""Difference of a reward, of the rewards' size, up to which two machines agree"""


@dataclass(frozen=True)
class Opened:
    """Rewards as a file states them, of the comparison with this key."""

    name: str
    key: str
    rewards: tuple[float, ...]
    how: str


def read_shared(data: bytes, name: str) -> Shared:
    """What an upload holds. Raises SarmError naming the upload and the place in it."""
    try:
        shared = Shared.from_json(data.decode("utf-8-sig"), name)
    except UnicodeDecodeError:
        raise SarmError(f"{name}: is not UTF-8 text") from None
    if len(shared.answers) > MAX_ANSWERS:
        raise SarmError(
            f"{name}: holds {len(shared.answers)} answers; this page compares {MAX_ANSWERS}: share fewer"
        )
    return shared


def take_over(current: Engine, shared: Shared, name: str) -> None:
    """Callback: answers, sliders and choices of the file onto the page; its steering is a step that Undo takes back.

    Of another model's file the texts alone. Raises SteeringError when the steering is too large for the panel.
    """
    same = shared.fingerprint == current.fingerprint and shared.matrix is not None
    if same:
        session.steering().load(shared.steering)
    now = _comparison(shared, name)
    session.set_comparison(now)
    take_link(current, shared.link, now)
    st.session_state.pop(OPENED, None)
    said = f"{plain(cut(name, 60))}: {len(now.answers)} answer{'s' if len(now.answers) > 1 else ''}"
    if not same:
        session.say(f"{said}; its texts are scored with the model at hand.", "success")
        return
    assert shared.matrix is not None
    session.show_panel(shared.sliders)
    if shared.compared is not None:
        st.session_state["left"], st.session_state["right"] = shared.compared
    how = (
        f"{shared.model.get('dtype', 'unknown precision')} on {shared.model.get('device', 'unknown device')}"
    )
    st.session_state[OPENED] = Opened(name, now.key, tuple(shared.matrix.exact_rewards.tolist()), how)
    n = len(shared.steering.features())
    steered = f", {n} feature{'s' if n > 1 else ''} steered; Undo brings your sliders back" if n else ""
    when = f", shared {plain(cut(shared.made, 40))}" if shared.made else ""
    session.say(f"{said}{when}{steered}.", "success")


def other_model(current: Engine, shared: Shared) -> str:
    """What to say of a file whose answers another model scored; "" where it is this one."""
    if shared.fingerprint == current.fingerprint:
        return ""
    here = current.scorer.facts.title
    return (
        f"Scored by {plain(cut(shared.model_name, 60))} ({plain(shared.fingerprint[:12])}); the model at hand is "
        f"{plain(cut(here, 60))} ({current.fingerprint[:12]}). Its features and its steering mean nothing here; the "
        "texts can be scored anew."
    )


def agreement(current: Engine, now: Comparison, scored: Scored) -> None:
    """One line under an opened file: whether this installation gives the rewards that the file states."""
    opened: Opened | None = st.session_state.get(OPENED)
    if opened is None or opened.key != now.key or len(opened.rewards) != len(scored):
        return
    stated, here = np.array(opened.rewards), scored.matrix.exact_rewards
    apart = float(np.abs(stated - here).max())
    name = plain(cut(opened.name, 60))
    if apart <= LEAST * (1 + float(np.abs(stated).max())):
        st.caption(f"Scored here anew: the rewards are those of {name} (largest difference {apart:.0e}).")
        return
    how = f"{current.scorer.facts.dtype} on {current.scorer.facts.device}"
    st.warning(
        f"Scored here anew, and not as in {name}: rewards differ by up to {apart:.2g} (the file: {plain(opened.how)}; "
        f"here: {how}).",
        icon=":material/difference:",
    )


def _comparison(shared: Shared, name: str) -> Comparison:
    now = Comparison(
        shared.prompt,
        tuple(Answer(answer.text, answer.note, answer.extra) for answer in shared.answers),
        f"file {name}",
        tools=shared.tools,
    )
    example = shared.origin.removeprefix("example ")
    if example != shared.origin:
        try:
            known = from_corpus(example)
        except SarmError:
            return now
        # The address of an example names it and no text.
        if (known.prompt, known.answers, known.tools) == (now.prompt, now.answers, now.tools):
            return known
    return now
