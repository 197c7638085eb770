"""Runs that are kept."""

from __future__ import annotations

from sqlite_utils import Database

from feature_db.sqlite.steps.registry import MODEL_COLUMN, migrations

__all__: list[str] = []


@migrations()
def m007_runs(db: Database) -> None:
    """What was found, evaluated, learned and proposed: how it was made, its figures, and what to show of it again."""
    for statement in (
        f"""CREATE TABLE runs (
            id INTEGER PRIMARY KEY,
            uid TEXT NOT NULL UNIQUE,
            mark TEXT NOT NULL UNIQUE,
            kind TEXT NOT NULL CHECK (kind <> ''),
            title TEXT NOT NULL,
            data TEXT NOT NULL,
            recipe TEXT NOT NULL CHECK (json_valid(recipe)),
            steering TEXT NOT NULL CHECK (json_valid(steering)),
            figures TEXT NOT NULL CHECK (json_valid(figures)),
            result TEXT NOT NULL CHECK (json_valid(result)),
            decisions BLOB,
            author TEXT NOT NULL,
            created INTEGER NOT NULL,
            {MODEL_COLUMN}
        ) STRICT""",
        "CREATE INDEX runs_created ON runs (created)",
        """CREATE TABLE run_files (
            run INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
            place INTEGER NOT NULL,
            name TEXT NOT NULL,
            hash TEXT NOT NULL,
            PRIMARY KEY (run, place)
        ) STRICT, WITHOUT ROWID""",
        # A file that several runs were made from is kept once.
        "CREATE TABLE run_contents (hash TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT",
    ):
        db.execute(statement)
