"""Features picked in a table or a picture: onto the sliders, silenced, grouped, or read."""

from __future__ import annotations

import streamlit as st

from app.draw.plain_text import plain
from app.features.view import open_feature
from app.session import session

__all__ = ["slider_actions"]

NAMED = 6


def slider_actions(
    picked: list[int],
    place: str,
    title: str,
    hint: str = "Tick rows to put their features on the sliders.",
) -> None:
    """Buttons for the features `picked`; `hint` where there is none. `place` keeps the keys apart."""
    if not picked:
        st.caption(hint)
        return
    shown = ", ".join(f"#{i}" for i in picked[:NAMED]) + (
        f" and {len(picked) - NAMED} more" if len(picked) > NAMED else ""
    )
    kind, _, name = place.partition("_")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{shown}**")
        st.button(
            "Add to sliders",
            type="primary",
            icon=":material/add:",
            on_click=_add,
            args=(picked,),
            key=f"{kind}_add_{name}",
        )
        st.button(
            "Add and silence (×0)",
            icon=":material/volume_off:",
            on_click=_add,
            args=(picked, 0.0),
            key=f"{kind}_silence_{name}",
        )
        with (
            st.popover("One slider for all", icon=":material/group_work:"),
            st.form(f"{kind}_group_{name}", border=False),
        ):
            group = st.text_input("Name of the group", title[:40], max_chars=40)
            if st.form_submit_button("Make group", type="primary"):
                _add_group(group, picked)
                st.rerun()
        st.button(
            "Read the first",
            icon=":material/open_in_full:",
            on_click=open_feature,
            args=(picked[0],),
            key=f"{kind}_open_{name}",
        )


def _add(features: list[int], multiplier: float | None = None) -> None:
    """Callback: features onto the sliders, changed already when a multiplier is given."""
    held = session.steering()
    left_out = held.add(features)
    done = [i for i in features if i not in left_out]
    if multiplier is not None:
        new = held.current
        for i in done:
            new = new.with_scale(i, multiplier)
        session.guarded(lambda: held.change(new, by_server=True))
    how = "" if multiplier is None else f" at ×{multiplier:g}"
    if done:
        st.toast(f"{len(done)} feature{'s' if len(done) > 1 else ''} on the sliders{how}.")
    if left_out:
        session.say(
            f"The panel is full: {len(left_out)} features were not added. Remove one first.", "warning"
        )


def _add_group(name: str, features: list[int]) -> None:
    """One slider for all of them."""
    held = session.steering()
    left_out = held.add(features)
    if left_out:
        session.say(f"The panel is full: a group of {len(features)} does not fit.", "warning")
        return
    session.guarded(held.add_group, name, features)
    st.toast(f"Group “{plain(name)}” has one slider for {len(features)} features.")
