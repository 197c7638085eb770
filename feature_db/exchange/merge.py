"""Bringing histories together: events from a file or from another store of the same model, with a dry run.

What takes long, reading and checking, happens before the write lock is taken; others label on meanwhile. Under the
lock only what they added in that time is looked at again. A dry run takes no lock at all.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from feature_db.errors import StoreError
from feature_db.exchange.event_checks import Incoming, checked_against
from feature_db.exchange.event_files import holds_labels, read_events
from feature_db.exchange.foreign_store import foreign_events
from feature_db.exchange.format import Report
from feature_db.harvest.undo import undoable_events
from feature_db.label.assignments import follow_events
from feature_db.label.drafts import keep_draft
from feature_db.label.events import EVENT_COLUMNS, Event, insert_event
from feature_db.label_values import folded
from feature_db.roles import People
from feature_db.sqlite.connection import Connection
from feature_db.store import Store

__all__ = ["MergeReport", "import_events", "merge_store"]

_STATE_KINDS = ("label", "edit", "undo", "adjudicate")
_STANDING = """
SELECT feature, annotator, text, verdict, category, confidence, 0 AS settled, time, uid FROM current_labels
WHERE feature IN (SELECT value FROM json_each(:features))
UNION ALL
SELECT feature, annotator, text, verdict, category, confidence, 1, time, uid FROM current_adjudications
WHERE feature IN (SELECT value FROM json_each(:features))
ORDER BY settled, time, uid
"""

LISTED = 20
"""Contradictions that are told one by one"""

Standing = dict[int, tuple[str, ...]]


@dataclass
class MergeReport(Report):
    """What a merge changed or, after a dry run, would change: `changed` is of what stands, see `_line`."""

    known: int = 0
    """Events that were here already"""
    annotators: dict[str, int] = field(default_factory=dict)
    """Events added, by annotator"""

    @property
    def new(self) -> dict[str, int]:
        """Events added, by kind"""
        return self.counts

    def words(self, done: str = "added", would_be: str = "would be added") -> str:
        """One line, of what is added whatever is said of other files."""
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(self.new.items()))
        events = f"{sum(self.new.values()):,} events ({kinds}) of {', '.join(sorted(self.annotators))}"
        return (
            f"{events if kinds else 'no event'} {'would be added' if self.dry_run else 'added'}; {self.known:,} known "
            f"already; labels, or what was settled, of {len(self.changed):,} features change"
        )


def import_events(store: Store, path: str | Path, by: str, *, dry_run: bool = False) -> MergeReport:
    """Add the events of a file (see `event_files`) that are not here yet; all or none.

    `by` must be an admin, as events come in under their authors' names. Raises PermissionRefused, or RowError
    naming file and line, also when an event differs from the one of the same uid here or refers to what it cannot
    (`event_checks`).
    """
    People(store).require(by, "import events")
    found = Incoming(_one_spelling(store, read_events(store, path)), str(path), holds_labels(path))
    return _add(store, found, by, "import events", dry_run)


def merge_store(store: Store, other: str | Path, by: str, *, dry_run: bool = False) -> MergeReport:
    """Add the events of another store of the same model; both histories are kept, the other file is unchanged.

    Events only: roles, queues and lists stay each store's own. The other file is not trusted (`foreign_store`).
    Raises PermissionRefused, or StoreError when `other` is damaged, no store or not of this model.
    """
    if Path(other).resolve() == store.path.resolve():
        raise StoreError("a store cannot be merged with itself")
    People(store).require(by, "merge stores")
    found = Incoming(_one_spelling(store, foreign_events(store, other)), str(other), False)
    return _add(store, found, by, "merge stores", dry_run)


def _one_spelling(store: Store, rows: Iterable[tuple[int, Event]]) -> list[tuple[int, Event]]:
    """Each person as this store spells them; who is new, as they are spelled first."""
    people, spelled = People(store), dict[str, str]()
    listed = []
    for place, event in rows:
        key = folded(event.annotator)
        if key not in spelled:
            spelled[key] = people.spelling(event.annotator)
        listed.append((place, replace(event, annotator=spelled[key])))
    return listed


def _add(store: Store, found: Incoming, by: str, action: str, dry_run: bool) -> MergeReport:
    with store.snapshot():
        checked = checked_against(store, found)
        if dry_run:
            added = sorted(checked.added, key=lambda event: (event.time, event.uid))
            touched = sorted({event.feature for event in added})
            before = _standing(store.conn, touched)
            with _with(store, added, touched) as conn:
                after, notes = _standing(conn, touched), _contradictions(conn, touched)
            return _report(True, added, checked.known, before, after, notes)
    with store.write():
        People(store).require(by, action)
        checked = checked.again(store)
        added = sorted(checked.added, key=lambda event: (event.time, event.uid))
        touched = sorted({event.feature for event in added})
        before = _standing(store.conn, touched)
        with undoable_events(store, found.source):
            _insert(store, added)
        follow_events(store, {(event.feature, event.annotator) for event in added})
        after, notes = _standing(store.conn, touched), _contradictions(store.conn, touched)
        return _report(False, added, checked.known, before, after, notes)


def _report(
    dry_run: bool, added: list[Event], known: int, before: Standing, after: Standing, notes: list[str]
) -> MergeReport:
    features = sorted(before.keys() | after.keys())
    return MergeReport(
        dict(Counter(event.kind for event in added)),
        notes,
        dry_run,
        changed={f: (before.get(f, ()), after.get(f, ())) for f in features if before.get(f) != after.get(f)},
        known=known,
        annotators=dict(Counter(event.annotator for event in added)),
    )


def _insert(store: Store, added: list[Event]) -> None:
    """Insert events in order. The trigger that renews a feature's names runs for its last event only."""
    # Drafts first: a label of the same file that is later ends one, as it does on a page.
    for event in added:
        if event.kind == "draft":
            keep_draft(store, event)
    added = [event for event in added if event.kind != "draft"]
    last = {event.feature: event.uid for event in added if event.kind in _STATE_KINDS}
    with _without_trigger(store, "label_events_state"):
        for event in added:
            if last.get(event.feature) != event.uid:
                insert_event(store, event)
    for event in added:
        if last.get(event.feature) == event.uid:
            insert_event(store, event)


@contextlib.contextmanager
def _without_trigger(store: Connection, name: str) -> Iterator[None]:
    # Inside the transaction: nobody else ever sees the store without it.
    definition = store.value("SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name = ?", (name,))
    store.conn.execute(f"DROP TRIGGER {name}")
    yield
    store.conn.execute(definition)


def _standing(conn: sqlite3.Connection, features: Iterable[int]) -> Standing:
    found: dict[int, list[str]] = {}
    for feature, *said in conn.execute(_STANDING, {"features": json.dumps(list(features))}):
        found.setdefault(feature, []).append(_line(*said[:6]))
    return {feature: tuple(lines) for feature, lines in found.items()}


def _line(
    annotator: str,
    text: str | None,
    verdict: int | None,
    category: str | None,
    confidence: float | None,
    settled: int,
) -> str:
    """A label as "ann: lists (verdict 4, category style, confidence 0.5)", an adjudication as "settled by ann: ..."."""
    named = (("verdict", verdict), ("category", category), ("confidence", confidence))
    facts = ", ".join(f"{name} {value}" for name, value in named if value is not None)
    return f"{'settled by ' if settled else ''}{annotator}: {text or ''}{f' ({facts})' if facts else ''}"


def _contradictions(conn: sqlite3.Connection, features: Iterable[int]) -> list[str]:
    """Lines on people of whom several labels of one feature would stand that do not say the same."""
    found: dict[tuple[int, str], dict[tuple[Any, ...], str]] = {}
    for feature, *said in conn.execute(_STANDING, {"features": json.dumps(list(features))}):
        annotator, text, verdict, category, confidence, settled = said[:6]
        if not settled:
            lines = found.setdefault((feature, annotator), {})
            lines[text, verdict, category] = _line(annotator, text, verdict, category, confidence, 0)
    several = {key: lines for key, lines in found.items() if len(lines) > 1}
    if not several:
        return []
    more = len(several) - LISTED
    return [
        f"{len(several):,} times one person has labels of one feature that contradict each other; the latest counts",
        *(f"feature {key[0]}: {' | '.join(lines.values())}" for key, lines in list(several.items())[:LISTED]),
        *([f"and {more:,} more"] if more > 0 else []),
    ]


@contextlib.contextmanager
def _with(store: Store, added: list[Event], features: list[int]) -> Iterator[sqlite3.Connection]:
    """What would stand: the same table and views in memory, with the events of these features and the new ones."""
    definitions = [
        store.value("SELECT sql FROM sqlite_master WHERE name = ?", (name,))
        for name in (
            "label_events",
            "label_events_feature",
            "label_events_supersedes",
            "current_labels",
            "current_adjudications",
        )
    ]
    marks = ", ".join("?" * len(EVENT_COLUMNS.split(", ")))
    with contextlib.closing(sqlite3.connect(":memory:")) as conn:
        for definition in definitions:
            conn.execute(definition)
        copy = f"INSERT INTO label_events ({EVENT_COLUMNS}) VALUES ({marks})"
        here = store.conn.execute(
            f"SELECT {EVENT_COLUMNS} FROM label_events WHERE feature IN (SELECT value FROM json_each(?))",
            (json.dumps(features),),
        )
        conn.executemany(copy, map(tuple, here))
        conn.executemany(copy, (event.row() for event in added))
        yield conn
