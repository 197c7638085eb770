"""Imports that can be undone."""

from __future__ import annotations

from sqlite_utils import Database

from feature_db.sqlite.steps.registry import migrations

__all__: list[str] = []


@migrations()
def m004_undo(db: Database) -> None:
    """What the last import from another program replaced, so that it can be undone; one generation."""
    for statement in (
        "CREATE TABLE undo_import (import INTEGER PRIMARY KEY REFERENCES imports (id)) STRICT",
        # What it made anew: a 'feature', a 'text', or the 'examples' of a feature.
        """CREATE TABLE undo_made (
            what TEXT NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (what, id)
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE undo_features (
            id INTEGER PRIMARY KEY, head_weight REAL, firing_count INTEGER, denominator INTEGER, density REAL,
            mean REAL, max REAL
        ) STRICT""",
        """CREATE TABLE undo_details (
            feature INTEGER PRIMARY KEY, histogram_edges BLOB, histogram_counts BLOB, neighbours BLOB,
            cofiring_features BLOB, cofiring_counts BLOB, cofiring_of INTEGER
        ) STRICT""",
        """CREATE TABLE undo_examples (
            id INTEGER PRIMARY KEY, feature INTEGER, text INTEGER, kind TEXT, rank INTEGER, purpose TEXT,
            activation REAL, peak_position INTEGER, per_token BLOB, band INTEGER, band_low REAL, band_high REAL,
            token TEXT
        ) STRICT""",
        """CREATE TABLE undo_texts (
            id INTEGER PRIMARY KEY, token_ids BLOB, tokens TEXT, source TEXT, category TEXT
        ) STRICT""",
        "CREATE TABLE undo_origins (feature INTEGER PRIMARY KEY, origin TEXT) STRICT",
        """CREATE TABLE undo_suggestions (
            feature INTEGER NOT NULL, method TEXT NOT NULL, text TEXT NOT NULL, evidence TEXT NOT NULL,
            added INTEGER NOT NULL, PRIMARY KEY (feature, method, text, added)
        ) STRICT, WITHOUT ROWID""",
    ):
        db.execute(statement)
