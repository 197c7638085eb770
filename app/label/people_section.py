"""People, roles and categories, for admins."""

from __future__ import annotations

import streamlit as st

from app.draw.plain_text import plain
from app.label.queue_bar import first_admin
from app.label.queue_view import people_at_work
from app.label.trials_view import score_sentence
from app.session import session
from app.session.engine import Engine
from app.session.who import Me
from feature_db.label.counts import label_counts
from feature_db.label.labels import categories, set_categories
from feature_db.label.queues import Queues
from feature_db.label.same_people import merge_people, spelled_apart
from feature_db.label.trials import Trials
from feature_db.roles import EVERYONE, ROLES, People

__all__ = ["people_section", "who_did_what"]


def who_did_what(engine: Engine) -> None:
    """Each queue that is open with who does what in it, and what people could tell by names."""
    with engine.store() as store:
        queues = [queue for queue in Queues(store, "").queues() if queue.closed is None]
        scores = Trials(store, "").everybody()
        counts = label_counts(store)
    of = f"{counts.people:,} {'person' if counts.people == 1 else 'people'}"
    st.markdown(
        f"**{counts.labels:,} label{'' if counts.labels == 1 else 's'} of {of} stand**, and {len(queues):,} "
        f"queue{' is' if len(queues) == 1 else 's are'} open."
    )
    if queues:
        by_id = {queue.id: queue for queue in queues}
        chosen = st.selectbox(
            "Queue",
            list(by_id),
            format_func=lambda i: by_id[i].name if i in by_id else str(i),
            key="people_queue",
        )
        people_at_work(engine, chosen)
    st.markdown("## Told by the name")
    if not scores:
        st.caption("Nobody compared names or looked for the odd one out yet: ways of working on *Label*.")
    for who, score in scores:
        kind = "comparing names" if score.kind == "names" else "odd one out"
        st.markdown(f"{kind.capitalize()}. {score_sentence(score, plain(who))}")


def people_section(engine: Engine, me: Me) -> None:
    """Who has which role; an admin changes it."""
    with engine.store() as store:
        known = People(store).all()
        default = People(store).role(EVERYONE)
        names = categories(store)
    st.dataframe(
        {"name": [*known, "everyone else"], "role": [*known.values(), default]}, hide_index=True, width=420
    )
    if not me.proven:
        st.caption("Sign-in is not configured: roles keep order here, they do not prove who somebody is.")
    first_admin(engine, me)
    if not me.may("give roles"):
        st.caption("Roles and categories are changed by an admin.")
        return
    with engine.store() as store:
        apart = spelled_apart(store)
    if apart:
        pairs = "; ".join(
            f"{plain(', '.join(others))} is {plain(stands)}" for stands, others in apart.items()
        )
        st.markdown(f"Names that differ in case only are one person: {pairs}.")
        st.button("Make them one", key="people_merge", on_click=_merge, args=(engine, me))
    with st.form("role_form", clear_on_submit=True, border=False):
        row = st.container(horizontal=True, vertical_alignment="bottom")
        row.text_input("Name (* for everyone else)", key="role_name", max_chars=100, width=260)
        row.selectbox("Role", ROLES, index=1, key="role_role", width=180)
        row.form_submit_button("Give role", key="role_go", on_click=_give, args=(engine, me))
    with st.form("category_form", border=False):
        st.text_area("Categories, one a line", "\n".join(names), key="category_names")
        st.form_submit_button("Set categories", key="category_go", on_click=_categories, args=(engine, me))


def _merge(engine: Engine, me: Me) -> None:
    def merge() -> None:
        with engine.store() as store:
            merge_people(store, me.name)
        session.say("They are one person now.", "success")

    session.guarded(merge)


def _give(engine: Engine, me: Me) -> None:
    def give() -> None:
        with engine.store() as store:
            People(store).set_role(me.name, st.session_state["role_name"], st.session_state["role_role"])
        session.say("The role is given.", "success")

    session.guarded(give)


def _categories(engine: Engine, me: Me) -> None:
    def change() -> None:
        wanted = [line for line in st.session_state["category_names"].splitlines() if line.strip()]
        with engine.store() as store:
            set_categories(store, me.name, wanted)
        session.say("The list of categories is set; labels keep what they have.", "success")

    session.guarded(change)
