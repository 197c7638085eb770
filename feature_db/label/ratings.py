"""Who rated which feature how, independently: replayed from the events, as of any time.

Once a person's label is in, others' labels of that feature appear to them. What they change afterwards is no second
opinion, so their rating stays the one that stood when they first could read another's: agreement that comes of
reading each other is not agreement about the feature. Who has no label standing
any more rates nothing; names accepted in bulk repeat a program and are no rating either.

The events tell no more than that. Somebody may have read a label before they wrote their own: features that no queue
asks for can be read by all, and those who run the queues may read everything (`blindness`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from feature_db.errors import StoreError
from feature_db.sqlite.connection import Connection

__all__ = ["MEASURES", "Ratings", "last_rating_event", "ratings", "ratings_at", "standing_ratings"]

MEASURES = ("verdict", "category")

Ratings = Mapping[int, Mapping[str, Any]]
"""feature -> annotator -> value"""


def ratings(store: Connection, measure: str) -> dict[int, dict[str, Any]]:
    """Independent verdicts or categories by feature and annotator."""
    return ratings_at(store, measure, [None])[0]


def ratings_at(
    store: Connection, measure: str, times: Sequence[int | None]
) -> list[dict[int, dict[str, Any]]]:
    """`ratings` as they were at each of `times` (microseconds since 1970 UTC, ascending; None for now)."""
    features: dict[int, _Feature] = {}
    found: list[dict[int, dict[str, Any]]] = []

    def add() -> None:
        found.append({i: rated for i, feature in sorted(features.items()) if (rated := feature.ratings())})

    waiting = list(times)
    for uid, feature, annotator, kind, value, supersedes, time in store.rows(
        f"SELECT uid, feature, annotator, kind, {_column(measure)}, supersedes, time FROM label_events "
        "WHERE kind IN ('label', 'edit', 'undo') AND json_extract(data, '$.bulk') IS NULL ORDER BY time, seq"
    ):
        while waiting and waiting[0] is not None and time > waiting[0]:
            add()
            waiting.pop(0)
        state = features.setdefault(feature, _Feature())
        if kind == "undo":
            state.undo(supersedes)
        else:
            state.label(uid, annotator, value, supersedes if kind == "edit" else None)
    while waiting:
        add()
        waiting.pop(0)
    return found


def standing_ratings(store: Connection, measure: str) -> dict[int, dict[str, Any]]:
    """Verdicts or categories of the labels that stand now, also those edited after reading others'.

    After a merge one person may have two current labels on a feature; the later one counts.
    """
    column = _column(measure)
    found: dict[int, dict[str, Any]] = {}
    for row in store.rows(
        f"SELECT feature, annotator, {column} FROM current_labels ORDER BY feature, time, uid"
    ):
        found.setdefault(row[0], {})[row[1]] = row[2]
    rated = {i: {who: v for who, v in values.items() if v is not None} for i, values in found.items()}
    return {feature: values for feature, values in rated.items() if values}


def last_rating_event(store: Connection) -> str:
    """The uid of the latest label, edit or undo, "" without any: while it is the same, so are all ratings."""
    last = store.value(
        "SELECT uid FROM label_events WHERE kind IN ('label', 'edit', 'undo') ORDER BY seq DESC LIMIT 1"
    )
    return last or ""


def _column(measure: str) -> str:
    if measure not in MEASURES:
        raise StoreError(f"agreement is measured on {' or '.join(MEASURES)}, not {measure!r}")
    return measure


@dataclass
class _Feature:
    """The labels of one feature up to some moment."""

    labels: dict[str, dict[str, tuple[Any, str | None]]] = field(default_factory=dict)
    """annotator -> uid -> (value, what it replaced), in order of time"""
    authors: dict[str, str] = field(default_factory=dict)
    """uid -> annotator"""
    undone: set[str] = field(default_factory=set)
    standing: dict[str, Any] = field(default_factory=dict)
    """annotator -> value of their label that stands, None where it has none"""
    before_reading: dict[str, Any] = field(default_factory=dict)
    """annotator -> the same when they first could read another's label"""

    def label(self, uid: str, annotator: str, value: Any, replaces: str | None) -> None:
        self.labels.setdefault(annotator, {})[uid] = (value, replaces)
        self.authors[uid] = annotator
        self.standing[annotator] = value
        self._notice_readers()

    def undo(self, uid: str) -> None:
        annotator = self.authors.get(uid)
        if annotator is None:  # of something else than a label
            return
        self.undone.add(uid)
        live = {u: label for u, label in self.labels[annotator].items() if u not in self.undone}
        replaced = {replaces for _, replaces in live.values()}
        values = [value for u, (value, _) in live.items() if u not in replaced]
        self.standing.pop(annotator, None)
        if values:
            self.standing[annotator] = values[-1]
        self._notice_readers()

    def ratings(self) -> dict[str, Any]:
        values = {who: self.before_reading.get(who, value) for who, value in self.standing.items()}
        return {who: value for who, value in values.items() if value is not None}

    def _notice_readers(self) -> None:
        if len(self.standing) > 1:
            for annotator, value in self.standing.items():
                self.before_reading.setdefault(annotator, value)
