"""How a queue is worked off: what each person has pending, begun, skipped and done, and how fast."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from feature_db.roles import People
from feature_db.store import Store

__all__ = ["STATES", "PersonsWork", "QueueItem", "persons_work", "queue_items"]

STATES = ("pending", "draft", "skipped", "done")
"""What a feature of a queue is to one person; one that others have filled is none of these."""

LONGEST_PAUSE = 10 * 60 * 1_000_000
"""Microseconds between two labels after which somebody was away, which is no slow labelling"""
SHORTEST_STEP = 1_000_000
"""Below a second nobody labelled: many were accepted at once, or came in from a file"""
LEAST_STEPS = 3
"""Steps from one label to the next from which a pace is said"""

_ITEMS = """
SELECT i.feature, CASE
    WHEN l.text IS NOT NULL THEN 'done'
    WHEN EXISTS (SELECT 1 FROM drafts AS d, json_each(d.data) AS j WHERE d.feature = i.feature
        AND d.annotator = :name AND j.value IS NOT NULL AND j.value NOT IN ('', '[]', 0)) THEN 'draft'
    WHEN a.state = 'skipped' THEN 'skipped'
    WHEN i.done < i.wanted THEN 'pending'
    ELSE 'filled' END AS state,
    coalesce(l.text, (SELECT json_extract(data, '$.text') FROM drafts AS d
        WHERE d.feature = i.feature AND d.annotator = :name), '') AS text
FROM queue_items AS i
LEFT JOIN assignments AS a ON a.queue = i.queue AND a.feature = i.feature AND a.annotator = :name
LEFT JOIN (
    SELECT feature, text, max(time) FROM current_labels WHERE annotator = :name GROUP BY feature
) AS l ON l.feature = i.feature
WHERE i.queue = :queue ORDER BY i.position
"""


@dataclass(frozen=True)
class QueueItem:
    """A feature of a queue, as one person finds it."""

    feature: int
    state: str
    """One of `STATES`, or "filled" by others"""
    text: str
    """What they said of it, or began to"""


@dataclass(frozen=True)
class PersonsWork:
    """How far one person is in a queue."""

    name: str
    done: int
    skipped: int
    drafts: int
    left: int
    """Features that wait for a label of theirs"""
    per_hour: float | None
    """Labels an hour while they worked, pauses of more than ten minutes left out; None below `LEAST_STEPS` steps"""
    last: int | None
    """When they finished their last one, microseconds since 1970 UTC"""


def queue_items(store: Store, queue: int, name: str) -> list[QueueItem]:
    """The features of a queue in its order, as `name` finds them."""
    rows = store.rows(_ITEMS, {"queue": queue, "name": People(store).spelling(name)})
    return [QueueItem(row["feature"], row["state"], str(row["text"])) for row in rows]


def persons_work(store: Store, queue: int) -> list[PersonsWork]:
    """Everybody who finished or began something in a queue, who did most first."""
    names = store.rows(
        "SELECT annotator FROM assignments WHERE queue = :queue UNION SELECT d.annotator FROM drafts AS d "
        "JOIN queue_items AS i ON i.queue = :queue AND i.feature = d.feature",
        {"queue": queue},
    )
    found = []
    for (name,) in names:
        states = Counter(item.state for item in queue_items(store, queue, name))
        finished = [
            row[0]
            for row in store.rows(
                "SELECT finished FROM assignments WHERE queue = ? AND annotator = ? AND state IN ('done', 'skipped') "
                "AND finished IS NOT NULL ORDER BY finished",
                (queue, name),
            )
        ]
        found.append(
            PersonsWork(
                name,
                states["done"],
                states["skipped"],
                states["draft"],
                states["pending"] + states["draft"],
                _pace(finished),
                finished[-1] if finished else None,
            )
        )
    return sorted(found, key=lambda work: (-work.done, work.name))


def _pace(finished: Sequence[int]) -> float | None:
    steps = [b - a for a, b in itertools.pairwise(finished) if SHORTEST_STEP <= b - a <= LONGEST_PAUSE]
    if len(steps) < LEAST_STEPS or not sum(steps):
        return None
    return len(steps) / (sum(steps) / 3_600e6)
