"""A table that nothing wrote to goes."""

from __future__ import annotations

from sqlite_utils import Database

from feature_db.sqlite.steps.registry import migrations

__all__: list[str] = []


@migrations()
def m002_no_jobs(db: Database) -> None:
    """Stores of before have a table for long work that nothing ever wrote to."""
    db.execute("DROP TABLE IF EXISTS jobs")
