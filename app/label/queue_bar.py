"""Choosing a queue, making one, and how far it is."""

from __future__ import annotations

import streamlit as st

from app.draw.plain_text import plain
from app.draw.popovers import close_popover, popover
from app.features.lists import list_name
from app.session import session
from app.session.engine import Engine
from app.session.who import Me
from feature_db import FeatureFilter
from feature_db.label.queues import NAMEABLE, REQUIRABLE, Queues
from feature_db.roles import People

__all__ = ["choose_queue", "first_admin", "make_queue", "progress"]

NAMING, UNLABELLED, ALL, LIST, DISPUTED, FLAGGED = (
    "What can be named",
    "Unlabelled features",
    "All features that fire",
    "A named list",
    "Disagreements",
    "Flagged features",
)
REQUIRED = ("verdict",)
"""What a new queue requires unless it is changed: without a verdict a label is no name."""


def choose_queue(engine: Engine, me: Me) -> int | None:
    """The queue in the address or chosen here; None while none is open."""
    with engine.store() as store:
        queues = [queue for queue in Queues(store, me.name).queues() if queue.closed is None]
    ids = [queue.id for queue in queues]
    if not ids:
        return None
    by_id = {queue.id: queue for queue in queues}
    asked = st.query_params.get("queue", "")
    if st.session_state.get("label_queue") not in ids:
        st.session_state["label_queue"] = next((i for i in ids if str(i) == asked), ids[0])
    chosen: int = st.selectbox(
        "Queue",
        ids,
        key="label_queue",
        format_func=lambda i: f"{by_id[i].name} ({by_id[i].size:,})" if i in by_id else str(i),
        on_change=_leave_feature,
        persist_state="session",
        label_visibility="collapsed",
        width=210,
    )
    if st.query_params.get("queue") != str(chosen):
        st.query_params["queue"] = str(chosen)
    return chosen


def progress(engine: Engine, me: Me, queue: int) -> None:
    """Own and overall progress."""
    with engine.store() as store:
        now = Queues(store, me.name).progress(queue)
    done = now.done / now.wanted if now.wanted else 0.0
    st.progress(
        min(1.0, done),
        text=f"{now.done:,} of {now.wanted:,} labels in · you: {now.own_done:,} labelled, {now.own_skipped:,} skipped "
        f"· {now.leased:,} being worked on",
        width="stretch",
    )


def make_queue(engine: Engine, me: Me) -> None:
    """A popover with the form; who may not make queues is told who can. Under it, closing the queues there are."""
    with popover("queue_form", "New queue", icon=":material/playlist_add:"):
        if not me.may("make a queue"):
            st.caption("To make a queue takes an adjudicator or an admin.")
            first_admin(engine, me)
            _switch_queues(engine, me)
            return
        with engine.store() as store:
            lists = {i.id: f"{list_name(i, me.name)} ({i.size})" for i in store.lists() if i.size}
        kinds = [NAMING, UNLABELLED, ALL, DISPUTED, FLAGGED, *([LIST] if lists else [])]
        kind = st.selectbox("Features", kinds, key="queue_kind")
        if kind == NAMING:
            st.caption(
                "Unlabelled, active in 0.1 to 5 % of positions; first those whose suggested name nearly holds, then by "
                "how much they move rewards."
            )
        if kind == LIST:
            st.selectbox("List", list(lists), format_func=lambda i: lists.get(i, str(i)), key="queue_list")
        st.text_input("Name", key="queue_name", max_chars=100, placeholder=kind)
        st.number_input("At most", 1, 1_000_000, 200, key="queue_limit", help="Largest |w| × mean z first")
        st.number_input(
            "People a feature (overlap)",
            1,
            100,
            1,
            key="queue_overlap",
            help="Agreement can be measured where at least two people label the same feature",
        )
        st.pills(
            "Required beside the name",
            REQUIRABLE,
            selection_mode="multi",
            default=REQUIRED,
            format_func=str.capitalize,
            key="queue_required",
            help="Kept with the queue: a label from it is not taken without them. A label without a verdict of 3 or "
            "more is not shown as the feature's name.",
        )
        st.number_input("Minutes a feature is held for one person", 1, 10_080, 15, key="queue_minutes")
        st.button("Make the queue", type="primary", key="queue_make", on_click=_make, args=(engine, me, kind))
        _switch_queues(engine, me)


def _switch_queues(engine: Engine, me: Me) -> None:
    """Close a queue or open it again; nothing is drawn for who may do neither with any."""
    with engine.store() as store:
        queues = Queues(store, me.name).queues()
    mine = {queue.id: queue for queue in queues if me.may("close a queue") or queue.made_by == me.name}
    if not mine or not me.name:
        return
    names = {i: queue.name + (" · closed" if queue.closed else "") for i, queue in mine.items()}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox(
            "Close a queue, or open it again",
            list(mine),
            format_func=lambda i: names.get(i, str(i)),
            key="queue_switched",
            help="A closed queue lends nothing and hides nobody's labels. What was done in it stays, and it can be "
            "opened again.",
        )
        closed = mine[chosen].closed is not None
        st.button(
            "Open again" if closed else "Close",
            icon=":material/lock_open:" if closed else ":material/lock:",
            key="queue_switch",
            on_click=_switch,
            args=(engine, me, chosen, closed),
        )


def _switch(engine: Engine, me: Me, queue: int, closed: bool) -> None:
    def switch() -> None:
        with engine.store() as store:
            queues = Queues(store, me.name)
            (queues.reopen if closed else queues.close)(queue)
        session.say("The queue is open again." if closed else "The queue is closed.", "success")

    session.guarded(switch)


def first_admin(engine: Engine, me: Me) -> None:
    """A store without an admin takes its first one; nothing is drawn once there is one."""
    if me.admins or not me.name:
        return
    st.caption(
        "This store has no admin yet. Its first one gives the roles, makes queues, edits categories and imports; it "
        "can be passed on later."
        + ("" if me.proven else " Sign-in is not configured, so whoever types this name is the admin.")
    )
    st.button(
        "Become the first admin",
        key="first_admin",
        icon=":material/shield_person:",
        help=f"Makes {plain(me.name)} the admin of this store",
        on_click=_first_admin,
        args=(engine, me),
    )


def _first_admin(engine: Engine, me: Me) -> None:
    def make() -> None:
        with engine.store() as store:
            People(store).become_first_admin(me.name)
        session.say(f"{plain(me.name)} is the admin of this store.", "success")

    session.guarded(make)


def _leave_feature() -> None:
    """Callback: another queue was chosen."""
    st.query_params.pop("feature", None)


def _make(engine: Engine, me: Me, kind: str) -> None:
    state = st.session_state
    filters = {
        NAMING: NAMEABLE,
        UNLABELLED: FeatureFilter(labelled=False, dead=False),
        ALL: FeatureFilter(dead=False),
        DISPUTED: FeatureFilter(disputed=True),
        FLAGGED: FeatureFilter(flagged=True),
        LIST: FeatureFilter(list_id=state.get("queue_list")),
    }[kind]

    def make() -> int:
        with engine.store() as store:
            return Queues(store, me.name).make(
                (state.get("queue_name") or "").strip() or kind,
                filters,
                sort="nameable" if kind == NAMING else "effect",
                required=state.get("queue_required") or (),
                limit=int(state["queue_limit"]),
                overlap=int(state["queue_overlap"]),
                lease_seconds=60 * int(state["queue_minutes"]),
            )

    made = session.guarded(make)
    if made is not None:
        state["label_queue"] = made
        st.query_params.pop("feature", None)
        close_popover("queue_form")
