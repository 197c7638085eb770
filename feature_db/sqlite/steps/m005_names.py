"""One person under one spelling."""

from __future__ import annotations

from sqlite_utils import Database

from feature_db.label_values import folded
from feature_db.sqlite.steps.registry import migrations

__all__ = ["NAMED_FIRST"]

NAMED_FIRST = (
    ("label_events", "annotator"),
    ("drafts", "annotator"),
    ("label_tests", "annotator"),
    ("assignments", "annotator"),
    ("queues", "made_by"),
    ("lists", "owner"),
    ("steerings", "author"),
)
"""Those of `NAMED` that are there when names are gathered (m005)"""


@migrations()
def m005_names(db: Database) -> None:
    """How each person is spelled: names that differ in case only are one person. The first spelling stands."""
    db.execute("CREATE TABLE names (folded TEXT PRIMARY KEY, name TEXT NOT NULL) STRICT, WITHOUT ROWID")
    for known in (
        "SELECT name FROM people WHERE name <> '*' ORDER BY added, name",
        "SELECT annotator FROM label_events GROUP BY annotator ORDER BY min(seq)",
        *(
            f"SELECT DISTINCT {column} FROM {table} ORDER BY 1"
            for table, column in NAMED_FIRST
            if table != "label_events"
        ),
    ):
        for (name,) in db.execute(known).fetchall():
            if name:
                db.execute("INSERT OR IGNORE INTO names (folded, name) VALUES (?, ?)", (folded(name), name))
