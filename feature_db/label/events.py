"""One label event, and the only statement that adds events to the store."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from feature_db.roles import People
from feature_db.sqlite.connection import Connection
from feature_db.sqlite.schema import EVENT_KINDS

__all__ = ["EVENT_COLUMNS", "EVENT_KINDS", "Event", "events", "events_named", "insert_event"]

EVENT_COLUMNS = (
    "uid, feature, annotator, kind, text, category, verdict, confidence, note, data, about, supersedes, time"
)


@dataclass(frozen=True)
class Event:
    """Something a person did about a feature. Never changed and never deleted."""

    uid: str
    """The same in every store the event was merged into."""
    feature: int
    annotator: str
    kind: str
    time: int
    """Microseconds since 1970 UTC."""
    text: str | None = None
    category: str | None = None
    verdict: int | None = None
    """Labels and adjudications: monosemanticity, 1 to 5. Votes: 1 for, -1 against."""
    confidence: float | None = None
    """0 to 1"""
    note: str = ""
    """The reason of a vote, skip, flag or adjudication."""
    data: dict[str, Any] = field(default_factory=dict)
    """Evidence (hashes of texts), the score of a label's test, the fields of a draft or of one that a skip ended."""
    about: str | None = None
    """uid of the label that a vote, flag or adjudication is about."""
    supersedes: str | None = None
    """uid of the event that this edit, undo, vote or adjudication replaces."""

    def row(self) -> tuple[Any, ...]:
        """The values of `EVENT_COLUMNS`."""
        values = {
            **vars(self),
            "data": json.dumps(self.data, ensure_ascii=False, allow_nan=False, sort_keys=True),
        }
        return tuple(values[name] for name in EVENT_COLUMNS.split(", "))


def insert_event(store: Connection, event: Event) -> None:
    """Add one event; call inside `store.write()`."""
    People(store).remember(event.annotator)
    marks = ", ".join("?" * len(EVENT_COLUMNS.split(", ")))
    store.conn.execute(f"INSERT INTO label_events ({EVENT_COLUMNS}) VALUES ({marks})", event.row())


def events_named(store: Connection, uids: Iterable[str]) -> dict[str, Event]:
    """Those of `uids` that the store has, by uid."""
    rows = store.rows(
        f"SELECT {EVENT_COLUMNS} FROM label_events WHERE uid IN (SELECT value FROM json_each(?))",
        (json.dumps(list(uids)),),
    )
    return {row["uid"]: _event(row) for row in rows}


def events(
    store: Connection,
    table: str = "label_events",
    feature: int | None = None,
    annotator: str | None = None,
    uid: str | None = None,
) -> list[Event]:
    """Events of `label_events` or of one of its views, in order of time."""
    rows = store.rows(
        f"SELECT {EVENT_COLUMNS} FROM {table} WHERE {_where(feature, annotator, uid)} ORDER BY time, uid",
        {"feature": feature, "annotator": annotator, "uid": uid},
    )
    return [_event(row) for row in rows]


def _where(feature: int | None, annotator: str | None, uid: str | None) -> str:
    given = {"feature": feature, "annotator": annotator, "uid": uid}
    return " AND ".join(f"{name} = :{name}" for name, value in given.items() if value is not None) or "1"


def _event(row: sqlite3.Row) -> Event:
    return Event(**{**dict(row), "data": json.loads(row["data"])})
