"""Queues of features to label: who gets which, for how long, and how far everybody is."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from feature_db.errors import StoreError
from feature_db.features.catalogue import FeatureFilter
from feature_db.label.labels import Labels
from feature_db.label.queue_order import NAMEABLE, features_in_order
from feature_db.label_values import string
from feature_db.roles import People, check_name
from feature_db.sqlite.connection import microseconds
from feature_db.store import Store

__all__ = ["NAMEABLE", "REQUIRABLE", "Assignment", "Progress", "Queue", "Queues"]

REQUIRABLE = ("category", "verdict", "confidence", "note")
"""What a queue may ask for besides the text, which no label is without"""

# One statement, so two people cannot both see a place as free. First what this person still holds or held when
# the lease ran out, then the first open place. Each half stops at its first row. A plus sign keeps SQLite from an
# index that would read all that one person did. A label counts in every queue that has the feature, so whoever
# holds the feature from any queue is about to fill a place in this one.
_FREE = """
    i.done < i.wanted
    AND i.done + (
        SELECT count(DISTINCT other.annotator) FROM queues AS holds
        CROSS JOIN assignments AS other ON other.queue = holds.id AND other.feature = i.feature
        WHERE holds.closed IS NULL
        AND other.annotator <> :annotator AND other.state = 'leased' AND other.expires > :now
    ) < i.wanted
    AND NOT EXISTS (
        SELECT 1 FROM current_labels AS l WHERE l.feature = i.feature AND +l.annotator = :annotator
    )"""
_CLAIM = f"""
INSERT INTO assignments (queue, feature, annotator, state, leased, expires)
SELECT :queue, feature, :annotator, 'leased', :now,
       :now + 1000000 * min(:most, (SELECT lease_seconds FROM queues WHERE id = :queue))
FROM (
    SELECT feature FROM (
        SELECT own.feature FROM assignments AS own
        JOIN queue_items AS i ON i.queue = own.queue AND i.feature = own.feature
        WHERE own.queue = :queue AND own.annotator = :annotator AND own.state = 'leased' AND {_FREE}
        ORDER BY own.expires DESC LIMIT 1
    )
    UNION ALL
    SELECT feature FROM (
        SELECT i.feature FROM queue_items AS i
        WHERE i.queue = :queue AND i.done < i.wanted AND i.feature NOT IN (
            SELECT feature FROM assignments
            WHERE queue = :queue AND annotator = :annotator AND state IN ('done', 'skipped')
        ) AND {_FREE}
        ORDER BY i.position LIMIT 1
    )
    LIMIT 1
) WHERE true
ON CONFLICT (queue, feature, annotator) DO UPDATE
    SET state = 'leased', leased = excluded.leased, expires = excluded.expires
RETURNING id, feature, expires
"""
# The same for one feature, in whichever queue has a place: first one that lends it to this person already, then the
# one asked for.
_TAKE = f"""
INSERT INTO assignments (queue, feature, annotator, state, leased, expires)
SELECT i.queue, i.feature, :annotator, 'leased', :now, :now + 1000000 * q.lease_seconds
FROM queues AS q CROSS JOIN queue_items AS i ON i.queue = q.id AND i.feature = :feature
WHERE q.closed IS NULL AND {_FREE}
ORDER BY EXISTS (
    SELECT 1 FROM assignments AS own WHERE own.queue = i.queue AND own.feature = i.feature
    AND own.annotator = :annotator AND own.state = 'leased'
) DESC, i.queue IS :first DESC, i.queue DESC LIMIT 1
ON CONFLICT (queue, feature, annotator) DO UPDATE
    SET state = 'leased', leased = excluded.leased, expires = excluded.expires
RETURNING id, queue, feature, expires
"""
_LENT = """
SELECT min(a.expires) FROM queues AS q
CROSS JOIN assignments AS a ON a.queue = q.id AND a.feature = :feature
WHERE q.closed IS NULL AND EXISTS (
    SELECT 1 FROM queues AS asks CROSS JOIN queue_items AS i ON i.queue = asks.id AND i.feature = :feature
    WHERE asks.closed IS NULL AND +i.done < i.wanted
) AND a.annotator <> :annotator AND a.state = 'leased' AND a.expires > :now
AND NOT EXISTS (SELECT 1 FROM current_labels AS l WHERE l.feature = :feature AND +l.annotator = :annotator)
"""


@dataclass(frozen=True)
class Queue:
    """A queue as it was made, and whether it is closed."""

    id: int
    name: str
    made_from: dict[str, Any]
    overlap: int
    lease_seconds: int
    made_by: str
    size: int
    closed: int | None
    """When it was closed (microseconds since 1970 UTC); None while it lends."""
    required: tuple[str, ...] = ()
    """Fields that each label from it has to fill, of `REQUIRABLE`"""

    def missing(self, fields: Mapping[str, Any]) -> list[str]:
        """Those of `required` that `fields` leaves empty."""
        return [name for name in self.required if fields.get(name) in (None, "")]


@dataclass(frozen=True)
class Assignment:
    """One feature, lent to one person until `expires` (microseconds since 1970 UTC)."""

    id: int
    queue: int
    feature: int
    expires: int
    draft: dict[str, Any] | None
    """What this person had typed when a lease ran out or a connection was lost."""


@dataclass(frozen=True)
class Progress:
    """How far a queue is."""

    features: int
    wanted: int
    """Labels wanted in all: features x overlap"""
    done: int
    """Labels given, those beyond the overlap not counted"""
    leased: int
    """Places taken at this moment"""
    own_done: int
    own_skipped: int


class Queues:
    """Queues, used in the name of one person. Each method checks that person's role when it is called."""

    def __init__(self, store: Store, annotator: str):
        self.store = store
        self.annotator = People(store).spelling(annotator)
        self.labels = Labels(store, annotator)

    def make(
        self,
        name: str,
        filters: FeatureFilter | None = None,
        *,
        sort: str = "effect",
        limit: int = 1_000,
        overlap: int = 1,
        lease_seconds: int = 900,
        required: Sequence[str] = (),
    ) -> int:
        """Make a queue of the features a filter lets through now, largest `sort` first; returns its id.

        The sort "nameable" puts those first that a program nearly named (`queue_order`). `overlap` people are asked for
        each, and for the fields `required` (of `REQUIRABLE`) as well as a text. Raises PermissionRefused, or StoreError
        when the name is taken, a number is out of range or no feature is left.
        """
        name = string(name, "a queue's name").strip()
        if not 1 <= len(name) <= 100:
            raise StoreError("a queue's name has 1 to 100 characters")
        if not all(type(number) is int for number in (overlap, lease_seconds, limit)):
            raise StoreError("overlap, lease and limit are whole numbers")
        if not 1 <= overlap <= 100 or not 10 <= lease_seconds <= 86_400 * 7 or not 1 <= limit < 2**63:
            raise StoreError("overlap is 1 to 100, a lease 10 seconds to 7 days, and the limit at least 1")
        if unknown := set(required) - set(REQUIRABLE):
            raise StoreError(
                f"a queue can require {', '.join(REQUIRABLE)}, not {', '.join(sorted(map(str, unknown)))}"
            )
        filters = filters or FeatureFilter()
        where = {key: value for key, value in asdict(filters).items() if value is not None}
        if filters.ids is not None:
            where["ids"] = [int(feature) for feature in filters.ids]
        with self.store.write() as conn:
            annotator = People(self.store).require(self.annotator, "make a queue")
            People(self.store).remember(annotator)
            same = self.store.row("SELECT closed FROM queues WHERE name = ?", (name,))
            if same is not None:
                state = "" if same["closed"] is None else ", closed; open it again or choose another name"
                raise StoreError(f"there is a queue named {name!r} already{state}")
            chosen = features_in_order(self.store, sort, filters, limit)
            if not chosen:
                raise StoreError("no feature is left by this filter; nothing to label")
            queue = conn.execute(
                "INSERT INTO queues (name, made_from, overlap, lease_seconds, made_by, made, required) "
                "VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id",
                (
                    name,
                    json.dumps({"filter": where, "sort": sort, "limit": limit}),
                    overlap,
                    lease_seconds,
                    annotator,
                    microseconds(),
                    json.dumps([field for field in REQUIRABLE if field in required]),
                ),
            ).fetchone()[0]
            conn.executemany(
                "INSERT INTO queue_items (queue, position, feature, wanted) VALUES (?, ?, ?, ?)",
                [(queue, position, feature, overlap) for position, feature in enumerate(chosen)],
            )
        return int(queue)

    def close(self, queue: int) -> None:
        """Stop a queue: it lends nothing and hides nothing any more. What was done in it stays, and still counts.

        Who holds a feature can still send its label. For whoever made the queue, adjudicators and admins; raises
        PermissionRefused, or StoreError when it is closed already.
        """
        self._switch(queue, microseconds())

    def reopen(self, queue: int) -> None:
        """Let a closed queue lend again. For the same people; raises StoreError when it is open."""
        self._switch(queue, None)

    def _switch(self, queue: int, closed: int | None) -> None:
        with self.store.write() as conn:
            before = self._queue(queue)
            if before["made_by"] != check_name(self.annotator):
                People(self.store).require(self.annotator, "close a queue")
            if (before["closed"] is None) == (closed is None):
                raise StoreError(
                    f"the queue {before['name']!r} is {'open' if closed is None else 'closed'} already"
                )
            conn.execute("UPDATE queues SET closed = ? WHERE id = ?", (closed, queue))

    def _queue(self, queue: int) -> sqlite3.Row:
        number = type(queue) is int and 0 <= queue < 2**63
        found = self.store.row("SELECT * FROM queues WHERE id = ?", (queue,)) if number else None
        if found is None:
            raise StoreError(f"there is no queue {queue}" if number else "a queue is asked for by its number")
        return found

    def queues(self) -> list[Queue]:
        """All queues, closed ones too, newest first."""
        rows = self.store.rows(
            "SELECT id, name, made_from, overlap, lease_seconds, made_by, closed, required, "
            "(SELECT count(*) FROM queue_items WHERE queue = queues.id) AS size FROM queues ORDER BY id DESC"
        )
        return [
            Queue(
                **dict(row)
                | {"made_from": json.loads(row["made_from"]), "required": tuple(json.loads(row["required"]))}
            )
            for row in rows
        ]

    def queue(self, queue: int) -> Queue:
        """One queue. Raises StoreError where there is none of that number."""
        self._queue(queue)
        return next(found for found in self.queues() if found.id == queue)

    def claim(self, queue: int, most: int | None = None) -> Assignment | None:
        """The next feature for this person, or None when nothing is left for them. StoreError: it is closed.

        Asking again while a lease runs gives the same feature and renews the lease, so a reload loses
        nothing. Features this person has labelled or skipped are not offered again. `most` seconds are what it is
        held for somebody who only looks: until they have a draft of it, which `renew` holds for the whole lease.
        """
        with self.store.write() as conn:
            annotator = People(self.store).require(self.annotator, "claim")
            People(self.store).remember(annotator)
            if self._queue(queue)["closed"] is not None:
                raise StoreError(f"the queue {self._queue(queue)['name']!r} was closed; choose another one")
            row = conn.execute(
                _CLAIM,
                {
                    "queue": queue,
                    "annotator": annotator,
                    "now": microseconds(),
                    "most": 2**31 if most is None else most,
                },
            ).fetchone()
            if row is None:
                return None
            draft = self.labels.last_draft(row["feature"])
            expires = row["expires"]
            if most is not None and draft is not None and any(draft.values()):
                expires = self.renew(row["id"])
            return Assignment(row["id"], queue, row["feature"], expires, draft)

    def take(self, feature: int, first: int | None = None) -> Assignment | None:
        """The place of one feature in a queue, also one this person had skipped; renews a lease they hold.

        Of several queues with a place `first` lends it, else the newest. None when no queue waits for their label
        of it: then it is labelled by its number. Raises StoreError when every place is lent to somebody else.
        """
        feature = self.store.check_feature(feature)
        with self.store.write() as conn:
            annotator = People(self.store).require(self.annotator, "claim")
            People(self.store).remember(annotator)
            who = {"feature": feature, "annotator": annotator, "now": microseconds()}
            row = conn.execute(_TAKE, who | {"first": first}).fetchone()
            if row is not None:
                return Assignment(
                    row["id"], row["queue"], feature, row["expires"], self.labels.last_draft(feature)
                )
            until = self.store.value(_LENT, who)
        if until is not None:
            minutes = max(1, -(-(until - who["now"]) // 60_000_000))
            raise StoreError(
                f"somebody else is labelling feature {feature} now; unless they finish, it is free again in "
                f"{minutes} minute{'' if minutes == 1 else 's'}"
            )
        return None

    def renew(self, assignment: int) -> int:
        """Extend a lease; returns when it expires. Raises StoreError when it ran out and the place is taken."""
        now = microseconds()
        with self.store.write() as conn:
            annotator = People(self.store).require(self.annotator, "claim")
            self._own(assignment)
            row = conn.execute(
                "UPDATE assignments SET expires = :now + 1000000 * "
                "(SELECT lease_seconds FROM queues WHERE id = assignments.queue) "
                "WHERE id = :id AND annotator = :annotator AND state = 'leased' AND (expires > :now OR EXISTS "
                "(SELECT 1 FROM queue_items AS i WHERE i.queue = assignments.queue "
                f"AND i.feature = assignments.feature AND {_FREE})) RETURNING expires",
                {"id": assignment, "annotator": annotator, "now": now},
            ).fetchone()
        if row is None:
            raise StoreError(
                "the time for this feature ran out and it went to somebody else; your draft is kept"
            )
        return int(row["expires"])

    def submit(self, assignment: int, text: str, **fields: Any) -> str:
        """Label the feature of an assignment (`Labels.label`) and finish it, in one transaction.

        A label that comes after its lease ran out is kept all the same. Returns the event's uid.
        """
        with self.store.write():
            feature = self._open(assignment)
            asks = self.store.value("SELECT queue FROM assignments WHERE id = ?", (assignment,))
            if missing := self.queue(asks).missing(fields):
                raise StoreError(f"this queue asks for more: {' and '.join(missing)}")
            uid = self.labels.label(feature, text, **fields)
            self._finish(assignment, "done")
        return uid

    def skip(self, assignment: int, reason: str) -> str:
        """Pass over the feature with a reason; it stays open for others."""
        with self.store.write():
            uid = self.labels.skip(self._open(assignment), reason)
            self._finish(assignment, "skipped")
        return uid

    def release(self, assignment: int) -> None:
        """Give a feature back unlabelled."""
        with self.store.write():
            self._open(assignment)
            self._finish(assignment, "released")

    def finished(self, queue: int) -> Sequence[int]:
        """Features this person finished in a queue, latest first: the way back."""
        rows = self.store.rows(
            "SELECT feature FROM assignments WHERE queue = ? AND annotator = ? AND state IN ('done', 'skipped') "
            "ORDER BY finished DESC",
            (queue, self.annotator),
        )
        return [row["feature"] for row in rows]

    def progress(self, queue: int) -> Progress:
        """How far everybody, and this person, is."""
        row = self.store.row(
            "SELECT count(*) AS features, coalesce(sum(wanted), 0) AS wanted, "
            "coalesce(sum(min(done, wanted)), 0) AS done, "
            "(SELECT count(*) FROM assignments WHERE queue = :queue AND state = 'leased' AND expires > :now) "
            "AS leased, "
            "(SELECT count(*) FROM assignments WHERE queue = :queue AND annotator = :annotator "
            "AND state = 'done') AS own_done, "
            "(SELECT count(*) FROM assignments WHERE queue = :queue AND annotator = :annotator "
            "AND state = 'skipped') AS own_skipped FROM queue_items WHERE queue = :queue",
            {"queue": queue, "annotator": self.annotator, "now": microseconds()},
        )
        assert row is not None
        return Progress(**dict(row))

    def _own(self, assignment: int) -> sqlite3.Row:
        annotator = People(self.store).require(self.annotator, "claim")
        number = type(assignment) is int and 0 <= assignment < 2**63
        sql = "SELECT feature, annotator, state FROM assignments WHERE id = ?"
        row = self.store.row(sql, (assignment,)) if number else None
        if row is None or row["annotator"] != annotator:
            raise StoreError("this is not one of your assignments")
        return row

    def _open(self, assignment: int) -> int:
        row = self._own(assignment)
        if row["state"] != "leased":
            raise StoreError(f"this assignment is {row['state']} already")
        return int(row["feature"])

    def _finish(self, assignment: int, state: str) -> None:
        self.store.conn.execute(
            "UPDATE assignments SET state = ?, finished = ? WHERE id = ?", (state, microseconds(), assignment)
        )
