"""Named lists of features: whose each is, and the control with which its owner renames or deletes it."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.draw.plain_text import plain
from app.draw.popovers import close_popover, popover
from app.session import session
from app.session.engine import Engine
from feature_db.label_values import folded
from feature_db.saved_work import BOOKMARKS, FeatureList

__all__ = ["changeable_list", "list_name", "manage_list"]


def list_name(item: FeatureList, me: str) -> str:
    """The list's name, with its owner when that is not `me`: everybody has a list of bookmarks."""
    return item.name if folded(item.owner) == folded(me) else f"{item.name} of {item.owner or 'no name'}"


def changeable_list(engine: Engine, lists: Sequence[FeatureList], number: int, me: str) -> FeatureList | None:
    """The list of that number, if there is one and it is for `me` to change."""
    with engine.store() as store:
        if not store.may_change_list(number, me):
            return None
    return next((item for item in lists if item.id == number), None)


def manage_list(engine: Engine, item: FeatureList, me: str) -> None:
    """A popover to rename or delete the list; draw it only for who may change it."""
    with popover("list_form", "Manage list", icon=":material/edit_note:"):
        if item.name == BOOKMARKS:
            st.caption("This list keeps its name: the bookmark button fills it.")
        else:
            st.text_input("Name", value=item.name, key=f"list_rename_{item.id}", max_chars=100)
            st.button("Rename", key="list_rename", on_click=_rename, args=(engine, item, me))
        st.caption("Deleting it takes no feature out of the store.")
        st.button(
            "Delete the list",
            key="list_delete",
            icon=":material/delete:",
            on_click=_delete,
            args=(engine, item, me),
        )


def _rename(engine: Engine, item: FeatureList, me: str) -> None:
    """Callback."""

    def rename() -> None:
        with engine.store() as store:
            store.rename_list(item.id, st.session_state[f"list_rename_{item.id}"], me)
        # Streamlit 1.67 keeps the chosen option's old title in the browser, and would not know it at the next run.
        st.session_state["f_list"] = 0
        close_popover("list_form")
        session.say(f"The list “{plain(item.name)}” has its new name.", "success")

    session.guarded(rename)


def _delete(engine: Engine, item: FeatureList, me: str) -> None:
    """Callback."""

    def delete() -> None:
        with engine.store() as store:
            store.delete_list(item.id, me)
        st.session_state["f_list"] = 0
        close_popover("list_form")
        session.say(f"The list “{plain(item.name)}” is deleted.", "success")

    session.guarded(delete)
