"""What is to be told apart: two values of the project's corpus, or a person's own files; the model runs only here."""

from __future__ import annotations

from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.datasets.choice import choose_data_set, warn_of_choice
from app.draw.columns import as_answers, reader_for
from app.draw.files import UPLOADS
from app.draw.progress import encoding_bar
from app.find.found import STARTING_AXES, Found
from app.find.recipe import found_by, record, show_kept
from app.runs.kept import Recipe, asked_run, figures_differ, keep_run, reopened
from app.session import session
from app.session.engine import Engine
from sarm_core.demo import corpus
from sarm_core.find.bias_pairs import BIASES
from sarm_core.prove.benchmarks.rm_bench import STYLES, RMBench
from sarm_core.text.answers import Reader

__all__ = [
    "IN_CORPUS",
    "IN_FILES",
    "from_corpus_form",
    "from_data_set_form",
    "from_files_form",
    "last_found",
    "reopen",
]

IN_CORPUS = "The project's corpus"
IN_FILES = ("My pairs", "Two sets of answers", "A bias, in my answers", "Styles of RM-Bench")


def from_corpus_form(engine: Engine, working: DeltaGenerator) -> None:
    """A question about the project's corpus, in which it is known what was varied."""
    choices = [*STARTING_AXES, "another axis …"]
    n_prompts = len({answer.prompt_id for answer in corpus.answers()})
    with st.container(horizontal=True, vertical_alignment="bottom"):
        question = st.selectbox("Question", choices, key="find_question", width=320)
        if question in STARTING_AXES:
            axis, with_, without = STARTING_AXES[question]
        else:
            every = corpus.axes()
            axis = st.selectbox("What was varied", list(every), key="find_axis", width=180)
            values = list(every[axis])
            with_ = st.selectbox("Value", values, key="find_with", width=180)
            others = [value for value in values if value != with_]
            without = st.selectbox("against", others, key="find_without", width=180)
        go = st.button("Find", type="primary", icon=":material/search:", key="find_go")
    st.caption(
        f"{len(corpus.answers())} answers to {n_prompts} prompts come with this tool; what was varied in "
        "each is known. What this model has not read yet it reads once; the rest is arithmetic."
    )
    if go:
        _find(engine, {"source": "corpus", "axis": axis, "with": with_, "without": without}, [], working)


def from_data_set_form(engine: Engine, working: DeltaGenerator) -> None:
    """What tells the better answers of a kept data set, or of a slice of it, from the worse ones."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = choose_data_set(engine, "find_source")
        with_corpus = _complement_toggle()
        go = st.button(
            "Find", type="primary", icon=":material/search:", disabled=chosen is None, key="find_go"
        )
    st.caption("What the better answers have and the worse ones have not, as the rows' labels say it.")
    warn_of_choice(chosen)
    if go and chosen is not None:
        _find(engine, {**chosen.recipe, "complement": with_corpus}, [], working)


def _complement_toggle() -> bool:
    return st.toggle(
        "Complement: this tool's corpus",
        key="find_complement",
        help="Also shows how much each feature fires in answers that have nothing to do with the question",
    )


def from_files_form(engine: Engine, source: str, working: DeltaGenerator) -> None:
    """A question about a person's own files; `source` is one of `SOURCES`."""
    hints = {
        "My pairs": "Rows of `prompt` + `chosen` + `rejected`, or of a public data set (JSONL, CSV, Parquet or Arrow).",
        "Two sets of answers": "Each set is all the text files of a folder (`.txt`, `.md`, UTF-8, one answer a file), "
        "or files with rows of `prompt` + `response` or `messages`. They need not be pairs.",
        "A bias, in my answers": "Rows of `prompt` + `response` or `messages`, or text files (one answer a file). From "
        "each answer a second one is made by rule that differs in one thing.",
        "Styles of RM-Bench": "An RM-Bench file: the same content in three styles.",
    }
    st.caption(hints[source])
    two_sets, one_file = source == "Two sets of answers", source in ("My pairs", "Styles of RM-Bench")
    with st.container(horizontal=True):
        sets = [
            st.file_uploader(
                label,
                type=list(UPLOADS) if one_file else [*UPLOADS, "txt", "md"],
                accept_multiple_files=True,
                key=f"find_files_{source}_{label}",
                label_visibility="visible" if two_sets else "collapsed",
            )
            for label in (("One set", "The other set") if two_sets else ("File",))
        ]
    # One reader a set: their files may name their columns differently.
    check = {"My pairs": _as_pairs, "Styles of RM-Bench": _as_styles}.get(source, as_answers)
    readers = [reader_for(f"find_{source}_{number}", files, check) for number, files in enumerate(sets)]
    bias = styles = None
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if source == "A bias, in my answers":
            bias = st.selectbox("Bias", list(BIASES), key="find_bias", width=220)
        if source == "Styles of RM-Bench":
            pairs = [(a, b) for i, a in enumerate(STYLES) for b in STYLES[:i]][::-1]
            styles = st.selectbox("Styles", pairs, format_func=" against ".join, key="find_styles", width=260)
        with_corpus = _complement_toggle()
        ready = all(sets) and not (one_file and len(sets[0]) > 1)
        go = st.button("Find", type="primary", icon=":material/search:", disabled=not ready, key="find_go")
    if one_file and len(sets[0]) > 1:
        st.warning(f"{len(sets[0])} files are chosen; this question takes one.")
    if not go:
        return
    sorted_sets = [sorted((file.name, file.getvalue()) for file in files) for files in sets]
    recipe = {
        "source": source,
        "first": len(sorted_sets[0]),
        "readers": [reader.choices() for reader in readers],
        "complement": with_corpus,
        **({"bias": bias} if bias else {}),
        **({"styles": list(styles)} if styles else {}),
    }
    _find(engine, recipe, [file for files in sorted_sets for file in files], working)


def _as_pairs(reader: Reader, source: str, number: int, row: dict[str, Any]) -> None:
    """A preference, or an answer that is labelled on its own."""
    if reader.answers(row, preferences=True).good is None:
        list(reader.pairs_of([(source, number, row)]))


def _as_styles(reader: Reader, source: str, number: int, row: dict[str, Any]) -> None:
    RMBench.from_rows([(source, number, row)], reader=reader)


def _find(engine: Engine, recipe: Recipe, files: list[tuple[str, bytes]], working: DeltaGenerator) -> None:
    """Ask the question, and keep the answer as a run."""
    with encoding_bar(working) as progress:
        found = session.guarded(found_by, engine, recipe, files, progress)
    if found is not None:
        _put(found)
        keep_run(engine, record(found, recipe, files))


def _put(found: Found) -> None:
    st.session_state["found"] = found
    for name in ("find_group_name", "find_picked"):
        st.session_state.pop(name, None)


def reopen(engine: Engine, working: DeltaGenerator) -> bool:
    """Open the run that the address names; True where only what was kept of it is shown."""
    run = asked_run(engine, "find")
    if run is None:
        return False
    found = reopened(
        engine,
        run,
        working,
        lambda recipe, files, progress: found_by(engine, recipe, files, progress),
        show_kept=lambda run: show_kept(run, engine),
    )
    if found is None:
        return True
    _put(found)
    figures_differ(run, record(found, run.recipe, []))
    return False


def last_found(engine: Engine) -> Found | None:
    """What was found last, if this model did it."""
    found = st.session_state.get("found")
    return found if isinstance(found, Found) and found.fingerprint == engine.fingerprint else None
