"""What a person has begun and not sent, and what they have labelled: each a link back to it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import streamlit as st

from app.draw.plain_text import cut, plain
from app.label.queue_view import own_items, people_at_work
from app.label.standing_labels import check_words
from app.session.engine import Engine
from app.session.pages import Page
from app.session.who import Me
from feature_db.label.events import Event
from feature_db.label.labels import Labels

__all__ = ["my_work", "offered_back"]

AT_ONCE = 8
"""Drafts named above the form"""
DRAFTS, LABELS = 20, 200
"""The latest so many are listed."""
CHOSEN = "my_work_feature"
"""State's key: the feature chosen in the dialog"""


def offered_back(engine: Engine, me: Me, at_hand: int | None) -> None:
    """One line above the form: drafts of other features, as a lease may have run out and nobody else knows of them."""
    with engine.store() as store:
        drafts = [draft for draft in Labels(store, me.name).drafts() if draft.feature != at_hand]
    if not drafts:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="label_drafts"):
        st.caption(
            f"{len(drafts)} draft{'' if len(drafts) == 1 else 's'} of yours, not sent yet:", width="content"
        )
        for draft in drafts[:AT_ONCE]:
            _to_form(draft, 0)
        if len(drafts) > AT_ONCE:
            st.caption("and more under *My work*", width="content")


def my_work(engine: Engine, me: Me, queue: int | None) -> None:
    """A button, and the dialog that it opens. Leaves for the feature that was chosen there."""
    if (feature := st.session_state.pop(CHOSEN, None)) is not None:
        st.switch_page(Page.FEATURE.path, query_params={"feature": str(feature)})
    if st.button("My work", icon=":material/person_edit:", key="label_my_work"):
        _dialog(engine, me, queue)


@st.dialog("My work", width="medium", icon=":material/person_edit:")
def _dialog(engine: Engine, me: Me, queue: int | None) -> None:
    """This queue, and this person's drafts and labels, read from the store when it is opened."""
    if queue is not None:
        if (taken := own_items(engine, me, queue)) is not None:
            st.query_params["take"] = str(taken)
            st.rerun()
        if me.may("make a queue"):
            with st.expander("Everybody in this queue"):
                people_at_work(engine, queue)
    with engine.store() as store:
        labels = Labels(store, me.name)
        drafts, own = labels.drafts(), labels.own(LABELS)
    st.markdown("**Drafts**, not sent yet")
    for draft in drafts[:DRAFTS]:
        _to_form(draft, 80)
    if not drafts:
        st.caption("None.")
    st.markdown(
        f"**Labels**, the latest {LABELS} first" if len(own) == LABELS else "**Labels**, latest first"
    )
    if own:
        _table(own)
    else:
        st.caption("None yet.")


def _to_form(draft: Event, width: int) -> None:
    began = cut(str(draft.data.get("text") or draft.data.get("note") or ""), width) if width else ""
    st.page_link(
        Page.LABEL.path,
        label=f"\\#{draft.feature}" + (f" “{plain(began)}”" if began else ""),
        query_params={"take": str(draft.feature)},
        icon=":material/edit_note:",
    )


def _table(own: Sequence[Event]) -> None:
    picked = st.dataframe(
        {
            "feature": [event.feature for event in own],
            "text": [event.text for event in own],
            "verdict": [event.verdict for event in own],
            "category": [event.category for event in own],
            "test": [check_words(event).removeprefix("test ") for event in own],
            "time (UTC)": [datetime.fromtimestamp(event.time / 1e6, UTC) for event in own],
        },
        hide_index=True,
        column_config={
            "feature": st.column_config.NumberColumn(format="#%d"),
            "time (UTC)": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm", timezone="UTC"),
        },
        on_select="rerun",
        selection_mode="single-row",
        key="my_labels",
    )
    st.caption("Tick a row to open its feature, with all its labels and its history.")
    rows = picked.selection.rows
    if rows and rows[0] < len(own):
        # Left from in here, the typed name would be lost: its box is no part of a dialog's run.
        st.session_state[CHOSEN] = own[rows[0]].feature
        st.rerun()
