"""Finding features: the question a person asks, answered by a contrast, as a table and a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from app.draw.colours import AGAINST, FOR
from app.draw.files import uploaded
from app.draw.plain_text import chart_text
from app.session.engine import Engine, FeatureNote
from app.session.feature_title import insert_names, marked_name
from sarm_core.bootstrap import FEWEST_PROMPTS
from sarm_core.find.contrast import Contrast
from sarm_core.find.corpus import axis_sides
from sarm_core.find.preference import Preference
from sarm_core.find.sides import Encodings, Sides
from sarm_core.prove.benchmarks.benchmark import Benchmark
from sarm_core.prove.corpus import corpus_answers, encoded_corpus, positions
from sarm_core.report.evidence import Evidence, evidence_from_rows
from sarm_core.score.encoded import Progress
from sarm_core.text.answers import Reader

__all__ = [
    "AXES",
    "STARTING_AXES",
    "Found",
    "FoundEvidence",
    "evidence_for",
    "find_in_corpus",
    "find_in_upload",
    "listed",
    "scatter",
    "set_name",
    "summary",
]

STARTING_AXES = {
    "over-refusing against helpful": ("helpfulness", "over-refusing", "helpful"),
    "refusing against complying": ("helpfulness", "refusing", "complying"),
    "heavy formatting against plain": ("format", "heavy", "plain"),
    "padded against normal length": ("length", "padded", "normal"),
    "flattering against neutral": ("tone", "flattering", "neutral"),
    "overconfident against calibrated": ("certainty", "overconfident", "calibrated"),
    "right against wrong": ("correctness", "right", "wrong"),
}
AXES = {
    "salience s": "s",
    "frequency difference": "freq_difference",
    "Cohen's d": "cohens_d",
    "share of the margin w Δz": "margin_share",
    "sign stability": "stability",
    "total on the complement": "complement_sum",
    "head weight w": "w",
}


@dataclass(frozen=True)
class Found:
    """A contrast with what was asked; `rows` are there when the labels of pairs can be judged."""

    title: str
    contrast: Contrast
    encodings: Encodings
    fingerprint: str
    said: tuple[str, ...] = ()
    """As what rows were read"""

    @cached_property
    def preference(self) -> Preference | None:
        """Which side the reward prefers and why; None for sets that are no pairs."""
        return self.encodings.preference()

    @property
    def names(self) -> tuple[str, str]:
        """What the two sides are."""
        return self.encodings.sides.names

    @property
    def notes(self) -> list[str]:
        """What could not be used, or should be known."""
        n_cut = int((self.encodings.encoded.n_cut > 0).sum())
        cut = [f"{n_cut} answers were too long for the model and were cut on the left"] if n_cut else []
        return [*self.said, *self.encodings.sides.notes, *self.encodings.encoded.notes, *cut]


def find_in_corpus(
    engine: Engine, axis: str, with_: str, without: str, progress: Progress | None = None
) -> Found:
    """What tells answers with one value of an axis from those with another; the rest is the complement.

    Raises SarmError when no prompt has both.
    """
    sides = axis_sides(axis, with_, without)
    corpus = encoded_corpus(engine.scorer, progress=progress)
    left, right = positions(sides.chosen.conversations), positions(sides.rejected.conversations)
    rest = np.setdiff1d(np.arange(len(corpus.matrix)), np.concatenate([left, right]))
    encodings = Encodings(
        sides, corpus, corpus.matrix.select(left), corpus.matrix.select(right), corpus.matrix.select(rest)
    )
    return Found(f"{with_} against {without}", encodings.contrast(), encodings, engine.fingerprint)


def find_in_upload(
    engine: Engine,
    files: list[tuple[str, bytes]],
    read: Callable[..., Sides],
    title: str,
    *,
    with_corpus: bool = False,
    readers: Sequence[Reader] = (),
    progress: Progress | None = None,
) -> Found:
    """The same for uploaded files; `read` makes the sides from their paths, with `readers`.

    Raises RowError, SarmError.
    """
    with uploaded(*files) as paths:
        sides = read(*paths)
        encodings = sides.encode(engine.scorer, corpus_answers() if with_corpus else None, progress=progress)
    said = tuple(dict.fromkeys(line for reader in readers for line in reader.said()))
    return Found(title, encodings.contrast(), encodings, engine.fingerprint, said)


def set_name(names: list[str]) -> str:
    """What a set of uploaded files is called: the browser does not tell the folder they come from."""
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1:,} more"


def summary(found: Found) -> str:
    """One line: how much was compared, over how many prompts, with which intervals."""
    result = found.contrast
    what = (
        f"{result.n_chosen:,} pairs"
        if result.paired
        else f"{result.n_chosen:,} against {result.n_rejected:,} answers"
    )
    text = f"{what} of {result.n_prompts:,} prompts, {len(result.table):,} features fire"
    if result.n_complement:
        text += f", {result.n_complement:,} other answers as complement"
    if result.n_prompts < FEWEST_PROMPTS:
        return f"{text}. No intervals: too few prompts."
    return f"{text}. Intervals: {result.confidence:.0%} by bootstrap over prompts, {result.resamples:,} resamples."


def listed(
    found: Found, notes: Mapping[int, FeatureNote], *, hide_few: bool, only_opposing: bool, sort: str
) -> pd.DataFrame:
    """The rows to show, largest |`sort`| first, with labels and the flags in words."""
    table = found.contrast.table
    if hide_few:
        table = table[~table["few"]]
    if only_opposing:
        table = table[table["opposes_head"]]
    size = table[sort].abs().to_numpy()
    table = table.iloc[np.argsort(-np.nan_to_num(size, nan=-1.0), kind="stable")].reset_index(drop=True)
    table = table.copy()
    ids = table["feature"].tolist()
    insert_names(table, notes)
    table["density"] = [notes[i].density if i in notes else None for i in ids]
    table["flags"] = [
        ", ".join(
            text
            for text, on in (("against w", opposes), ("few answers", few), ("s unbounded", fragile))
            if on
        )
        for opposes, few, fragile in zip(table["opposes_head"], table["few"], table["fragile"], strict=True)
    ]
    return table


def scatter(
    table: pd.DataFrame, x: tuple[str, str], y: tuple[str, str], notes: Mapping[int, FeatureNote]
) -> go.Figure:
    """One point a feature; `x` and `y` are (title, column). Size: in how many answers it fires.

    Colour and shape tell features that the head weighs in the direction of s from those it weighs against.
    """
    figure = go.Figure()
    largest = max(1, int(table["n_firing"].max())) if len(table) else 1
    for opposing, name, colour, symbol in (
        (False, "the head weighs it this way", FOR, "circle"),
        (True, "the head weighs it the other way", AGAINST, "diamond"),
    ):
        part = table[table["opposes_head"] == opposing]
        names = [marked_name(notes.get(i)) for i in part["feature"].tolist()]
        safe = [chart_text(text) for text in names]
        columns: dict[str, Any] = {
            "x": part[x[1]].to_numpy(dtype=float),
            "y": part[y[1]].to_numpy(dtype=float),
        }
        figure.add_scatter(
            **columns,
            mode="markers",
            name=name,
            marker={
                "color": colour,
                "symbol": symbol,
                "opacity": 0.7,
                "size": 5 + 13 * np.sqrt(part["n_firing"].to_numpy() / largest),
                "line": {"width": 0},
            },
            customdata=np.column_stack(
                [part["feature"].to_numpy(), part["n_firing"].to_numpy(), np.array(safe, dtype=object)]
            )
            if len(part)
            else None,
            hovertemplate="#%{customdata[0]} %{customdata[2]}<br>"
            + f"{x[0]} %{{x:.4g}}<br>{y[0]} %{{y:.4g}}<br>fires in %{{customdata[1]}} answers<extra></extra>",
        )
    figure.update_xaxes(title=x[0], zeroline=True)
    figure.update_yaxes(title=y[0], zeroline=True)
    figure.update_layout(
        height=460,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0},
        dragmode="select",
        clickmode="event+select",
        uirevision="keep",
    )
    return figure


@dataclass(frozen=True)
class FoundEvidence:
    """A contrast as evidence in a report about `benchmark` (see `app.prove.report.Contrasted`)."""

    found: Found
    benchmark: Benchmark

    @property
    def title(self) -> str:
        """What was contrasted."""
        return self.found.title

    @cached_property
    def same_items(self) -> bool:
        """Whether the contrast rests on answers that are evaluated as well."""
        sides = self.found.encodings.sides
        used = {*sides.chosen.conversations, *sides.rejected.conversations}
        return not used.isdisjoint(self.benchmark.conversations)

    def evidence(self) -> Evidence:
        """The table of features, and whether it rests on answers that are evaluated as well."""
        return evidence_from_rows(
            self.found.contrast.table.to_dict("records"),
            title=self.found.title,
            positive=self.found.names[0],
            facts=(summary(self.found).rstrip("."), *(note.rstrip(".") for note in self.found.notes)),
            same_items=self.same_items,
        )


def evidence_for(benchmark: Benchmark, fingerprint: str) -> FoundEvidence | None:
    """The contrast on the page *Find features*, if there is one and of this model."""
    found = st.session_state.get("found")
    return (
        FoundEvidence(found, benchmark)
        if isinstance(found, Found) and found.fingerprint == fingerprint
        else None
    )
