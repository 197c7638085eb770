"""Features by the words of the texts they fire on, rather than by what they are called."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feature_db.features.catalogue import FeatureFilter
from feature_db.features.names import Names
from feature_db.features.search import quote_query
from feature_db.sqlite.connection import Connection

__all__ = ["TextMatch", "TextRanking", "examples_version", "features_by_texts", "rank_by_texts"]

# As in the index examples_by_text. Texts kept for checking labels stay unseen, and in silent ones it does not fire.
_SHOWN = "purpose = 'label' AND kind <> 'silent'"
_HIT = "WITH hit AS MATERIALIZED (SELECT rowid AS id FROM texts_fts WHERE texts_fts MATCH ?) "
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


@dataclass(frozen=True)
class TextRanking:
    """Every feature that fires in a text with certain words.

    Made once for a query and kept while `examples_version` says that the examples are the same: turning a page or
    choosing a row asks again, and a word that is in every text takes most of a second.
    """

    features: npt.NDArray[np.int64]
    """[n], most such texts first, then the largest effect |w| x mean z, as in the table of features"""

    def within(self, store: Connection, filters: FeatureFilter) -> TextRanking:
        """Those of them that `filters` lets through; its `query` is about names and holds as well."""
        return TextRanking(self.features[np.isin(self.features, Names(store).features(filters))])


def examples_version(store: Connection) -> tuple[int, int]:
    """Another one after every import; nothing else changes examples."""
    row = store.row("SELECT id, time FROM imports ORDER BY id DESC LIMIT 1")
    return (0, 0) if row is None else (row["id"], row["time"])


def rank_by_texts(store: Connection, query: str) -> TextRanking:
    """The features that fire in a text with the words of `query`; words as in `Store.search`.

    Only examples that are shown count: neither silent texts nor those for checking labels.
    """
    match = quote_query(query)
    if match is None:
        return TextRanking(np.zeros(0, dtype=np.int64))
    with store.snapshot():
        # One entry for each text that a feature is shown with, even if it is in two of its lists. Counted here:
        # SQLite takes 2.5 s to sort 2.4 million rows by feature.
        shown = store.integers(
            f"{_HIT} SELECT (SELECT group_concat(feature) FROM "
            f"(SELECT DISTINCT feature FROM examples WHERE text = hit.id AND {_SHOWN})) FROM hit",
            (match,),
        )
        order = store.integers("SELECT id FROM features ORDER BY effect DESC, id DESC")
    n_texts = np.bincount(shown, minlength=store.model.n_features)[order]
    order, n_texts = order[n_texts > 0], n_texts[n_texts > 0]
    return TextRanking(order[np.argsort(-n_texts, kind="stable")])


def features_by_texts(
    store: Connection,
    query: str,
    filters: FeatureFilter | None = None,
    *,
    limit: int = 50,
    offset: int = 0,
    ranking: TextRanking | None = None,
) -> tuple[list[TextMatch], int]:
    """One page of the features that `filters` lets through and that fire in a text with the words of `query`, and how
    many there are, in the order of `rank_by_texts`.

    A `ranking` of the same query saves making it.
    """
    match = quote_query(query)
    if match is None:
        return [], 0
    with store.snapshot():
        if ranking is None:
            ranking = rank_by_texts(store, query)
        if filters is not None:
            ranking = ranking.within(store, filters)
        found = ranking.features
        page = json.dumps(found[offset : offset + limit].tolist())
        if page == "[]":
            return [], len(found)
        n_kept = dict(
            tuple(row)
            for row in store.rows(
                "SELECT feature, count(DISTINCT text) FROM examples "
                f"WHERE feature IN (SELECT value FROM json_each(?)) AND {_SHOWN} GROUP BY feature",
                (page,),
            )
        )
        # The text is that of the row with the largest activation. The + below keep SQLite from going through every
        # hit for each of these features, and from searching anew for each of their texts.
        rows = store.rows(
            f"{_HIT} SELECT feature, count(DISTINCT text) AS n_texts, text, max(activation) AS activation "
            "FROM json_each(?) AS page CROSS JOIN examples ON feature = page.value "
            f"WHERE +text IN (SELECT id FROM hit) AND {_SHOWN} GROUP BY page.key, feature ORDER BY page.key",
            (match, page),
        )
        excerpts = dict(
            tuple(row)
            for row in store.rows(
                f"SELECT rowid, snippet(texts_fts, 0, '', '', '…', {EXCERPT_WORDS}) FROM texts_fts "
                "WHERE texts_fts MATCH ? AND +rowid IN (SELECT value FROM json_each(?))",
                (match, json.dumps([row["text"] for row in rows])),
            )
        )
    return [
        TextMatch(
            row["feature"],
            row["n_texts"],
            n_kept[row["feature"]],
            row["text"],
            row["activation"],
            excerpts[row["text"]],
        )
        for row in rows
    ], len(found)
