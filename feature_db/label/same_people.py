"""Making one person of two whose names differ in case only, in stores from before such names were one.

New acts are written down under one spelling whatever is typed (`roles`). What was done under others stays theirs until
an admin merges them here: the one place where the author of an event is rewritten, and only to another case.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from feature_db.label.assignments import follow_events
from feature_db.label_values import folded
from feature_db.roles import ROLES, People
from feature_db.sqlite.connection import Connection
from feature_db.sqlite.schema import NAMED

__all__ = ["merge_people", "spelled_apart"]

_STATES = "CASE {0}.state WHEN 'done' THEN 3 WHEN 'skipped' THEN 2 WHEN 'leased' THEN 1 ELSE 0 END"


def spelled_apart(store: Connection) -> dict[str, dict[str, int]]:
    """Spelling that stands -> other spellings of the same person, with the number of rows each has."""
    rows: Counter[str] = Counter()
    for table, column in (*NAMED, ("people", "name")):
        for name, count in store.rows(f"SELECT {column}, count(*) FROM {table} GROUP BY 1"):
            rows[name] += count
    people = People(store)
    found: dict[str, dict[str, int]] = {}
    for name, count in sorted(rows.items()):
        stands = people.spelling(name)
        if stands != name and folded(stands) == folded(name):
            found.setdefault(stands, {})[name] = count
    return found


def merge_people(store: Connection, by: str, *, dry_run: bool = False) -> Mapping[str, Mapping[str, int]]:
    """Give all that was done under other spellings to the one that stands; returns `spelled_apart` of before.

    Where both have one of what a person has once (a draft, a place in a queue, a list of one name, a role), the later
    draft, the place that got further, both lists' features and the higher role stay. Their labels all stay: the latest
    counts, as after a merge of stores. `by` must be an admin; raises PermissionRefused.
    """
    people = People(store)
    with store.rehearsal() if dry_run else store.write():
        people.require(by, "merge people")
        found = spelled_apart(store)
        for stands, others in found.items():
            for other in others:
                _merge(store, other, stands)
    return found


def _merge(store: Connection, other: str, stands: str) -> None:
    conn = store.conn
    who = {"other": other, "stands": stands}
    for statement in (
        # Of two drafts of a feature the later one.
        "DELETE FROM drafts AS d WHERE annotator IN (:other, :stands) AND EXISTS (SELECT 1 FROM drafts AS n "
        "WHERE n.feature = d.feature AND n.annotator IN (:other, :stands) AND n.annotator <> d.annotator "
        "AND (n.time, n.uid) > (d.time, d.uid))",
        # Of two places in a queue the one that got further.
        "DELETE FROM assignments AS a WHERE annotator IN (:other, :stands) AND EXISTS (SELECT 1 FROM assignments AS b "
        "WHERE b.queue = a.queue AND b.feature = a.feature AND b.annotator IN (:other, :stands) AND b.id <> a.id "
        f"AND ({_STATES.format('b')}, b.id) > ({_STATES.format('a')}, a.id))",
        # Of two lists of one name both features.
        "INSERT OR IGNORE INTO list_items (list, feature, note, added) SELECT mine.id, i.feature, i.note, i.added "
        "FROM lists AS theirs JOIN lists AS mine ON mine.name = theirs.name AND mine.owner = :stands "
        "JOIN list_items AS i ON i.list = theirs.id WHERE theirs.owner = :other",
        "DELETE FROM lists WHERE owner = :other AND name IN (SELECT name FROM lists WHERE owner = :stands)",
        # How they like things shown: as the spelling that stands has it.
        "DELETE FROM choices WHERE person = :other AND name IN (SELECT name FROM choices WHERE person = :stands)",
    ):
        conn.execute(statement, who)
    roles = [row[0] for row in store.rows("SELECT role FROM people WHERE name IN (:other, :stands)", who)]
    if roles:
        highest = max(roles, key=ROLES.index)
        conn.execute(
            "INSERT INTO people (name, role, added) SELECT :stands, :role, min(added) FROM people "
            "WHERE name IN (:other, :stands) ON CONFLICT (name) DO UPDATE SET role = excluded.role",
            who | {"role": highest},
        )
        conn.execute("DELETE FROM people WHERE name = :other", who)
    # The log is append-only but for this; nobody else sees the store without the trigger.
    trigger = store.value("SELECT sql FROM sqlite_master WHERE name = 'label_events_no_update'")
    conn.execute("DROP TRIGGER label_events_no_update")
    for table, column in NAMED:
        conn.execute(f"UPDATE {table} SET {column} = :stands WHERE {column} = :other", who)
    conn.execute(trigger)
    conn.execute(
        "UPDATE queue_items SET done = (SELECT count(*) FROM assignments AS a WHERE a.queue = queue_items.queue "
        "AND a.feature = queue_items.feature AND a.state = 'done') WHERE (queue, feature) IN "
        "(SELECT queue, feature FROM assignments WHERE annotator = :stands)",
        who,
    )
    acted = store.rows("SELECT DISTINCT feature FROM label_events WHERE annotator = :stands", who)
    follow_events(store, [(row[0], stands) for row in acted])
