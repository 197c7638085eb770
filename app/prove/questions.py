"""What is to be evaluated: a set of the project's corpus, or a person's own files; the model runs only here."""

from __future__ import annotations

import json
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.datasets.choice import IN_DATA_SET, choose_data_set, follow_address, warn_of_choice
from app.draw.columns import Check, as_answers, reader_for
from app.draw.files import UPLOADS
from app.draw.progress import encoding_bar
from app.prove.recipe import evaluated_by, record, show_kept
from app.runs.kept import Recipe, asked_run, keep_run, put_on_sliders, reopened, runs_link
from app.session import session
from app.session.engine import Engine
from feature_db import Store
from feature_db.runs import Runs
from sarm_core.prove.benchmarks.registry import BENCHMARKS
from sarm_core.prove.corpus import CORPUS_SETS
from sarm_core.prove.evaluated import Evaluated
from sarm_core.prove.outcome import Outcome
from sarm_core.steering import Steering
from sarm_core.text.answers import Reader

__all__ = ["benchmark_rows", "choose", "evaluated", "found_here", "keep_line", "reopen"]

IN_CORPUS = "The project's corpus"
COMPLEMENTS = ("none", "this tool's corpus", "my file")


def choose(engine: Engine, working: DeltaGenerator) -> None:
    """Where the items come from; the model runs only here."""
    follow_address("eval_source", IN_CORPUS)
    source = st.segmented_control(
        "Items", [IN_CORPUS, IN_DATA_SET, "My files"], required=True, key="eval_source"
    )
    if source == IN_DATA_SET:
        _from_data_set(engine, working)
        return
    if source == "My files":
        _from_files(engine, working)
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox(
            "Set",
            list(CORPUS_SETS),
            format_func=lambda name: CORPUS_SETS[name].title,
            key="eval_set",
            width=380,
        )
        go = st.button("Evaluate", type="primary", icon=":material/play_arrow:", key="eval_go")
    if go:
        _evaluate(engine, {"source": "corpus", "name": name}, [], working)


def _from_data_set(engine: Engine, working: DeltaGenerator) -> None:
    """The labels of a kept data set, or of a slice of it, as a benchmark of pairs."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = choose_data_set(engine, "eval_source")
        beside = st.toggle(
            "Complement: this tool's corpus",
            key="eval_beside",
            help="Answers the steering should leave alone: how many move, and which pairs change their order",
        )
        lacking = chosen is None
        go = st.button(
            "Evaluate", type="primary", icon=":material/play_arrow:", disabled=lacking, key="eval_go"
        )
    warn_of_choice(chosen)
    if go and chosen is not None:
        _evaluate(engine, {**chosen.recipe, "complement": beside}, [], working)


def _from_files(engine: Engine, working: DeltaGenerator) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kinds = list(BENCHMARKS)
        kind = st.segmented_control(
            "Format",
            kinds,
            default=kinds[0],
            format_func=lambda kind: BENCHMARKS[kind].title,
            required=True,
            key="eval_kind",
        )
        beside = st.segmented_control(
            "Complement",
            COMPLEMENTS,
            default=COMPLEMENTS[0],
            required=True,
            key="eval_complement",
            help="Answers the steering should leave alone: how many move, and which pairs change their order",
        )
        skip_bad = st.toggle(
            "Leave bad rows out", key="eval_skip", help="They are counted and listed, never hidden"
        )
    kind = kind or kinds[0]
    st.caption(f"{BENCHMARKS[kind].hint} JSONL, CSV, Parquet or Arrow; several files make one benchmark.")
    files = st.file_uploader(
        "Files",
        type=list(UPLOADS),
        accept_multiple_files=True,
        key="eval_files",
        label_visibility="collapsed",
    )
    reader = reader_for(f"eval_{kind}", files, benchmark_rows(kind))
    other, other_reader = None, None
    if beside == COMPLEMENTS[2]:
        other = st.file_uploader(
            "Complement: rows of answers, or of chosen and rejected",
            type=list(UPLOADS),
            key="eval_complement_file",
        )
        other_reader = reader_for("eval_complement", [other] if other else [], as_answers)
    lacking = not files or (beside == COMPLEMENTS[2] and other is None)
    go = st.button("Evaluate", type="primary", icon=":material/play_arrow:", disabled=lacking, key="eval_go")
    if go:
        given = [(file.name, file.getvalue()) for file in files]
        recipe = {
            "source": "files",
            "kind": kind,
            "skip_bad": skip_bad,
            "complement": "file" if other is not None else "corpus" if beside == COMPLEMENTS[1] else None,
            "reader": reader.choices(),
            "complement_reader": other_reader.choices() if other_reader else {},
        }
        given += [] if other is None else [(other.name, other.getvalue())]
        _evaluate(engine, recipe, given, working)


def benchmark_rows(kind: str) -> Check:
    """Reads rows as those of a benchmark."""

    def check(reader: Reader, source: str, number: int, row: dict[str, Any]) -> None:
        BENCHMARKS[kind].from_rows([(source, number, row)], reader=reader)

    return check


def _evaluate(
    engine: Engine, recipe: Recipe, files: list[tuple[str, bytes]], working: DeltaGenerator
) -> None:
    with encoding_bar(working) as progress:
        found = session.guarded(evaluated_by, engine, recipe, files, progress)
    if found is not None:
        _put(found, recipe, files)
        st.session_state["eval_to_keep"] = True


def _put(found: Evaluated, recipe: Recipe, files: list[tuple[str, bytes]]) -> None:
    st.session_state["evaluated"] = found
    st.session_state["eval_made_by"] = (recipe, files)
    st.session_state.pop("eval_outcome", None)


def reopen(engine: Engine, working: DeltaGenerator) -> bool:
    """Open the run that the address names, with its steering where the address has none; True where only what was kept
    of it is shown."""
    run = asked_run(engine, "evaluation")
    if run is None:
        return False
    if "s" not in st.query_params or st.session_state.get("evaluated") is not None:
        put_on_sliders(run)
    found = reopened(
        engine,
        run,
        working,
        lambda recipe, files, progress: evaluated_by(engine, recipe, files, progress),
        show_kept=show_kept,
    )
    if found is None:
        return True
    with engine.store() as store:
        _put(found, run.recipe, Runs(store).files(run.uid))
    return False


def keep_line(
    engine: Engine, of: Evaluated, found: Outcome, steering: Steering, *, found_here: bool = False
) -> None:
    """Keep what is on the page as a run, at once where Evaluate was pressed, else by a button."""
    recipe, files = st.session_state["eval_made_by"]

    def keep() -> None:
        made = record(of, found, steering, recipe, files, found_here=found_here)
        st.session_state["eval_kept"] = (id(of), steering.to_json(), keep_run(engine, made))

    if st.session_state.pop("eval_to_keep", False):
        keep()
    kept = st.session_state.get("eval_kept")
    uid = st.session_state.get("evaluation_run")
    here = kept is not None and kept[:2] == (id(of), steering.to_json())
    if not here and uid is not None:
        with engine.store() as store:
            here = session.guarded(_same_steering, store, uid, steering) or False
    if here:
        runs_link("evaluation")
    else:
        st.button(
            "Keep under this steering as a run",
            on_click=keep,
            icon=":material/bookmark_add:",
            key="eval_keep",
            help="The steering is not the one of the last run: kept, the two can be compared on Runs",
        )


def found_here(engine: Engine, steering: Steering) -> bool:
    """Whether the run on the page says that this steering's features were found on these same items."""
    uid = st.session_state.get("evaluation_run")
    if uid is None or st.session_state.get("eval_to_keep"):  # that run is still to be kept
        return False

    def act() -> bool:
        with engine.store() as store:
            return _same_steering(store, uid, steering) and bool(
                Runs(store).get(uid).result.get("found_here")
            )

    return bool(session.guarded(act))


def _same_steering(store: Store, uid: str, steering: Steering) -> bool:
    return json.loads(Runs(store).get(uid).steering) == (json.loads(steering.to_json()) if steering else {})


def evaluated(engine: Engine) -> Evaluated | None:
    """What was evaluated last, if this model did it."""
    of = st.session_state.get("evaluated")
    return of if isinstance(of, Evaluated) and of.fingerprint == engine.fingerprint else None
