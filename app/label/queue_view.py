"""A queue as a list: what of it is pending, begun, skipped and done, and how fast each person works."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import streamlit as st

from app.session.engine import Engine
from app.session.who import Me
from feature_db.label.queue_work import STATES, persons_work, queue_items

__all__ = ["own_items", "people_at_work"]

SHOWN = 500


def own_items(engine: Engine, me: Me, queue: int) -> int | None:
    """The queue's features by what they are to this person; returns the one that was ticked."""
    with engine.store() as store:
        items = queue_items(store, queue, me.name)
    counts = Counter(item.state for item in items)
    state = st.segmented_control(
        "This queue, for you",
        STATES,
        format_func=lambda name: f"{name.capitalize()} ({counts[name]:,})",
        default=next((name for name in ("draft", "pending") if counts[name]), "done"),
        required=True,
        key="queue_state",
    )
    found = [item for item in items if item.state == state]
    if not found:
        st.caption(f"Nothing of this queue is {state}." + (_filled(counts) if state == "pending" else ""))
        return None
    picked = st.dataframe(
        {
            "feature": [item.feature for item in found[:SHOWN]],
            "text": [item.text for item in found[:SHOWN]],
        },
        hide_index=True,
        column_config={"feature": st.column_config.NumberColumn(format="#%d", width=90)},
        on_select="rerun",
        selection_mode="single-row",
        height=min(260, 38 + 35 * len(found)),
        key=f"queue_items_{state}",
    )
    st.caption(
        (f"The first {SHOWN} in the queue's order. " if len(found) > SHOWN else "In the queue's order. ")
        + "Tick a row to work on it."
        + _filled(counts)
    )
    rows = picked.selection.rows
    return found[rows[0]].feature if rows and rows[0] < len(found) else None


def _filled(counts: Counter[str]) -> str:
    return f" {counts['filled']:,} more are labelled by others." if counts["filled"] else ""


def people_at_work(engine: Engine, queue: int) -> None:
    """For whoever runs the queue: each person's labels, what is left for them, and their pace."""
    with engine.store() as store:
        work = persons_work(store, queue)
    if not work:
        st.caption("Nobody has begun with this queue.")
        return
    done = sum(person.done for person in work)
    paces = [person.per_hour for person in work if person.per_hour is not None]
    st.markdown(
        f"**{done:,} label{'' if done == 1 else 's'} by {len(work):,} {'person' if len(work) == 1 else 'people'}**"
        + (f", {sum(paces) / len(paces):,.0f} an hour each while they worked" if paces else "")
    )
    st.dataframe(
        {
            "who": [person.name for person in work],
            "done": [person.done for person in work],
            "skipped": [person.skipped for person in work],
            "drafts": [person.drafts for person in work],
            "left": [person.left for person in work],
            "labels per hour": [
                "too few to say" if person.per_hour is None else f"{person.per_hour:,.0f}" for person in work
            ],
            "last (UTC)": [
                None if person.last is None else datetime.fromtimestamp(person.last / 1e6, UTC)
                for person in work
            ],
        },
        hide_index=True,
        column_config={
            "last (UTC)": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm", timezone="UTC")
        },
    )
    st.caption(
        "Pauses of more than ten minutes are left out of the pace; left is what waits for a label of theirs."
    )
