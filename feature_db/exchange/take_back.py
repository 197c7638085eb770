"""Undoing the last import, whatever it was of.

Events are never removed: an import of them is taken back by undo events, one for each event that it brought and nobody
took back before. What stood before stands again; both histories stay.
"""

from __future__ import annotations

import json
import uuid

from feature_db.errors import StoreError
from feature_db.exchange.format import Report
from feature_db.harvest.undo import EVENTS, forget, last_undoable, undo_import
from feature_db.label.assignments import follow_events
from feature_db.label.events import Event, insert_event
from feature_db.records import ImportRecord
from feature_db.roles import People
from feature_db.sqlite.connection import microseconds
from feature_db.store import Store

__all__ = ["take_back"]

_BROUGHT = """
SELECT uid, feature, annotator, kind, supersedes, time FROM label_events WHERE seq > :after AND seq <= :to
"""
_UNDONE = "SELECT supersedes FROM label_events WHERE kind = 'undo'"


def take_back(store: Store, by: str = "") -> tuple[ImportRecord, Report]:
    """Undo the last import (see `harvest.undo`); `by` is who asks, an admin where events are taken back.

    Raises StoreError when there is nothing to undo, when people went on from what came in, or when it held undos of
    events that were here before, which nothing can undo; PermissionRefused.
    """
    with store.snapshot():
        asked = last_undoable(store)
    if asked is None or asked.format != EVENTS:
        return undo_import(store), Report({})
    with store.write() as conn:
        last = last_undoable(store)
        if last != asked:
            raise StoreError(f"{store.path}: somebody imported something else meanwhile: look again")
        People(store).require(by, "import events")
        named = {"after": asked.header["after"], "to": asked.header["to"]}
        brought = store.rows(_BROUGHT, named)
        uids = {row["uid"] for row in brought}
        kept = [row for row in brought if row["kind"] == "undo" and row["supersedes"] not in uids]
        if kept:
            raise StoreError(
                f"{store.path}: the import took back {len(kept):,} events that were here before, which nothing can "
                "undo: label these features again"
            )
        later = store.value(
            f"SELECT count(*) FROM label_events AS e WHERE seq > :to AND uid NOT IN ({_UNDONE}) AND kind <> 'undo' "
            "AND (supersedes IN (SELECT value FROM json_each(:uids)) OR about IN (SELECT value FROM json_each(:uids)))",
            {"to": named["to"], "uids": json.dumps(sorted(uids))},
        )
        if later:
            raise StoreError(
                f"{store.path}: people went on from what came in ({later:,} edits, votes or the like): their authors "
                "undo these first"
            )
        undone = {row[0] for row in store.rows(_UNDONE)}
        now = max(microseconds(), *(row["time"] + 1 for row in brought)) if brought else microseconds()
        taken = [row for row in brought if row["kind"] != "undo" and row["uid"] not in undone]
        # The newest first, as a person would.
        for place, row in enumerate(sorted(taken, key=lambda row: (row["time"], row["uid"]), reverse=True)):
            event = Event(
                uuid.uuid4().hex,
                row["feature"],
                row["annotator"],
                "undo",
                now + place,
                note="its import was undone",
                data={"by": by},
                supersedes=row["uid"],
            )
            insert_event(store, event)
        follow_events(store, {(row["feature"], row["annotator"]) for row in taken})
        forget(store)
        conn.execute("DELETE FROM imports WHERE id = ?", (asked.id,))
    return asked, Report({"events": len(taken)})
