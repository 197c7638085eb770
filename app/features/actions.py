"""What can be done with chosen features: read one, put them on the sliders, bookmark them, put them on a list."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.draw.plain_text import plain
from app.features.view import open_feature
from app.session import session
from app.session.engine import Engine
from feature_db.label_values import folded
from feature_db.saved_work import FeatureList

__all__ = ["feature_actions"]


def feature_actions(
    engine: Engine, lists: Sequence[FeatureList], me: str, picked: list[int], shown_list: int | None
) -> None:
    """What can be done with the chosen rows: draws buttons for `picked`; `shown_list` is the list they are on, if
    there is one that `me` may change."""
    if not picked:
        st.caption("Click a number to read that feature; tick rows to put them on the sliders or on a list.")
        return
    named_here = ", ".join(f"#{i}" for i in picked[:6]) + (" …" if len(picked) > 6 else "")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{named_here}**")
        st.button(
            "Open",
            on_click=open_feature,
            args=(picked[0],),
            icon=":material/open_in_full:",
            key="open_picked",
        )
        st.button(
            "Add to sliders", on_click=_add_to_sliders, args=(picked,), icon=":material/tune:", type="primary"
        )
        st.button("Bookmark", on_click=_bookmark, args=(engine, me, picked), icon=":material/bookmark_add:")
        with st.popover("Add to list", icon=":material/playlist_add:"), st.form("list", border=False):
            own = [item for item in lists if folded(item.owner) == folded(me)]
            name = st.selectbox(
                "List",
                [item.name for item in own],
                index=None,
                placeholder="Choose one, or type a new name",
                accept_new_options=True,
                key="list_name",
            )
            if not me:
                st.caption("Without a name in the sidebar the list belongs to everyone who gives none.")
            if st.form_submit_button("Add", type="primary"):
                _put_on_list(engine, me, picked, name or "")
                st.rerun()
        if shown_list is not None:
            st.button(
                "Take off this list",
                on_click=_take_off,
                args=(engine, me, picked, shown_list),
                icon=":material/playlist_remove:",
            )


def _add_to_sliders(features: list[int]) -> None:
    """Callback."""
    left_out = session.steering().add(features)
    done = len(features) - len(left_out)
    session.say(f"{done} features are on the sliders of Compare and steer.", "success")
    if left_out:
        session.say(f"The panel is full: {len(left_out)} features were not added.", "warning")


def _put_on_list(engine: Engine, me: str, features: list[int], name: str) -> None:
    def put() -> None:
        with engine.store() as store:
            number = store.make_list(name, me)
            for feature in features:
                store.add_to_list(number, feature, by=me)
        session.say(f"{len(features)} features are on the list “{plain(name)}”.", "success")

    session.guarded(put)


def _bookmark(engine: Engine, me: str, features: list[int]) -> None:
    """Callback."""

    def put() -> None:
        with engine.store() as store:
            for feature in features:
                store.bookmark(feature, me)
        session.say(f"{len(features)} features bookmarked.", "success")

    session.guarded(put)


def _take_off(engine: Engine, me: str, features: list[int], number: int) -> None:
    """Callback."""

    def take() -> None:
        with engine.store() as store:
            for feature in features:
                store.remove_from_list(number, feature, by=me)

    session.guarded(take)
