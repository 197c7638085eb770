"""Drafts: what a person typed about a feature and did not send. One each, written over; sending ends it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from feature_db.errors import StoreError
from feature_db.label.events import Event, events
from feature_db.records import clean_text
from feature_db.roles import People
from feature_db.sqlite.connection import Connection, microseconds

__all__ = ["is_news", "keep_draft", "save_draft"]

LARGEST_DRAFT = 100_000
_SUBMITTED = (
    "SELECT max(time) FROM label_events WHERE feature = :feature AND +annotator = :annotator "
    "AND kind IN ('label', 'edit', 'skip')"
)


def save_draft(store: Connection, feature: int, annotator: str, fields: Mapping[str, Any]) -> None:
    """Put `fields` in the place of this person's draft; call inside `store.write()`.

    What says the same as their label that stands is no draft but sent: it leaves none, however late it is told.
    Raises StoreError for what JSON cannot hold and for more than `LARGEST_DRAFT` characters.
    """
    if not isinstance(fields, Mapping):
        raise StoreError(f"a draft holds fields by name, not {type(fields).__name__}")
    try:
        text = json.dumps(dict(fields), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise StoreError("a draft holds texts, numbers, lists and nothing else") from None
    if len(text) > LARGEST_DRAFT:
        raise StoreError(f"a draft holds at most {LARGEST_DRAFT} characters")
    data = json.loads(clean_text(text))
    if _is_sent(store, feature, annotator, data):
        who = {"feature": feature, "annotator": annotator}
        store.conn.execute("DELETE FROM drafts WHERE feature = :feature AND annotator = :annotator", who)
        return
    before = events(store, "current_drafts", feature, annotator)
    if before and before[-1].data == data:
        return
    # A clock that was set back must not put it before what it follows.
    last = store.value(_SUBMITTED, {"feature": feature, "annotator": annotator}) or 0
    last = max(last, *(event.time for event in before), 0)
    keep_draft(
        store, Event(uuid.uuid4().hex, feature, annotator, "draft", max(microseconds(), last + 1), data=data)
    )


def _is_sent(store: Connection, feature: int, annotator: str, data: Mapping[str, Any]) -> bool:
    own = events(store, "current_labels", feature, annotator)
    if not own or not str(data.get("text") or "").strip():
        return False
    sent = own[-1]
    same = [
        (str(data.get("text") or "").strip(), sent.text),
        (str(data.get("note") or ""), sent.note),
        (data.get("evidence") or [], sent.data.get("evidence") or []),
        *((data.get(name), getattr(sent, name)) for name in ("category", "verdict", "confidence")),
    ]
    return all(typed == said for typed, said in same)


def is_news(store: Connection, draft: Event) -> bool:
    """Whether nothing here is as late: neither a draft of the same person and feature nor what they sent."""
    who = {"feature": draft.feature, "annotator": draft.annotator}
    here = store.value("SELECT time FROM drafts WHERE feature = :feature AND annotator = :annotator", who)
    return all(time is None or time < draft.time for time in (here, store.value(_SUBMITTED, who)))


def keep_draft(store: Connection, draft: Event) -> None:
    """Put `draft` in the place of the one before it; call inside `store.write()`."""
    People(store).remember(draft.annotator)
    store.conn.execute(
        "INSERT INTO drafts (feature, annotator, uid, data, time) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (feature, annotator) DO UPDATE "
        "SET uid = excluded.uid, data = excluded.data, time = excluded.time",
        (
            draft.feature,
            draft.annotator,
            draft.uid,
            json.dumps(draft.data, ensure_ascii=False, sort_keys=True),
            draft.time,
        ),
    )
