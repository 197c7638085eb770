"""One run: what it was, what came of it as it was kept, and the ways on from it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime

import streamlit as st

from app.draw.plain_text import cut, plain
from app.runs.comparing import compared, in_words
from app.runs.kept import put_on_sliders
from app.runs.listing import KIND_WORDS, steering_in_words
from app.session import session
from app.session.engine import Engine
from app.session.pages import Page
from feature_db.runs import Run, Runs

__all__ = ["show_run"]

MADE_ON = {"find": Page.FIND, "evaluation": Page.EVALUATE, "learned": Page.LEARN, "proposal": Page.COMPARE}


def show_run(
    engine: Engine, uid: str, base: str, me: str, views: Mapping[str, Callable[[Run], None]]
) -> None:
    """The run as it was kept, nothing of it computed anew. Raises StoreError when it is not there."""
    with engine.store() as store:
        run = Runs(store).get(uid)
        may = Runs(store).may_delete(run, me)
    st.header(plain(cut(run.title, 120)), anchor=False)
    by = f" by {plain(run.author)}" if run.author else ""
    when = datetime.fromtimestamp(run.created / 1e6).strftime("%Y-%m-%d %H:%M")
    steering = "" if run.kind == "find" else f" · {plain(steering_in_words(run))}"
    st.caption(f"{KIND_WORDS[run.kind].capitalize()}{by} on {when} · {plain(run.data)}{steering}")
    if base and base != uid and run.kind == "evaluation":
        found = compared(engine, uid, base)
        with st.container(border=True):
            if found is None:
                st.write(
                    "The baseline was made on other items: no decision is in both, so nothing can be compared."
                )
            else:
                with engine.store() as store:
                    name = plain(steering_in_words(Runs(store).get(base)))
                first, *rest = in_words(found, f"the baseline ({name})")
                st.markdown(f"**{first}**")
                st.markdown("\n".join(f"- {sentence}" for sentence in rest))
    views[run.kind](run)
    _onward(engine, run, me, may)


def _onward(engine: Engine, run: Run, me: str, may: bool) -> None:
    page = MADE_ON[run.kind]

    def delete() -> None:
        def act() -> None:
            with engine.store() as store:
                Runs(store).delete(run.uid, me)
            st.query_params.pop("run", None)

        session.guarded(act)

    with st.container(horizontal=True, vertical_alignment="center", key="run_onward"):
        if run.kind in ("find", "evaluation", "learned"):
            st.page_link(
                page.path, label=f"Open on {page.title}", icon=page.icon, query_params={"run": run.uid}
            )
        if run.kind != "find" and json.loads(run.steering):
            there = json.loads(session.steering().current.to_json()) == json.loads(run.steering)
            st.button(
                "On the sliders" if there else "Put its steering on the sliders",
                on_click=put_on_sliders,
                args=(run,),
                disabled=there,
                icon=":material/tune:",
                key="run_sliders",
                help="Undo on the strip of the sliders takes it back",
            )
        if may:
            st.button(
                "Delete this run",
                on_click=delete,
                icon=":material/delete:",
                type="tertiary",
                key="run_delete",
            )
