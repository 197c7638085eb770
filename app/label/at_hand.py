"""The feature at hand: its evidence beside the form, the ways to another one, and what comes after a label."""

from __future__ import annotations

import streamlit as st

from app.draw.plain_text import plain
from app.features.view import colour_scale
from app.label.evidence_column import SHOWN, evidence, read_evidence
from app.label.label_check import check_running, draw_check
from app.label.label_fields import Fields
from app.label.label_form import label_form
from app.label.my_work import offered_back
from app.label.panes import panes
from app.label.queue_bar import progress
from app.label.standing_labels import after_submitting, history, standing_labels
from app.label.work import Item, Work
from app.session import session
from app.session.engine import Engine
from app.session.pages import Page
from app.session.person import ask_who
from app.session.who import Me
from feature_db import FeatureView
from feature_db.features.evidence import StoredExample
from feature_db.label.labels import Labels

__all__ = ["label_at_hand", "may_label"]


def may_label(me: Me) -> bool:
    """Whether this person can label here; asks for a name or says why not."""
    if not me.name:
        ask_who()
        return False
    if not me.may("label"):
        st.info(f"{plain(me.name)} is a reader here: labels can be read, not written. Ask an admin.")
        return False
    return True


def label_at_hand(engine: Engine, me: Me, work: Work) -> None:
    """All below the head of the page."""
    ways = st.container(horizontal=True, vertical_alignment="center", key="label_ways")
    try:
        item = work.item()
        view, found = read_evidence(engine, item.feature) if item is not None else (None, [])
    except session.Errors as error:
        st.error(plain(str(error)), icon=":material/error:")
        st.button("To the queue", on_click=work.forward, key="label_forward")
        return
    st.session_state["label_shown"] = item
    with ways:
        _ways(work, item)
        if work.queue is not None:  # after the claim, so that it counts
            progress(engine, me, work.queue)
    offered_back(engine, me, item.feature if item is not None else None)
    if item is None or view is None:
        _nothing_left(engine, me, work)
    else:
        _item(engine, me, work, item, view, found)


def _ways(work: Work, item: Item | None) -> None:
    nothing = "No queue yet" if work.queue is None else "Nothing left"
    st.header(f"Feature {item.feature}" if item else nothing, anchor=False, width="content")
    if work.queue is not None:
        st.button("Back", key="label_back", shortcut="B", on_click=work.back, args=(item,))
    st.button("Undo", key="label_undo", shortcut="U", on_click=work.undo, args=(item,))
    if item is not None and item.assignment is None and work.queue is not None:
        st.button("To the queue", on_click=work.forward, key="label_forward", shortcut="N")
    if item is not None:
        st.page_link(Page.FEATURE.path, label="Open its page", query_params={"feature": str(item.feature)})


def _nothing_left(engine: Engine, me: Me, work: Work) -> None:
    if work.queue is None:
        st.info(
            "There is no queue yet: make one with “New queue” above."
            + ("" if me.admins else " That takes an admin; this store's first one is made there too."),
            icon=":material/playlist_add:",
        )
    else:
        st.success(
            "Nothing is left for you in this queue: every feature is labelled, skipped by you, or with somebody else "
            "now. Choose another queue, or look at the disagreements.",
            icon=":material/check:",
        )
    if (last := work.last()) is not None:
        after_submitting(engine, me, last)


def _item(
    engine: Engine, me: Me, work: Work, item: Item, view: FeatureView, found: list[StoredExample]
) -> None:
    last = work.last()
    fields = Fields(engine, me.name, item.feature, item.assignment)
    place = panes()
    top = [example for example in found if example.kind == "top"][:SHOWN]
    label_form(engine, me, work, item, fields, top, place)
    if last is not None and last != item.feature:
        with place.body:
            after_submitting(engine, me, last)
    with place.left:
        if check_running(engine, item.feature, me.name):
            draw_check(engine, colour_scale(view.record, found))
        else:
            with st.container(key="label_evidence"):
                evidence(engine, me, view, found, fields.use)
        with engine.store() as store:
            visible = Labels(store, me.name).visible(item.feature)
        if visible:
            st.markdown("### All labels of this feature")
            standing_labels(engine, me, visible, "here")
            history(engine, me, item.feature)
