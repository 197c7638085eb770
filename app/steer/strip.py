"""The steering in force as number boxes, for pages that show what a steering does elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import streamlit as st

from app.draw.plain_text import cut, plain
from app.session import session
from app.session.engine import Engine, FeatureNote
from app.session.feature_title import feature_title
from app.session.pages import Page
from app.session.steering_state import SteeringState
from app.steer.saved_dialog import steerings_button
from sarm_core.steering import Group, Steering

__all__ = ["steering_strip"]

COLUMNS = 4
LIMIT = 10.0
MOST_TOLD = 400
"""Boxes whose values are remembered, those of earlier revisions among them"""


def steering_strip(engine: Engine) -> None:
    """One box per feature and group on the panel; 1 is as trained, 0 silenced. Undo and reset beside them."""
    held = session.steering()
    held.panel = [i for i in held.panel if i < engine.scorer.n_features]
    notes = engine.notes(held.panel)
    with st.container(border=True, key="strip"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown("**Steering in force**")
            changed = len(held.current.features())
            st.caption(
                f"{changed} of {len(held.panel)} features on the panel changed · ×1 as trained, ×0 silenced"
            )
            st.button(
                "Undo",
                on_click=held.undo,
                disabled=not held.can_undo,
                icon=":material/undo:",
                key="strip_undo",
            )
            st.button(
                "Redo",
                on_click=held.redo,
                disabled=not held.can_redo,
                icon=":material/redo:",
                key="strip_redo",
            )
            st.button(
                "Reset",
                on_click=held.reset,
                disabled=not held.current,
                icon=":material/restart_alt:",
                key="strip_reset",
            )
            steerings_button(engine)
        if not held.panel and not held.current.groups:
            st.caption(
                "Nothing is on the sliders yet. *Find features* puts features there; so do the charts of "
                "*Compare and steer*."
            )
            return
        _boxes(held, notes)
        st.page_link(Page.MODEL.path, label="Export the steered model", icon=":material/ios_share:")


def _boxes(held: SteeringState, notes: Mapping[int, FeatureNote]) -> None:
    columns = st.columns(COLUMNS)
    boxes = [("group", name) for name in held.current.groups] + [("feature", i) for i in held.panel]
    for place, (kind, item) in enumerate(boxes):
        with columns[place % COLUMNS]:
            if kind == "group":
                _box(
                    f"group {cut(str(item), 24)}",
                    held.current.groups[str(item)].scale,
                    ("group", str(item)),
                )
            else:
                i = int(item)
                title = feature_title(i, notes.get(i), 30)
                if i in held.current.set:
                    st.caption(f"{plain(title)} is set to {held.current.set[i]:g}")
                else:
                    _box(title, held.current.scale.get(i, 1.0), ("feature", i))
                if offset := held.current.offset.get(i):
                    st.caption(f"offset {offset:+g}: moves every answer alike")


def _box(title: str, value: float, what: tuple[str, str | int]) -> None:
    """A number box whose key carries the revision, so that undo and reset show in it."""
    held = session.steering()
    key = f"strip_{what[0]}_{what[1]}_{held.revision}"
    st.session_state.setdefault(key, float(value))
    # Composed and loaded steerings may pass what a box offers; Streamlit refuses a value outside its limits.
    now = float(st.session_state[key])
    _told(key, now)
    low, high = min(-LIMIT, now), max(LIMIT, now)
    st.number_input(
        _label(title), low, high, step=0.1, format="%.2f", key=key, on_change=_change, args=(key, what)
    )


def _label(title: str) -> str:
    """The title as Markdown that a screen reader, which hears it raw, can read: a number needs no escape."""
    return plain(title).replace("\\#", "#", 1) if title.startswith("#") else plain(title)


def _change(key: str, what: tuple[str, str | int]) -> None:
    """Callback. A box that undo replaced may be reported once more: only another value than it had is a change."""
    held, value = session.steering(), float(st.session_state[key])
    if not _told(key, value):
        return
    if what[0] == "feature":
        new: Steering = held.current.with_scale(int(what[1]), value)
    else:
        groups = dict(held.current.groups)
        groups[str(what[1])] = Group(groups[str(what[1])].features, value)
        new = replace(held.current, groups=groups)
    # As a change by the server: the sliders of the compare page then follow.
    session.guarded(lambda: held.change(new, by_server=True))


def _told(key: str, value: float) -> bool:
    """Note what a box holds, and tell whether that is new."""
    told: dict[str, float] = st.session_state.setdefault("strip_told", {})
    before, told[key] = told.pop(key, None), value
    while len(told) > MOST_TOLD:
        del told[next(iter(told))]
    return value != before
