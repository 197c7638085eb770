"""What stands, counted and read at once: labels, people, features with labels of several, wordings, what is settled."""

from __future__ import annotations

from dataclasses import dataclass

from feature_db.sqlite.connection import Connection

__all__ = ["LabelCounts", "label_counts", "settled_features", "standing_texts"]


@dataclass(frozen=True)
class LabelCounts:
    """Labels that stand."""

    labels: int
    people: int
    together: int
    """Features with labels of two people or more"""


def label_counts(store: Connection) -> LabelCounts:
    """Count the labels that stand."""
    row = store.row(
        "SELECT count(*) AS labels, count(DISTINCT annotator) AS people, (SELECT count(*) FROM (SELECT 1 FROM "
        "current_labels GROUP BY feature HAVING count(DISTINCT annotator) > 1)) AS together FROM current_labels"
    )
    assert row is not None
    return LabelCounts(**dict(row))


def standing_texts(store: Connection) -> dict[int, dict[str, str]]:
    """feature -> annotator -> text of their label that stands; of several after a merge the latest."""
    found: dict[int, dict[str, str]] = {}
    for feature, annotator, text in store.rows(
        "SELECT feature, annotator, text FROM current_labels ORDER BY feature, time, uid"
    ):
        found.setdefault(feature, {})[annotator] = text
    return found


def settled_features(store: Connection) -> set[int]:
    """Features that an adjudicator settled."""
    return {row[0] for row in store.rows("SELECT feature FROM current_adjudications")}
