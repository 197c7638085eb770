"""Features by the words of the texts they fire on, rather than by what they are called."""

from __future__ import annotations

import json
from dataclasses import dataclass

from feature_db.catalogue import FeatureFilter
from feature_db.connection import Connection
from feature_db.search import quote_query

__all__ = ["TextMatch", "features_by_texts"]

# As in the index examples_by_text. Texts kept for checking labels stay unseen, and in silent ones it does not fire.
_SHOWN = "purpose = 'label' AND kind <> 'silent'"
EXCERPT_WORDS = 12


@dataclass(frozen=True)
class TextMatch:
    """A feature that fires in texts with the words searched for."""

    feature: int
    n_texts: int
    """Its kept texts that have the words"""
    n_kept: int
    """Its kept texts in which it fires"""
    text: int
    """The one of the former in which it fires most strongly"""
    activation: float
    """z at that text's peak"""
    excerpt: str
    """The part of that text around the words"""


def features_by_texts(
    store: Connection,
    query: str,
    filters: FeatureFilter | None = None,
    *,
    limit: int = 50,
    offset: int = 0,
) -> tuple[list[TextMatch], int]:
    """One page of the features that `filters` lets through and that fire in a text with the words of `query`, and how
    many there are.

    Words as in `Store.search`; the `query` of `filters` is about names and holds as well. Most texts first, then the
    strongest activation. Only examples that are shown count: neither silent texts nor those for checking labels.
    """
    match = quote_query(query)
    if match is None:
        return [], 0
    where, parameters = (filters or FeatureFilter()).where()
    found = (
        "WITH hit AS MATERIALIZED (SELECT rowid AS id FROM texts_fts WHERE texts_fts MATCH ?), "
        # The text is that of the row with the largest activation. CROSS JOIN: from the texts to their examples.
        "found AS (SELECT feature, count(DISTINCT text) AS n_texts, text, max(activation) AS activation "
        f"FROM hit CROSS JOIN examples ON text = hit.id WHERE {_SHOWN} GROUP BY feature) "
    )
    those = f"FROM found WHERE feature IN (SELECT id FROM features WHERE {where})"
    with store.snapshot():
        total = store.value(f"{found} SELECT count(*) {those}", [match, *parameters])
        rows = store.rows(
            f"{found} SELECT feature, n_texts, text, activation, (SELECT count(DISTINCT e.text) FROM examples AS e "
            f"WHERE e.feature = found.feature AND {_SHOWN}) AS n_kept {those} "
            "ORDER BY n_texts DESC, activation DESC, feature LIMIT ? OFFSET ?",
            [match, *parameters, limit, offset],
        )
        excerpts = dict(
            tuple(row)
            for row in store.rows(
                f"SELECT rowid, snippet(texts_fts, 0, '', '', '…', {EXCERPT_WORDS}) FROM texts_fts "
                "WHERE texts_fts MATCH ? AND rowid IN (SELECT value FROM json_each(?))",
                (match, json.dumps([row["text"] for row in rows])),
            )
        )
    return [
        TextMatch(
            row["feature"],
            row["n_texts"],
            row["n_kept"],
            row["text"],
            row["activation"],
            excerpts[row["text"]],
        )
        for row in rows
    ], total
