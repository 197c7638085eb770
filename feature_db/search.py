"""Full-text search with stemming over labels, suggestions and texts."""

from __future__ import annotations

import re
from dataclasses import dataclass

from feature_db.connection import Connection
from feature_db.records import clean_text

__all__ = ["FeatureHit", "Search", "TextHit", "quote_query"]

_WORDS = re.compile(r'"([^"]*)"|([^\s"]+)')


@dataclass(frozen=True)
class FeatureHit:
    """A label or suggestion that contains the words searched for."""

    feature: int
    text: str
    origin: str
    """"label" or "suggestion"."""
    method: str
    """The annotator of a label, the method of a suggestion."""


@dataclass(frozen=True)
class TextHit:
    """A text that contains the words searched for, with the part around them."""

    text: int
    excerpt: str
    source: str | None
    category: str | None


def quote_query(query: str) -> str | None:
    """An FTS5 expression for what a person typed: every word must occur, the last may be unfinished.

    Words in double quotes are a phrase. Whatever else is typed is text to look for, never FTS5 syntax. None
    when there is nothing to look for.
    """
    query = clean_text(query).replace("\x00", " ")
    terms: list[str] = []
    open_word = False
    for match in _WORDS.finditer(query):
        phrase, word = match.groups()
        text = phrase if word is None else word
        if any(character.isalnum() for character in text):
            terms.append(f'"{text}"')
            open_word = word is not None and match.end() == len(query) and word[-1].isalnum()
    if not terms:
        return None
    return " ".join(terms) + ("*" if open_word else "")


class Search(Connection):
    """Search by word."""

    def search(self, query: str, limit: int = 50) -> list[FeatureHit]:
        """Features by the words of their labels, then of their suggestions, best match first within each."""
        match = quote_query(query)
        if match is None:
            return []
        labels = self.rows(
            "SELECT labels_fts.feature, labels_fts.text, e.annotator FROM labels_fts "
            "JOIN label_events AS e ON e.seq = labels_fts.rowid "
            "WHERE labels_fts MATCH ? ORDER BY labels_fts.rank LIMIT ?",
            (match, limit),
        )
        hits = [FeatureHit(row[0], row[1], "label", row[2]) for row in labels]
        if len(hits) < limit:
            suggestions = self.rows(
                "SELECT s.feature, s.text, s.method FROM (SELECT rowid, rank FROM suggestions_fts "
                "WHERE suggestions_fts MATCH ? ORDER BY rank LIMIT ?) AS hit "
                "JOIN suggestions AS s ON s.id = hit.rowid ORDER BY hit.rank",
                (match, limit - len(hits)),
            )
            hits += [FeatureHit(row[0], row[1], "suggestion", row[2]) for row in suggestions]
        return hits

    def search_texts(self, query: str, limit: int = 50) -> list[TextHit]:
        """Texts by their words, best match first."""
        match = quote_query(query)
        if match is None:
            return []
        rows = self.rows(
            "SELECT t.id, snippet(texts_fts, 0, '', '', '…', 24) AS excerpt, t.source, t.category "
            "FROM texts_fts JOIN texts AS t ON t.id = texts_fts.rowid "
            "WHERE texts_fts MATCH ? ORDER BY texts_fts.rank LIMIT ?",
            (match, limit),
        )
        return [TextHit(*row) for row in rows]
