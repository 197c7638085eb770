"""Assignments follow what people did: a label finishes them in every queue that has the feature, an undo reopens them.

Called after every act and after every merge, so a queue counts the same however an event came in.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from feature_db.sqlite.connection import Connection, microseconds

__all__ = ["follow_events"]

# {0} is the row that names feature and annotator. The plus sign keeps SQLite on the indexes by feature.
_LABEL = "EXISTS (SELECT 1 FROM current_labels AS l WHERE l.feature = {0}.feature AND +l.annotator = {0}.annotator)"
_SKIP = (
    "EXISTS (SELECT 1 FROM label_events AS e WHERE e.feature = {0}.feature AND e.kind = 'skip' "
    "AND +e.annotator = {0}.annotator AND e.time >= {1} "
    "AND NOT EXISTS (SELECT 1 FROM label_events AS u WHERE u.supersedes = e.uid AND u.kind = 'undo'))"
)
_WHO = (
    "(SELECT json_extract(value, '$[0]') AS feature, json_extract(value, '$[1]') AS annotator "
    "FROM json_each(:who)) AS p "
    "CROSS JOIN queues AS q "
)
_ADD = f"""
INSERT INTO assignments (queue, feature, annotator, state, leased, expires)
SELECT i.queue, i.feature, p.annotator, 'released', 0, 0
FROM {_WHO} CROSS JOIN queue_items AS i ON i.queue = q.id AND i.feature = p.feature
WHERE {_LABEL.format("p")} OR {_SKIP.format("p", "-9e18")}
ON CONFLICT (queue, feature, annotator) DO NOTHING
"""
# A skip from before the latest lease was taken back by asking for the feature again.
_STATES = f"""
SELECT a.id, a.state AS before, CASE
    WHEN {_LABEL.format("a")} THEN 'done'
    WHEN {_SKIP.format("a", "a.leased")} THEN 'skipped'
    WHEN a.state = 'leased' THEN 'leased'
    ELSE 'released' END AS state
FROM {_WHO} CROSS JOIN assignments AS a
ON a.queue = q.id AND a.feature = p.feature AND a.annotator = p.annotator
"""
# By number: an UPDATE that joins reads the whole table first.
_UPDATE = """
UPDATE assignments SET state = :state, finished = CASE
    WHEN :state NOT IN ('done', 'skipped') THEN NULL
    WHEN state = 'done' THEN finished
    ELSE :now END
WHERE id = :id
"""


def follow_events(store: Connection, who: Iterable[tuple[int, str]]) -> None:
    """Bring assignments in line with the events, of each (feature, annotator); call inside `store.write()`.

    Done in every queue while a label of theirs stands, else skipped where a skip does, else as lent or open again:
    to them only as long as nobody else filled the place.
    """
    named = {"who": json.dumps(list(who))}
    now = microseconds()
    # First a row, lent at no time, for each queue that never lent it to them; then updates, whose trigger counts.
    store.conn.execute(_ADD, named)
    changed = [row for row in store.rows(_STATES, named) if row["state"] != row["before"]]
    store.conn.executemany(_UPDATE, [{"id": row["id"], "state": row["state"], "now": now} for row in changed])
