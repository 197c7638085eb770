"""A run in the address of a page: kept when it was made, opened again by a reload or a link."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.draw.plain_text import plain
from app.draw.progress import NotKept, encoding_bar, only_kept
from app.session import session
from app.session.engine import Engine
from app.session.pages import Page
from app.session.person import whoever
from feature_db import StoreError
from feature_db.runs import Run, RunRecord, Runs
from sarm_core.score.encoded import Progress
from sarm_core.steering import Steering

__all__ = [
    "Recipe",
    "asked_run",
    "figures_differ",
    "keep_run",
    "numbers",
    "plain_values",
    "put_on_sliders",
    "reopened",
    "runs_link",
]

Recipe = Mapping[str, Any]
Files = list[tuple[str, bytes]]
T = TypeVar("T")


def keep_run(engine: Engine, of: RunRecord, *, in_address: bool = True) -> str | None:
    """Keep what was just made, and name it in the address; None for a visitor, and with a message where the store does
    not take it."""

    def act() -> str | None:
        with engine.store() as store:
            # A visitor keeps nothing, which the sidebar says.
            return None if store.looks_only else Runs(store).keep(of, whoever())

    uid = session.guarded(act)
    if uid is not None and in_address:
        st.query_params["run"] = uid
        st.session_state[f"{of.kind}_run"] = uid
    return uid


def asked_run(engine: Engine, kind: str) -> Run | None:
    """The run of this kind that the address names, once; None where there is none or it is on the page already."""
    uid = st.query_params.get("run", "")
    if not uid or st.session_state.get(f"{kind}_run") == uid:
        return None
    try:
        with engine.store() as store:
            found = Runs(store).get(uid)
    except StoreError as error:
        session.say(plain(str(error)), "warning")
        del st.query_params["run"]
        return None
    return found if found.kind == kind else None


def reopened(
    engine: Engine,
    run: Run,
    working: DeltaGenerator,
    make: Callable[[Recipe, Files, Progress], T],
    *,
    show_kept: Callable[[Run], None],
) -> T | None:
    """What a run made, made again from what is encoded; None, with what was kept of it, where the model would have to
    read, or its data is gone. A button reads it then."""
    with engine.store() as store:
        files = Runs(store).files(run.uid)
    read = st.session_state.pop("run_read", None) == run.uid
    try:
        if read:
            with encoding_bar(working) as progress:
                found = make(run.recipe, files, progress)
        else:
            with st.spinner("Opening the run …"):
                found = make(run.recipe, files, only_kept)
    except NotKept:
        show_kept(run)
        st.button(
            "Read the answers again",
            on_click=lambda: st.session_state.update(run_read=run.uid),
            icon=":material/refresh:",
            key="run_read_go",
            help="What was encoded of them is gone from the cache",
        )
        return None
    except session.Errors as error:
        st.warning(
            f"This is what was kept of the run; it cannot be made again: {plain(str(error))}",
            icon=":material/history:",
        )
        show_kept(run)
        return None
    st.session_state[f"{run.kind}_run"] = run.uid
    return found


def figures_differ(run: Run, made: RunRecord) -> None:
    """Say so where what was made again is not what was kept: its slice or the program changed since."""
    for name, kept in run.figures.items():
        now = made.figures.get(name)
        same = (
            math.isclose(kept, now, rel_tol=1e-6, abs_tol=1e-9)
            if isinstance(kept, int | float) and isinstance(now, int | float)
            else kept == now
        )
        if not same:
            session.say(
                f"Made again, this run gives {plain(name)} {now} where {kept} was kept: its data set, or the program, "
                "changed since. *Runs* shows what was kept.",
                "warning",
            )
            return


def put_on_sliders(run: Run) -> None:
    """Callback: the steering of a run onto the sliders; *Undo* takes it back."""
    session.guarded(lambda: session.steering().load(Steering.from_json(run.steering)))


def runs_link(kind: str) -> None:
    """The way from a result to the table of runs; the address names the run, so that a reload opens it."""
    uid = st.session_state.get(f"{kind}_run")
    if uid is None:
        return
    if st.query_params.get("run") != uid:
        st.query_params["run"] = uid
    st.page_link(Page.RUNS.path, label="Kept as a run: compare it with others", icon=Page.RUNS.icon)


def plain_values(values: Mapping[Any, Any]) -> dict[str, Any]:
    """A row as JSON holds it: NaN is null, numbers of numpy are Python's."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        value = value.item() if hasattr(value, "item") else value
        found[str(name)] = None if isinstance(value, float) and value != value else value
    return found


def numbers(**values: float | int | None) -> dict[str, float | int | None]:
    """Figures as JSON holds them: what is no number is null."""
    return {
        name: None
        if value is None or not math.isfinite(value)
        else value.item()
        if hasattr(value, "item")
        else value
        for name, value in values.items()
    }
