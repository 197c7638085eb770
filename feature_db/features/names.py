"""Everything features are called, all at once: for a search that ranks names itself instead of asking for words.

Nothing a model made of a name is kept here: the store holds what people and programs wrote, and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feature_db.features.catalogue import FeatureFilter
from feature_db.features.search import quote_query
from feature_db.records import LABEL_METHOD
from feature_db.sqlite.connection import Connection

__all__ = ["NameTable", "Names"]


@dataclass(frozen=True)
class NameTable:
    """What features are called, one entry a name: labels first, then suggestions, each by feature."""

    features: npt.NDArray[np.int64]
    """[n]; a feature has as many entries as names"""
    texts: tuple[str, ...]
    methods: tuple[str, ...]
    """The annotator of a label, the method of a suggestion."""
    n_labels: int
    """The first so many are labels, the rest suggestions."""
    opinions: npt.NDArray[np.bool_]
    """[n]; what a person said: labels, and suggestions that are labels of another store."""
    version: tuple[str, int]
    """`Names.version` of what was read."""

    def __len__(self) -> int:
        return len(self.texts)


class Names:
    """The names that stand in a store now."""

    def __init__(self, store: Connection):
        self.store = store

    def version(self) -> tuple[str, int]:
        """Another one whenever a label, its undoing, an adjudication or a suggestion was added or taken away."""
        last = self.store.value("SELECT uid FROM label_events ORDER BY seq DESC LIMIT 1")
        return last or "", self.store.value("SELECT time FROM changes WHERE what = 'suggestions'")

    def table(self) -> NameTable:
        """Every label that stands (of a settled feature the text settled on) and every suggestion, in one snapshot."""
        cursor = self.store.conn.cursor()
        cursor.row_factory = None  # plain tuples: half the time of rows with names
        with self.store.snapshot():
            version = self.version()
            labels = cursor.execute(
                "SELECT e.feature, e.text, e.annotator FROM labels_fts AS f "
                "JOIN label_events AS e ON e.seq = f.rowid ORDER BY e.feature, e.time, e.uid"
            ).fetchall()
            suggestions = cursor.execute(
                "SELECT feature, text, method FROM suggestions ORDER BY feature, id"
            ).fetchall()
        rows = labels + suggestions
        features, texts, methods = zip(*rows, strict=True) if rows else ((), (), ())
        opinions = np.array([method == LABEL_METHOD for method in methods], dtype=bool)
        opinions[: len(labels)] = True
        return NameTable(np.array(features, dtype=np.int64), texts, methods, len(labels), opinions, version)

    def features(self, filters: FeatureFilter) -> npt.NDArray[np.int64]:
        """Ids of the features a filter lets through, int64, ascending."""
        where, parameters = filters.where()
        return self.store.integers(f"SELECT id FROM features WHERE {where} ORDER BY id", parameters)

    def with_words(self, query: str) -> tuple[set[int], set[int]]:
        """Features with a label, and features with a suggestion, that has the words of `query` (as `Store.search`).

        A suggestion that is a label of another store counts as a label.
        """
        match = quote_query(query)
        if match is None:
            return set(), set()
        labels = self.store.rows("SELECT feature FROM labels_fts WHERE labels_fts MATCH ?", (match,))
        suggestions = self.store.rows(
            "SELECT feature, method FROM suggestions WHERE id IN "
            "(SELECT rowid FROM suggestions_fts WHERE suggestions_fts MATCH ?)",
            (match,),
        )
        opinions = {row[0] for row in suggestions if row[1] == LABEL_METHOD}
        return {row[0] for row in labels} | opinions, {
            row[0] for row in suggestions if row[1] != LABEL_METHOD
        }
