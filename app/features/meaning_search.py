"""Features by what they are called, most similar to a query first: for the eyes of one person."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from app.features.table import frame
from feature_db import FeatureFilter, Store
from feature_db.features.catalogue import FeatureRow
from feature_db.features.names import Names, NameTable
from feature_db.label.blindness import hidden_from
from sarm_core.search import NameIndex, PreparedNames, best_rows, piece_vectors

__all__ = [
    "LEAST",
    "WEAK",
    "Found",
    "Match",
    "nothing_found",
    "search_by_meaning",
    "similarity_frame",
    "weak_match",
]

LEAST = 0.2
"""Cosine from which a name counts as found. In benchmarks/meaning.py's queries 80 % of the names that are meant
reach it, and 5 % of the others."""

WEAK = 0.35
"""Cosine of the best match below which the page says that it is weak. Made-up words have pieces too, so some name is
always near: 9 in 10 of benchmarks/meaning.py's stay below this with their best match, and so do 1 in 5 of its queries
that do mean a name there. Too many of those to leave out, so it is a remark."""


@dataclass(frozen=True)
class Match:
    """A feature that was found, and the one of its names that is nearest to the query."""

    feature: int
    similarity: float
    """cosine, -1 to 1"""
    text: str
    origin: str
    """"label" or "suggested"."""


@dataclass(frozen=True)
class Found:
    """What a search found, most similar first."""

    matches: tuple[Match, ...]
    n_names: int
    """Names that were compared."""
    known: bool = True
    """False when no word of the query is known."""


@dataclass
class _Shelf:
    """The names of one store as last read, with their vectors; one a process."""

    index: NameIndex
    lock: threading.Lock = field(default_factory=threading.Lock)
    held: tuple[NameTable, PreparedNames] | None = None

    def current(
        self, names: Names, progress: Callable[[int, int], None] | None
    ) -> tuple[NameTable, PreparedNames]:
        held = self.held
        if held is None or held[0].version != names.version():
            with self.lock:
                table = names.table()
                held = self.held = (table, self.index.prepare(table.texts, progress))
        return held


@st.cache_resource(max_entries=4, show_spinner=False)
def _shelf(path: str) -> _Shelf:
    # Beside the store: the vectors are of its names, and who deletes a store sees what else to delete.
    return _Shelf(NameIndex(piece_vectors(), Path(f"{path}.meaning.npz")))


def search_by_meaning(
    store: Store,
    query: str,
    filters: FeatureFilter,
    name: str,
    progress: Callable[[int, int], None] | None = None,
) -> Found:
    """Features that `filters` lets through and that are called something like `query`, for the eyes of `name`.

    Labels that `name` must not read yet (`feature_db.label.blindness`) are not compared. `progress(done, total)` is
    called while names nobody has searched before get their vectors. Raises SarmError, StoreError.
    """
    names = Names(store)
    table, prepared = _shelf(str(store.path)).current(names, progress)
    similarities = prepared.similarities(query)
    if similarities is None:
        return Found((), len(table), known=False)
    allowed = names.features(filters)
    near = table.opinions & (similarities >= LEAST)
    hidden = hidden_from(store, name, np.unique(table.features[near]).tolist())
    if hidden:
        similarities[table.opinions & np.isin(table.features, list(hidden))] = np.nan
    rows = best_rows(similarities, table.features, allowed)
    return Found(
        tuple(
            Match(
                int(table.features[row]),
                float(similarities[row]),
                table.texts[row],
                "label" if row < table.n_labels else "suggested",
            )
            for row in rows[similarities[rows] >= LEAST].tolist()
        ),
        len(table),
    )


def similarity_frame(store: Store, matches: Sequence[Match]) -> pd.DataFrame:
    """`feature_table.frame` of these matches in their order, with the name that matched instead of the usual one."""
    found = {match.feature: match for match in matches}
    page = store.features_page(filters=FeatureFilter(ids=list(found)), limit=len(found))
    place = {feature: number for number, feature in enumerate(found)}
    rows = sorted(page.rows, key=lambda row: place[row.id])
    shown = frame(rows).drop(columns=["name", "by", "accuracy"])
    ordered = [found[row.id] for row in rows]
    shown.insert(1, "similarity", [match.similarity for match in ordered])
    shown.insert(2, "matched", [match.text for match in ordered])
    shown.insert(3, "matched_in", [_origin(match, row) for match, row in zip(ordered, rows, strict=True)])
    return shown


def _origin(match: Match, row: FeatureRow) -> str:
    """What the name rests on: of a label what all labels of the feature come to, "disputed" or "2 labels"."""
    return row.standing.note if match.origin == "label" and row.standing is not None else match.origin


def weak_match(found: Found) -> str | None:
    """What to say above matches of which even the best may be chance."""
    if not found.matches or found.matches[0].similarity >= WEAK:
        return None
    return (
        f"The best match is weak (similarity {found.matches[0].similarity:.2f}): words that mean nothing come as near. "
        "Perhaps no feature is called anything like this."
    )


def nothing_found(found: Found) -> str:
    """Why there are no rows, and what to do."""
    if not found.n_names:
        return (
            "No feature of this model has a label or a suggestion yet, so there is no name to compare with. "
            "Label some, or harvest a corpus: suggestions come with it."
        )
    if not found.known:
        return "No word of this search is known: meaning works on English words. Say it in others, or search by words."
    return (
        "Nothing that the filters let through is called anything like this. Say it in other words, or widen the "
        "filters; features without a name can only be found by running your own text."
    )
