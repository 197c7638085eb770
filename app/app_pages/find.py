"""Find features: which features tell two kinds of answers apart, and does the head reward them?"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import streamlit as st

from app.draw.files import as_csv
from app.draw.plain_text import plain
from app.draw.progress import encoding_bar
from app.features.slider_actions import slider_actions
from app.find.found import (
    AXES,
    STARTING_AXES,
    Found,
    find_in_corpus,
    find_in_upload,
    listed,
    scatter,
    set_name,
    summary,
)
from app.prove.rewrites_view import rewrites_section
from app.session import session
from app.session.engine import Engine, FeatureNote
from app.session.link import open_link, update_link
from sarm_core.bootstrap import FEWEST_PROMPTS
from sarm_core.demo import corpus
from sarm_core.errors import SarmError
from sarm_core.find.bias_pairs import BIASES
from sarm_core.find.sides import Sides, from_bias, from_pairs, from_styles, from_two_files
from sarm_core.find.suspicious import keep_trusted
from sarm_core.find.tables import WIDE_PROMPTS
from sarm_core.prove.benchmarks.rm_bench import STYLES
from sarm_core.text.answers import read_answers

SOURCES = (
    "The project's corpus",
    "My pairs",
    "Two sets of answers",
    "A bias, in my answers",
    "Styles of RM-Bench",
    "Harmless rewrites",
)
ROWS = 500
POINTS = 5_000  # a browser draws more of them too slowly to be of use
FILE_TYPES = ["jsonl", "json", "parquet"]

current = session.engine()
open_link(current)
held = session.steering()
st.title("Find features", anchor=False)
st.caption("Which features tell two kinds of answers apart, and does the reward pay for them?")
with st.container(key="find_messages"):  # always there, so that a message moves no tab under the mouse
    session.show_messages()


def keep(found: Found | None) -> None:
    if found is not None:
        st.session_state["found"] = found
        for name in ("find_group_name", "find_picked"):
            st.session_state.pop(name, None)


def from_corpus_form(engine: Engine) -> None:
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
        "each is known. The first question encodes them all (kept on disk), later ones are arithmetic."
    )
    if go:
        with encoding_bar(working) as progress:
            keep(session.guarded(lambda: find_in_corpus(engine, axis, with_, without, progress)))


def from_files_form(engine: Engine, source: str) -> None:
    hints = {
        "My pairs": "Rows of `prompt` + `chosen` + `rejected` (JSONL, JSON or Parquet).",
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
                type=FILE_TYPES if one_file else [*FILE_TYPES, "txt", "md"],
                accept_multiple_files=True,
                key=f"find_files_{source}_{label}",
                label_visibility="visible" if two_sets else "collapsed",
            )
            for label in (("One set", "The other set") if two_sets else ("File",))
        ]
    bias = styles = None
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if source == "A bias, in my answers":
            bias = st.selectbox("Bias", list(BIASES), key="find_bias", width=220)
        if source == "Styles of RM-Bench":
            pairs = [(a, b) for i, a in enumerate(STYLES) for b in STYLES[:i]][::-1]
            styles = st.selectbox("Styles", pairs, format_func=" against ".join, key="find_styles", width=260)
        with_corpus = st.toggle(
            "Complement: this tool's corpus",
            key="find_complement",
            help="Also shows how much each feature fires in answers that have nothing to do with the question",
        )
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
    readers: dict[str, Callable[..., Sides]] = {
        "My pairs": from_pairs,
        "Two sets of answers": lambda *paths: from_two_files(
            paths[:first], paths[first:], (names[0], names[1])
        ),
        "A bias, in my answers": lambda *paths: from_bias(read_answers(paths), str(bias)),
        "Styles of RM-Bench": lambda path: from_styles(path, *(styles or STYLES[:2])),
    }
    titles = {
        "My pairs": "chosen against rejected",
        "Two sets of answers": " against ".join(names),
        "A bias, in my answers": f"with {bias} against without",
        "Styles of RM-Bench": " against ".join(styles or ()),
    }
    with encoding_bar(working) as progress:
        keep(
            session.guarded(
                lambda: find_in_upload(
                    engine, given, readers[source], titles[source], with_corpus=with_corpus, progress=progress
                )
            )
        )


def show(found: Found, engine: Engine) -> None:
    result = found.contrast
    notes: dict[int, FeatureNote] = engine.notes(result.table["feature"].tolist())
    st.subheader(plain(found.title), anchor=False)
    st.caption(f"{summary(found)} Positive s: more active in the answers that are “{plain(found.names[0])}”.")
    opposing, few = int(result.table["opposes_head"].sum()), int(result.table["few"].sum())
    if found.notes:
        lines = [plain(note[0].upper() + note[1:]) for note in found.notes]
        st.info("  \n".join(lines), icon=":material/info:")
    if result.n_prompts < WIDE_PROMPTS:
        wide = "wide" if result.n_prompts >= FEWEST_PROMPTS else f"not given below {FEWEST_PROMPTS}"
        st.warning(
            f"Only {result.n_prompts} prompts: intervals are {wide}, and a feature that stands out may do so by chance."
        )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        sorts = {
            name: column
            for name, column in AXES.items()
            if column in result.table.columns and result.table[column].notna().any()
        }
        sort = st.selectbox("Largest first by", list(sorts), key="find_sort", width=240)
        hide_few = st.toggle(f"Hide what fires in fewer than 20 answers ({few:,})", True, key="find_hide_few")
        only_opposing = st.toggle(f"Only where w opposes s ({opposing:,})", key="find_opposing")
    table = listed(found, notes, hide_few=hide_few, only_opposing=only_opposing, sort=sorts[sort])
    if table.empty:
        st.info("No feature is left: switch one of the two filters off, or compare more answers.")
        return
    rows, picture = st.tabs(["Table", "Picture"])
    with rows:
        shown = table.head(ROWS)
        selection = st.dataframe(
            shown[[name for name in COLUMNS if name in shown.columns]],
            hide_index=True,
            on_select="rerun",
            selection_mode="multi-row",
            column_config=column_config(found),
            height=min(560, 38 + 35 * len(shown)),
            key=f"find_table_{found.title}_{sort}_{hide_few}_{only_opposing}",
        )
        if len(table) > len(shown):
            st.caption(f"The first {len(shown)} of {len(table):,}; the download has all.")
        slider_actions(
            [int(shown["feature"].iloc[i]) for i in selection.selection.rows], "find_table", found.title
        )
    with picture:
        with st.container(horizontal=True, vertical_alignment="bottom"):
            names = list(sorts)
            x = st.selectbox("Across", names, key="find_x", width=240)
            y = st.selectbox("Up", names, index=len(names) - 1, key="find_y", width=240)
        event = st.plotly_chart(
            scatter(table.head(POINTS), (x, sorts[x]), (y, sorts[y]), notes),
            key="find_scatter",
            on_select="rerun",
            selection_mode=("points", "box"),
            config={"displaylogo": False, "modeBarButtonsToRemove": ["sendDataToCloud"]},
        )
        most = f" The {POINTS:,} with the largest {sort} of {len(table):,}." if len(table) > POINTS else ""
        st.caption(
            f"Size: in how many answers the feature fires. The colour compares the signs of s and w.{most}"
        )
        points = list(dict.fromkeys(int(point["customdata"][0]) for point in event.selection.points))
        slider_actions(
            points,
            "find_picture",
            found.title,
            hint="Click a point, or draw a box around several, to put them on the sliders.",
        )
    st.download_button(
        "Table as CSV",
        lambda: as_csv(table),  # a second's work for a large dictionary: on request
        file_name="contrast.csv",
        mime="text/csv",
        icon=":material/download:",
        key="find_csv",
    )
    if held.panel:
        st.page_link(
            "app_pages/evaluate.py", label="Evaluate what the sliders change", icon=":material/checklist:"
        )


def suspicious(found: Found) -> None:
    """Pairs whose label the features contradict, and the file without the worst of them."""
    if not found.encodings.sides.rows:
        return  # pairs made by rule or from the corpus: nobody labelled them
    with st.expander("Pairs whose label looks wrong", icon=":material/flag:"):
        st.caption(
            "concept: what chosen and rejected answers differ in elsewhere speaks against this label (each pair is "
            "judged by the pairs of other prompts). margin: the head prefers the rejected answer. Neither proves a "
            "wrong label: read the pair."
        )
        by = st.segmented_control(
            "Order by", ["concept", "margin", "both"], default="concept", required=True, key="find_by"
        )
        table = found.encodings.suspicious(by or "concept")
        given = found.encodings.sides
        texts = table.head(ROWS).copy()
        texts.insert(0, "row", [given.chosen.places[p][1] for p in texts["pair"]])
        texts["chosen"] = [
            (given.chosen.conversations[p].answer or "(token ids)")[:300] for p in texts["pair"]
        ]
        texts["rejected"] = [
            (given.rejected.conversations[p].answer or "(token ids)")[:300] for p in texts["pair"]
        ]
        st.dataframe(
            texts.drop(columns=["pair", "concept_rank", "margin_rank"]),
            hide_index=True,
            column_config={
                "concept": st.column_config.NumberColumn(format="%+.3f"),
                "margin": st.column_config.NumberColumn(format="%+.3f"),
                "contradicted_by": st.column_config.TextColumn("contradicted by"),
            },
        )
        percent = st.slider("Leave out the worst", 0.0, 30.0, 4.0, 0.5, format="%.1f %%", key="find_drop")
        try:
            kept = keep_trusted(table, percent / 100)
        except SarmError as error:
            st.warning(plain(str(error)))
            return
        body = "".join(json.dumps(dict(given.rows[i]), ensure_ascii=False) + "\n" for i in kept)
        st.download_button(
            f"Cleaned set: {len(kept):,} of {len(table):,} pairs",
            body,
            file_name="cleaned.jsonl",
            mime="application/x-ndjson",
            icon=":material/download:",
            key="find_cleaned",
        )


COLUMNS = [
    "feature", "label", "s", "s_low", "s_high", "w", "flags", "freq_difference", "freq_difference_low",
    "freq_difference_high", "cohens_d", "stability", "n_firing", "complement_sum", "complement_freq",
    "margin_share", "density",
]  # fmt: skip


def column_config(found: Found) -> dict[str, Any]:
    number = st.column_config.NumberColumn
    return {
        "feature": number(format="#%d"),
        "s": number(
            "salience s", format="%+.3f", help="(c − j) / (c + j + mean): which side it is more active in"
        ),
        "s_low": number("s from", format="%+.3f"),
        "s_high": number("s to", format="%+.3f"),
        "w": number("head weight w", format="%+.4f"),
        "flags": st.column_config.TextColumn(
            "look twice",
            help="w opposes s: the head weighs it the other way; few answers: it fires in fewer than 20",
        ),
        "freq_difference": number("fires more often by", format="percent"),
        "freq_difference_low": number("from", format="percent"),
        "freq_difference_high": number("to", format="percent"),
        "cohens_d": number("Cohen's d", format="%+.2f"),
        "stability": number(
            "sign stability", format="percent", help="Share of differing pairs with the common sign"
        ),
        "n_firing": number("fires in answers", format="%d"),
        "complement_sum": number(
            "total on complement", format="%.2f", help="Sum of z: what a change would also touch"
        ),
        "complement_freq": number("fires in complement", format="percent"),
        "margin_share": number(
            "w Δz", format="%+.4f", help="These sum to the difference of the mean rewards"
        ),
        "density": number("fires in corpus", format="percent"),
    }


working = st.empty()
source = st.segmented_control("Where from", SOURCES, default=SOURCES[0], required=True, key="find_source")
if source == "Harmless rewrites":
    rewrites_section(current, working)
elif source == SOURCES[0]:
    from_corpus_form(current)
else:
    from_files_form(current, source or SOURCES[1])
with st.container(key="find_errors"):
    session.show_messages()
found = st.session_state.get("found")
if source == "Harmless rewrites":
    pass
elif isinstance(found, Found) and found.fingerprint == current.fingerprint:
    show(found, current)
    suspicious(found)
else:
    st.info("Choose a question above and press Find.", icon=":material/arrow_upward:")
update_link(current)
