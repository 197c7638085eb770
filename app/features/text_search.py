"""Features that fire in texts with certain words: their order, kept between clicks, and their table."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from app.features.table import frame
from feature_db import FeatureFilter, Store
from feature_db.features.text_search import TextMatch, TextRanking, examples_version, rank_by_texts
from feature_db.label.blindness import rows_for

__all__ = ["text_ranking", "texts_frame"]


def text_ranking(store: Store, query: str) -> TextRanking:
    """`rank_by_texts`, made once for these examples and words: every click on the page asks for it again."""
    return _ranking(str(store.path), examples_version(store), query, store)


@st.cache_resource(max_entries=64, show_spinner="Counting the texts with these words")
def _ranking(path: str, version: tuple[int, int], query: str, _store: Store) -> TextRanking:
    return rank_by_texts(_store, query)


def texts_frame(store: Store, matches: Sequence[TextMatch], name: str) -> pd.DataFrame:
    """`feature_table.frame` of these matches in their order, for the eyes of `name`, with what matched."""
    found = {match.feature: match for match in matches}
    rows = store.features_page(filters=FeatureFilter(ids=list(found)), limit=len(found)).rows
    place = {feature: number for number, feature in enumerate(found)}
    rows = sorted(rows, key=lambda row: place[row.id])
    shown = frame(rows_for(store, name, rows))
    ordered = [found[row.id] for row in rows]
    shown.insert(3, "texts", [f"{match.n_texts:,} of {match.n_kept:,}" for match in ordered])
    shown.insert(4, "excerpt", [match.excerpt for match in ordered])
    return shown
