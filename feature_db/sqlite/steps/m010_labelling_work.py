"""What a queue requires, and what people could tell by a name."""

from __future__ import annotations

from sqlite_utils import Database

from feature_db.sqlite.steps.registry import migrations

__all__: list[str] = []


@migrations()
def m010_labelling_work(db: Database) -> None:
    """Fields that a queue requires beside the text; trials of names, added and never changed."""
    for statement in (
        "ALTER TABLE queues ADD COLUMN required TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(required))",
        """CREATE TABLE trials (
            uid TEXT PRIMARY KEY,
            feature INTEGER NOT NULL REFERENCES features (id),
            annotator TEXT NOT NULL CHECK (annotator <> ''),
            kind TEXT NOT NULL CHECK (kind IN ('names', 'odd one out')),
            asked TEXT NOT NULL CHECK (json_valid(asked)),
            said INTEGER NOT NULL,
            answer INTEGER NOT NULL,
            time INTEGER NOT NULL
        ) STRICT""",
        "CREATE INDEX trials_feature ON trials (feature, annotator)",
        """CREATE TRIGGER trials_no_update BEFORE UPDATE OF uid, feature, kind, asked, said, answer, time ON trials
        BEGIN
            SELECT raise(ABORT, 'trials are added and never changed');
        END""",
        """CREATE TRIGGER trials_no_delete BEFORE DELETE ON trials BEGIN
            SELECT raise(ABORT, 'trials are added and never changed');
        END""",
    ):
        db.execute(statement)
