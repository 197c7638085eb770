"""Undoing the last import from another program: what it replaced is kept beside it, one generation.

Kept in the store itself and written in the import's own transaction, so it is there exactly when the import is. What
people did since (labels, drafts, lists, queues) stays: a feature or text that they refer to is not taken away.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from feature_db.errors import StoreError
from feature_db.records import ImportRecord
from feature_db.sqlite.connection import Connection, microseconds

__all__ = [
    "EVENTS",
    "forget",
    "last_undoable",
    "record_import",
    "remember",
    "undo_import",
    "undoable_events",
    "undoable_suggestions",
]

EVENTS = "events"
"""Of imports of what people did, which `exchange.take_back` undoes"""

_FEATURE = "head_weight, firing_count, denominator, density, mean, max"
_DETAILS = "histogram_edges, histogram_counts, neighbours, cofiring_features, cofiring_counts, cofiring_of"
_EXAMPLE = (
    "id, feature, text, kind, rank, purpose, activation, peak_position, per_token, band, band_low, band_high, "
    "token"
)
_TEXT = "token_ids, tokens, source, category"
_TABLES = ("import", "made", "features", "details", "examples", "texts", "origins", "suggestions")
_KEPT_BY = ("label_events", "drafts", "list_items", "queue_items", "assignments", "label_tests")
"""Tables of what people did, by feature"""


def forget(store: Connection) -> None:
    """What was replaced before is not kept any more; call inside `store.write()`."""
    for table in _TABLES:
        store.conn.execute(f"DELETE FROM undo_{table}")


def record_import(store: Connection, format: str, source: str, header: Mapping[str, Any] | None) -> int:
    """That something was taken in, in the list of imports; call inside `store.write()`. Returns its number."""
    row = store.conn.execute(
        "INSERT INTO imports (format, source, header, time) VALUES (?, ?, ?, ?) RETURNING id",
        (format, source, json.dumps(dict(header or {}), allow_nan=False), microseconds()),
    ).fetchone()
    return int(row[0])


@contextmanager
def remember(store: Connection) -> Iterator[list[int]]:
    """Keep what an import replaces; call inside `store.write()`, with its rows staged, around what changes the store.

    The number of the import has to be in the list when the block ends.
    """
    conn = store.conn
    forget(store)
    staged = "SELECT id FROM staged_features"
    with_examples = "SELECT DISTINCT feature FROM staged_examples"
    for statement in (
        f"INSERT INTO undo_features SELECT id, {_FEATURE} FROM features WHERE id IN ({staged})",
        f"INSERT INTO undo_details SELECT feature, {_DETAILS} FROM feature_details WHERE feature IN ({staged})",
        f"INSERT OR IGNORE INTO undo_made SELECT 'feature', id FROM ({staged}) "
        "WHERE id NOT IN (SELECT id FROM features)",
        f"INSERT OR IGNORE INTO undo_made SELECT 'details', id FROM ({staged}) "
        "WHERE id NOT IN (SELECT feature FROM feature_details)",
        f"INSERT OR IGNORE INTO undo_made SELECT 'examples', feature FROM ({with_examples})",
        f"INSERT INTO undo_examples SELECT {_EXAMPLE} FROM examples WHERE feature IN ({with_examples})",
        f"INSERT INTO undo_texts SELECT id, {_TEXT} FROM texts WHERE hash IN (SELECT hash FROM staged_texts)",
        "INSERT INTO undo_origins SELECT feature, origin FROM origins",
    ):
        conn.execute(statement)
    last_text = store.value("SELECT coalesce(max(id), 0) FROM texts")
    numbers: list[int] = []
    with _suggestions(conn):
        yield numbers
    conn.execute("INSERT INTO undo_made SELECT 'text', id FROM texts WHERE id > ?", (last_text,))
    conn.execute("INSERT INTO undo_import VALUES (?)", numbers)


@contextmanager
def undoable_suggestions(
    store: Connection, format: str, source: str, header: Mapping[str, Any] | None = None
) -> Iterator[None]:
    """The same for an import of nothing but suggestions, which is recorded; call inside `store.write()`."""
    forget(store)
    store.conn.execute("INSERT INTO undo_origins SELECT feature, origin FROM origins")
    with _suggestions(store.conn):
        yield
    number = record_import(store, format, source, header)
    store.conn.execute("INSERT INTO undo_import VALUES (?)", (number,))


@contextmanager
def undoable_events(store: Connection, source: str) -> Iterator[None]:
    """The same for events, around what adds them: which they are is kept, as they are never removed."""
    forget(store)
    after = store.value("SELECT coalesce(max(seq), 0) FROM label_events")
    yield
    to = store.value("SELECT coalesce(max(seq), 0) FROM label_events")
    if to > after:
        number = record_import(store, EVENTS, source, {"after": after, "to": to})
        store.conn.execute("INSERT INTO undo_import VALUES (?)", (number,))


@contextmanager
def _suggestions(conn: sqlite3.Connection) -> Iterator[None]:
    columns = "feature, method, text, evidence"
    conn.execute(f"INSERT INTO undo_suggestions SELECT {columns}, 0 FROM suggestions")
    yield
    conn.execute(
        f"INSERT INTO undo_suggestions SELECT {columns}, 1 FROM suggestions "
        f"WHERE ({columns}) NOT IN (SELECT {columns} FROM undo_suggestions WHERE added = 0)"
    )
    conn.execute(
        f"DELETE FROM undo_suggestions WHERE added = 0 AND ({columns}) IN (SELECT {columns} FROM suggestions)"
    )


def last_undoable(store: Connection) -> ImportRecord | None:
    """The import that `undo_import` would undo, if there is one."""
    row = store.row(
        "SELECT id, format, source, header, time FROM imports JOIN undo_import ON import = id "
        "WHERE id = (SELECT max(id) FROM imports)"
    )
    return None if row is None else ImportRecord(row[0], row[1], row[2], json.loads(row[3]), row[4])


def undo_import(store: Connection) -> ImportRecord:
    """Put back what the last import from another program replaced, and take away what it brought.

    Returns what was undone. Raises StoreError when the last import is none that can be undone, or was already.
    """
    with store.write() as conn:
        undone = last_undoable(store)
        if undone is None or undone.format == EVENTS:
            raise StoreError(
                f"{store.path}: there is nothing to undo: the last import can be undone once, unless it was a harvest"
            )
        conn.execute(
            "DELETE FROM examples WHERE feature IN (SELECT id FROM undo_made WHERE what = 'examples')"
        )
        conn.execute(f"INSERT INTO examples ({_EXAMPLE}) SELECT {_EXAMPLE} FROM undo_examples")
        for table, key, columns, kept in (
            ("features", "id", _FEATURE, "undo_features"),
            ("feature_details", "feature", _DETAILS, "undo_details"),
            ("texts", "id", _TEXT, "undo_texts"),
        ):
            conn.execute(
                f"UPDATE {table} SET ({columns}) = (SELECT {columns} FROM {kept} WHERE {kept}.{key} = {table}.{key}) "
                f"WHERE {key} IN (SELECT {key} FROM {kept})"
            )
        conn.execute(
            "DELETE FROM suggestions WHERE (feature, method, text, evidence) IN "
            "(SELECT feature, method, text, evidence FROM undo_suggestions WHERE added = 1)"
        )
        conn.execute(
            "INSERT OR IGNORE INTO suggestions (feature, method, text, evidence) "
            "SELECT feature, method, text, evidence FROM undo_suggestions WHERE added = 0"
        )
        conn.execute("INSERT INTO suggestions_fts (suggestions_fts) VALUES ('rebuild')")
        conn.execute("DELETE FROM origins")
        conn.execute("INSERT INTO origins SELECT feature, origin FROM undo_origins")
        _take_away_texts(conn)
        _take_away_features(conn)
        forget(store)
        conn.execute("DELETE FROM imports WHERE id = ?", (undone.id,))
    return undone


def _take_away_texts(conn: sqlite3.Connection) -> None:
    """Those the import brought, but for what is an example of something, encoded, or named by what people did."""
    gone = conn.execute(
        "SELECT id FROM texts WHERE id IN (SELECT id FROM undo_made WHERE what = 'text') "
        "AND id NOT IN (SELECT text FROM examples) AND id NOT IN (SELECT text FROM encodings) AND hash NOT IN ("
        "SELECT j.value FROM label_events, json_tree(label_events.data) AS j WHERE j.type = 'text' UNION ALL "
        "SELECT j.value FROM drafts, json_tree(drafts.data) AS j WHERE j.type = 'text' UNION ALL "
        "SELECT j.value FROM label_tests, json_each(label_tests.texts) AS j)"
    ).fetchall()
    conn.executemany(
        "INSERT INTO texts_fts (texts_fts, rowid, body) "
        "SELECT 'delete', id, body FROM text_bodies WHERE id = ?",
        gone,
    )
    conn.executemany("DELETE FROM texts WHERE id = ?", gone)


def _take_away_features(conn: sqlite3.Connection) -> None:
    """Those the import brought; one that people worked on since stays, with nothing known of it."""
    conn.execute(
        "DELETE FROM feature_details WHERE feature IN (SELECT id FROM undo_made WHERE what = 'details')"
    )
    used = " UNION ALL ".join(
        f"SELECT feature FROM {table}" for table in (*_KEPT_BY, "suggestions", "examples")
    )
    conn.execute(
        f"DELETE FROM features WHERE id IN (SELECT id FROM undo_made WHERE what = 'feature') AND id NOT IN ({used})"
    )
    nothing = ", ".join(f"{name} = NULL" for name in _FEATURE.split(", "))
    conn.execute(
        f"UPDATE features SET {nothing} WHERE id IN (SELECT id FROM undo_made WHERE what = 'feature')"
    )
