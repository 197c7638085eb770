"""Suggested descriptions: made by a method, never shown as labels, replaced when the method runs again."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any

from feature_db.errors import RowError, StoreError
from feature_db.records import SuggestionRecord, clean_text
from feature_db.sqlite.connection import Connection

__all__ = ["Suggestions"]


class Suggestions(Connection):
    """Writing and reading suggestions."""

    def replace_suggestions(
        self,
        method: str,
        suggestions: Iterable[Any],
        *,
        source: str = "suggestions",
        dry_run: bool = False,
    ) -> int:
        """Replace all suggestions of `method` in one transaction; returns how many there are now.

        Records are `SuggestionRecord`s or look-alikes; their own `method` is not read. All are taken in before
        the transaction begins: making them may take minutes, in which others must be able to write.
        With `dry_run` nothing changes. Raises RowError.
        """
        method = clean_text(method)
        rows = list(self._values(suggestions, method, source))
        with self.rehearsal() if dry_run else self.write() as conn:
            conn.execute("DELETE FROM suggestions WHERE method = ?", (method,))
            return self._insert(rows, source)

    def add_suggestions(self, suggestions: Iterable[Any], *, source: str = "suggestions") -> int:
        """Add suggestions of any methods; those already there are skipped. Returns how many were new."""
        with self.write():
            return self._insert(self._values(suggestions, None, source), source)

    def _values(
        self, suggestions: Iterable[Any], method: str | None, source: str
    ) -> Iterator[tuple[int, str, str, str]]:
        for row, record in enumerate(suggestions, 1):
            try:
                feature = self.check_feature(record.feature)
                evidence = json.dumps(dict(record.evidence), ensure_ascii=False, allow_nan=False)
            except (StoreError, TypeError, ValueError, OverflowError) as error:
                raise RowError(str(error), source=source, row=row) from None
            yield feature, clean_text(method or record.method), clean_text(record.text), clean_text(evidence)

    def _insert(self, rows: Iterable[tuple[int, str, str, str]], source: str) -> int:
        try:
            count = self.conn.executemany(
                "INSERT OR IGNORE INTO suggestions (feature, method, text, evidence) VALUES (?, ?, ?, ?)",
                rows,
            ).rowcount
        except sqlite3.IntegrityError:
            raise RowError(
                "a suggestion names a feature that was not harvested into this store", source=source
            ) from None
        self.conn.execute("INSERT INTO suggestions_fts (suggestions_fts) VALUES ('rebuild')")
        return count

    def suggestions(self, method: str | None = None) -> list[SuggestionRecord]:
        """All suggestions, or one method's, by feature."""
        rows = self.rows(
            "SELECT feature, method, text, evidence FROM suggestions "
            "WHERE :method IS NULL OR method = :method "
            "ORDER BY feature, method, id",
            {"method": method},
        )
        return [SuggestionRecord(row[0], row[1], row[2], json.loads(row[3])) for row in rows]
