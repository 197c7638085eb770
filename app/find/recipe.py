"""How a contrast was made, so that it can be made again: a question and the answers it is about, as plain data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd
import streamlit as st

from app.datasets.kept import data_set_named
from app.draw.plain_text import plain
from app.find.found import Found, find_in_corpus, find_in_upload, listed, set_name, summary
from app.find.headline import sentences
from app.runs.kept import Recipe, numbers, plain_values
from app.session.engine import Engine
from app.session.feature_title import insert_names
from feature_db.runs import Run, RunRecord
from sarm_core.find.preference import Preference
from sarm_core.find.sides import Sides, from_bias, from_pairs, from_styles, from_two_files
from sarm_core.score.encoded import Progress
from sarm_core.text.answer_sets import read_answers
from sarm_core.text.answers import Reader

__all__ = ["found_by", "record", "show_kept"]

KEPT_FEATURES = 100
KEPT_PARTS = 200
COLUMNS = ["feature", "s", "s_low", "s_high", "w", "n_firing", "freq_difference", "cohens_d"]


def found_by(
    engine: Engine, recipe: Recipe, files: Sequence[tuple[str, bytes]], progress: Progress | None
) -> Found:
    """The contrast that a recipe asks for. `source` of it:

    "corpus" with axis, with, without; "data set" with its address and slice; else one of *Find features*' questions
    about `files`, with how many files each set has and the choices of its reader. Raises RowError, SarmError,
    StoreError.
    """
    source = recipe["source"]
    if source == "corpus":
        return find_in_corpus(engine, recipe["axis"], recipe["with"], recipe["without"], progress)
    if source == "data set":
        chosen = data_set_named(engine, recipe["d"], recipe["slice"])
        reader = chosen.reader
        return find_in_upload(
            engine,
            [chosen.file(engine)],
            lambda path: from_pairs(path, reader),
            f"chosen against rejected: {chosen.title}",
            with_corpus=recipe["complement"],
            readers=[reader],
            progress=progress,
        )
    readers = [Reader.of(choices) for choices in recipe["readers"]]
    first = recipe["first"]
    names = [set_name([name for name, _ in part]) for part in (files[:first], files[first:]) if part]
    bias, styles = recipe.get("bias"), recipe.get("styles") or ()
    ways: dict[str, Callable[..., Sides]] = {
        "My pairs": lambda path: from_pairs(path, readers[0]),
        "Two sets of answers": lambda *paths: from_two_files(
            paths[:first], paths[first:], (names[0], names[1]), readers[0], readers[1]
        ),
        "A bias, in my answers": lambda *paths: from_bias(read_answers(paths, readers[0]), str(bias)),
        "Styles of RM-Bench": lambda path: from_styles(path, *styles, reader=readers[0]),
    }
    titles = {
        "My pairs": "chosen against rejected",
        "Two sets of answers": " against ".join(names),
        "A bias, in my answers": f"with {bias} against without",
        "Styles of RM-Bench": " against ".join(styles),
    }
    return find_in_upload(
        engine,
        list(files),
        ways[source],
        titles[source],
        with_corpus=recipe["complement"],
        readers=readers,
        progress=progress,
    )


def record(found: Found, recipe: Recipe, files: Sequence[tuple[str, bytes]]) -> RunRecord:
    """What is kept of a contrast. Names of features are not: each reader sees those that they may."""
    said, contrast = found.preference, found.contrast
    figures = numbers(pairs=contrast.n_chosen, prompts=contrast.n_prompts, features=len(contrast.table))
    if said is not None:
        figures |= numbers(
            share=said.share, low=said.low, high=said.high, won=said.won, tied=said.tied, lead=said.lead
        )
    table = listed(found, {}, hide_few=False, only_opposing=False, sort="s")
    shown = table[[name for name in COLUMNS if name in table.columns]].head(KEPT_FEATURES)
    return RunRecord(
        kind="find",
        title=found.title,
        data=_data(recipe, files),
        recipe=recipe,
        figures=figures,
        result={
            "names": list(found.names),
            "summary": summary(found),
            "notes": found.notes,
            "preference": None
            if said is None
            else plain_values({**asdict(said), "parts": said.parts[:KEPT_PARTS]}),
            "features": [plain_values(row) for row in shown.to_dict("records")],
        },
        files=files,
    )


def show_kept(run: Run, engine: Engine) -> None:
    """What was kept of a contrast, with the names that the reader may see now."""
    held = run.result
    features = [int(row["feature"]) for row in held["features"]]
    said = None if held["preference"] is None else _preference(held["preference"])
    if said is not None:
        features += [int(i) for i, _ in said.parts]
    notes = engine.notes(features)
    if said is not None:
        first, *rest = sentences(said, (held["names"][0], held["names"][1]), notes)
        st.markdown(f"**{first}**")
        st.markdown("\n".join(f"- {sentence}" for sentence in rest))
    st.caption(plain(held["summary"]))
    if held["notes"]:
        st.caption(plain(". ".join(note[0].upper() + note[1:] for note in held["notes"])))
    table = pd.DataFrame(held["features"])
    if not table.empty:
        insert_names(table, notes)
        st.dataframe(
            table,
            hide_index=True,
            height=min(420, 38 + 35 * len(table)),
            key=f"run_features_{run.uid}",
            column_config={
                "feature": st.column_config.NumberColumn(format="#%d"),
                "s": st.column_config.NumberColumn("salience s", format="%+.3f"),
                "s_low": st.column_config.NumberColumn("s from", format="%+.3f"),
                "s_high": st.column_config.NumberColumn("s to", format="%+.3f"),
                "w": st.column_config.NumberColumn("head weight w", format="%+.4f"),
                "n_firing": st.column_config.NumberColumn("fires in answers"),
                "freq_difference": st.column_config.NumberColumn("fires more often by", format="percent"),
                "cohens_d": st.column_config.NumberColumn("Cohen's d", format="%+.2f"),
            },
        )


def _preference(held: dict[str, Any]) -> Preference:
    bounds = {name: float("nan") if held[name] is None else held[name] for name in ("low", "high")}
    parts = {
        "parts": tuple((int(i), float(part)) for i, part in held["parts"]),
        "without": tuple(held["without"]),
    }
    return Preference(**{**held, **bounds, **parts})


def _data(recipe: Recipe, files: Sequence[tuple[str, bytes]]) -> str:
    if recipe["source"] == "corpus":
        return "the project's corpus"
    return str(recipe.get("called") or (set_name([name for name, _ in files]) if files else ""))
