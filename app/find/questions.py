"""What is to be told apart: two values of the project's corpus, or a person's own files; the model runs only here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.datasets.choice import choose_data_set, warn_of_choice
from app.draw.columns import as_answers, reader_for
from app.draw.files import UPLOADS
from app.draw.progress import encoding_bar
from app.find.found import STARTING_AXES, Found, find_in_corpus, find_in_upload, set_name
from app.session import session
from app.session.engine import Engine
from sarm_core.demo import corpus
from sarm_core.find.bias_pairs import BIASES
from sarm_core.find.sides import Sides, from_bias, from_pairs, from_styles, from_two_files
from sarm_core.prove.benchmarks.rm_bench import STYLES, RMBench
from sarm_core.text.answer_sets import read_answers
from sarm_core.text.answers import Reader

__all__ = ["IN_CORPUS", "IN_FILES", "from_corpus_form", "from_data_set_form", "from_files_form", "last_found"]

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
        with encoding_bar(working) as progress:
            _keep(session.guarded(lambda: find_in_corpus(engine, axis, with_, without, progress)))


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
    if not go or chosen is None:
        return
    reader = chosen.reader
    with encoding_bar(working) as progress:
        _keep(
            session.guarded(
                lambda: find_in_upload(
                    engine,
                    [chosen.file(engine)],
                    lambda path: from_pairs(path, reader),
                    f"chosen against rejected: {chosen.title}",
                    with_corpus=with_corpus,
                    readers=[reader],
                    progress=progress,
                )
            )
        )


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
    given = [file for files in sorted_sets for file in files]
    first = len(sorted_sets[0])
    names = [set_name([name for name, _ in files]) for files in sorted_sets]
    ways: dict[str, Callable[..., Sides]] = {
        "My pairs": lambda path: from_pairs(path, readers[0]),
        "Two sets of answers": lambda *paths: from_two_files(
            paths[:first], paths[first:], (names[0], names[1]), readers[0], readers[1]
        ),
        "A bias, in my answers": lambda *paths: from_bias(read_answers(paths, readers[0]), str(bias)),
        "Styles of RM-Bench": lambda path: from_styles(path, *(styles or STYLES[:2]), reader=readers[0]),
    }
    titles = {
        "My pairs": "chosen against rejected",
        "Two sets of answers": " against ".join(names),
        "A bias, in my answers": f"with {bias} against without",
        "Styles of RM-Bench": " against ".join(styles or ()),
    }
    with encoding_bar(working) as progress:
        _keep(
            session.guarded(
                lambda: find_in_upload(
                    engine,
                    given,
                    ways[source],
                    titles[source],
                    with_corpus=with_corpus,
                    readers=readers,
                    progress=progress,
                )
            )
        )


def _as_pairs(reader: Reader, source: str, number: int, row: dict[str, Any]) -> None:
    """A preference, or an answer that is labelled on its own."""
    if reader.answers(row, preferences=True).good is None:
        list(reader.pairs_of([(source, number, row)]))


def _as_styles(reader: Reader, source: str, number: int, row: dict[str, Any]) -> None:
    RMBench.from_rows([(source, number, row)], reader=reader)


def _keep(found: Found | None) -> None:
    if found is not None:
        st.session_state["found"] = found
        for name in ("find_group_name", "find_picked"):
            st.session_state.pop(name, None)


def last_found(engine: Engine) -> Found | None:
    """What was found last, if this model did it."""
    found = st.session_state.get("found")
    return found if isinstance(found, Found) and found.fingerprint == engine.fingerprint else None
