"""Counts of data sets and slices, kept for a minute: of 100,000 prompts they take longer than a page of the table."""

from __future__ import annotations

import streamlit as st

from app.session.engine import Engine
from feature_db.datasets.datasets import DataSet
from feature_db.datasets.items import Counts, Items
from feature_db.datasets.slices import Slice
from sarm_core.prove.agreement import ShareAgreed, share_agreed

__all__ = ["agreed", "counted", "forget_counts"]


def counted(engine: Engine, of: DataSet, part: Slice) -> tuple[Counts, ShareAgreed | None]:
    """What there is in a slice, and the share of its labels that the model agrees with."""
    return _counted(str(engine.store_path), of.address, part, of.scored_by, engine)


def agreed(engine: Engine, of: DataSet) -> float | None:
    """The share of all labels of a data set that the model agrees with; None before any was scored."""
    share = counted(engine, of, Slice())[1]
    return None if share is None else share.share


def forget_counts() -> None:
    """After labels were scored."""
    _counted.clear()


@st.cache_data(ttl=60, max_entries=200, show_spinner=False)
def _counted(
    path: str, address: str, part: Slice, scored_by: str, _engine: Engine
) -> tuple[Counts, ShareAgreed | None]:
    with _engine.store() as store:
        items = Items(store, address)
        return items.counts(part), share_agreed(items.credits(part))
