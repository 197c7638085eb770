"""Full-text search with stemming over labels, suggestions and texts."""

from __future__ import annotations

import re
from dataclasses import dataclass

from feature_db.records import clean_text
from feature_db.sqlite.connection import Connection

__all__ = ["FeatureHit", "Search", "TextHit", "quote_query"]

RANKED = 5_000
"""Matches that are ranked. Ranking all 59,302 labels that hold one common word took 90 ms, 5,000 take 6 ms; and
where a word is in so many labels, its rank tells them apart by little but their length."""

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
        """Features by the words of their labels, then of their suggestions, best match first within each.

        Of a settled feature the text it was settled on is looked in, not the labels that were passed over.

        When more than `RANKED` match, the best of the first so many are found.
        """
        match = quote_query(query)
        if match is None:
            return []
        labels = self.rows(
            f"SELECT e.feature, e.text, e.annotator FROM {_best('labels_fts')} AS hit "
            "JOIN label_events AS e ON e.seq = hit.rowid ORDER BY hit.score",
            (match, RANKED, limit),
        )
        hits = [FeatureHit(row[0], row[1], "label", row[2]) for row in labels]
        if len(hits) < limit:
            suggestions = self.rows(
                f"SELECT s.feature, s.text, s.method FROM {_best('suggestions_fts')} AS hit "
                "JOIN suggestions AS s ON s.id = hit.rowid ORDER BY hit.score",
                (match, RANKED, limit - len(hits)),
            )
            hits += [FeatureHit(row[0], row[1], "suggestion", row[2]) for row in suggestions]
        return hits

    def search_texts(self, query: str, limit: int = 50) -> list[TextHit]:
        """Texts by their words, best match first."""
        match = quote_query(query)
        if match is None:
            return []
        excerpt = "snippet(texts_fts, 0, '', '', '…', 24)"
        rows = self.rows(
            f"SELECT t.id, hit.excerpt, t.source, t.category FROM "
            f"(SELECT texts_fts.rowid, {excerpt} AS excerpt, best.score FROM {_best('texts_fts')} AS best "
            "JOIN texts_fts ON texts_fts.rowid = best.rowid WHERE texts_fts MATCH ?) AS hit "
            "JOIN texts AS t ON t.id = hit.rowid ORDER BY hit.score",
            (match, RANKED, limit, match),
        )
        return [TextHit(*row) for row in rows]


def _best(table: str) -> str:
    """A subquery of rowid and score, smaller is better; its parameters are match, `RANKED` and the limit."""
    return (
        f"(SELECT rowid, score FROM (SELECT rowid, bm25({table}) AS score FROM {table} WHERE {table} MATCH ? "
        "LIMIT ?) ORDER BY score LIMIT ?)"
    )
