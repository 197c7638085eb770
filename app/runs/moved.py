"""The features that a kept steering moves, with the names that the reader may see now."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app.session.engine import Engine
from app.session.feature_title import insert_names
from feature_db.runs import Run

__all__ = ["moved_features"]


def moved_features(run: Run, engine: Engine, moved: list) -> None:
    """A table of (feature, before, after)."""
    if not moved:
        return
    notes = engine.notes([i for i, _, _ in moved])
    table = pd.DataFrame(moved, columns=["feature", "before", "after"])
    insert_names(table, notes, "name")
    st.dataframe(
        table,
        hide_index=True,
        key=f"run_moved_{run.uid}",
        height=min(360, 38 + 35 * len(table)),
        column_config={
            "feature": st.column_config.NumberColumn("feature", format="#%d"),
            "before": st.column_config.NumberColumn("before", format="×%.3g"),
            "after": st.column_config.NumberColumn("after", format="×%.3g"),
        },
    )
