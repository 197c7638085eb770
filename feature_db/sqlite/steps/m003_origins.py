"""Where figures came from that no harvest made."""

from __future__ import annotations

from sqlite_utils import Database

from feature_db.sqlite.steps.registry import migrations

__all__: list[str] = []


@migrations()
def m003_origins(db: Database) -> None:
    """Where a feature's statistics and examples came from, where that was no harvest."""
    db.execute(
        """CREATE TABLE origins (
            feature INTEGER PRIMARY KEY REFERENCES features (id),
            origin TEXT NOT NULL
        ) STRICT"""
    )
