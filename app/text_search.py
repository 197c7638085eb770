"""The table of features that fire in texts with certain words."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from app.feature_table import frame
from feature_db import FeatureFilter, Store
from feature_db.blindness import rows_for
from feature_db.text_search import TextMatch

__all__ = ["texts_frame"]


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
