"""What is to be evaluated: a set of the project's corpus, or a person's own files; the model runs only here."""

from __future__ import annotations

from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.datasets.choice import IN_DATA_SET, choose_data_set, follow_address, warn_of_choice
from app.draw.columns import Check, as_answers, reader_for
from app.draw.files import UPLOADS
from app.draw.progress import encoding_bar
from app.prove.evaluation import CORPUS, evaluate_corpus, evaluate_upload
from app.session import session
from app.session.engine import Engine
from sarm_core.prove.benchmarks.registry import BENCHMARKS
from sarm_core.prove.corpus import CORPUS_SETS
from sarm_core.prove.evaluated import Evaluated
from sarm_core.text.answers import Reader

__all__ = ["benchmark_rows", "choose", "evaluated"]

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
        with encoding_bar(working) as progress:
            _keep(session.guarded(lambda: evaluate_corpus(engine, name, progress)))


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
        with encoding_bar(working) as progress:
            _keep(
                session.guarded(
                    lambda: evaluate_upload(
                        engine,
                        [chosen.file(engine)],
                        "pairs",
                        complement=CORPUS if beside else None,
                        reader=chosen.reader,
                        progress=progress,
                    )
                )
            )


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
        complement = CORPUS if beside == COMPLEMENTS[1] else None
        if other is not None:
            complement = (other.name, other.getvalue())
        given = [(file.name, file.getvalue()) for file in files]
        with encoding_bar(working) as progress:
            _keep(
                session.guarded(
                    lambda: evaluate_upload(
                        engine,
                        given,
                        kind,
                        skip_bad=skip_bad,
                        complement=complement,
                        reader=reader,
                        complement_reader=other_reader,
                        progress=progress,
                    )
                )
            )


def benchmark_rows(kind: str) -> Check:
    """Reads rows as those of a benchmark."""

    def check(reader: Reader, source: str, number: int, row: dict[str, Any]) -> None:
        BENCHMARKS[kind].from_rows([(source, number, row)], reader=reader)

    return check


def _keep(found: Evaluated | None) -> None:
    if found is not None:
        st.session_state["evaluated"] = found
        st.session_state.pop("eval_outcome", None)


def evaluated(engine: Engine) -> Evaluated | None:
    """What was evaluated last, if this model did it."""
    of = st.session_state.get("evaluated")
    return of if isinstance(of, Evaluated) and of.fingerprint == engine.fingerprint else None
