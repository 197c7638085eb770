"""How people like things shown."""

from __future__ import annotations

from sqlite_utils import Database

from feature_db.sqlite.steps.registry import migrations

__all__: list[str] = []


@migrations()
def m009_choices(db: Database) -> None:
    """How a person likes things shown, by the name of the choice."""
    db.execute(
        """CREATE TABLE choices (
            person TEXT NOT NULL CHECK (person <> ''),
            name TEXT NOT NULL,
            value TEXT NOT NULL,
            PRIMARY KEY (person, name)
        ) STRICT, WITHOUT ROWID"""
    )
