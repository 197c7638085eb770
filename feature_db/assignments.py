"""Assignments follow what people did: a label finishes them in every queue that has the feature, an undo reopens them.

Called after every act and after every merge, so a queue counts the same however an event came in.
"""

from __future__ import annotations

from feature_db.connection import Connection, microseconds

__all__ = ["follow_events"]

_LIVE_SKIP = (
    "SELECT time FROM label_events AS e WHERE e.feature = :feature AND +e.annotator = :annotator AND e.kind = 'skip' "
    "AND NOT EXISTS (SELECT 1 FROM label_events AS u WHERE u.supersedes = e.uid AND u.kind = 'undo')"
)
_LABEL = "SELECT 1 FROM current_labels AS l WHERE l.feature = :feature AND +l.annotator = :annotator"
# A skip from before the latest lease was taken back by asking for the feature again.
_STATE = f"""
    CASE WHEN EXISTS ({_LABEL}) THEN 'done'
         WHEN EXISTS ({_LIVE_SKIP} AND e.time >= assignments.leased) THEN 'skipped'
         WHEN state = 'leased' THEN 'leased'
         ELSE 'released' END"""


def follow_events(store: Connection, feature: int, annotator: str) -> None:
    """Bring one person's assignments of a feature in line with their events; call inside `store.write()`.

    Done in every queue while a label of theirs stands, else skipped where a skip does, else as lent or open again:
    to them only as long as nobody else filled the place.
    """
    who = {"feature": feature, "annotator": annotator, "now": microseconds()}
    # First a row, lent at no time, for each queue that never lent it to them; then one update, whose trigger counts.
    store.conn.execute(
        "INSERT INTO assignments (queue, feature, annotator, state, leased, expires) "
        "SELECT i.queue, i.feature, :annotator, 'released', 0, 0 FROM queues AS q "
        "CROSS JOIN queue_items AS i ON i.queue = q.id AND i.feature = :feature "
        f"WHERE EXISTS ({_LABEL}) OR EXISTS ({_LIVE_SKIP}) "
        "ON CONFLICT (queue, feature, annotator) DO NOTHING",
        who,
    )
    store.conn.execute(
        f"UPDATE assignments SET state = {_STATE}, finished = CASE WHEN {_STATE} NOT IN ('done', 'skipped') THEN NULL "
        "WHEN state = 'done' THEN finished ELSE :now END "
        f"WHERE annotator = :annotator AND feature = :feature AND state <> {_STATE} "
        "AND queue IN (SELECT id FROM queues)",
        who,
    )
