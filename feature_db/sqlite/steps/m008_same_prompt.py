"""Answers to one prompt find each other."""

from __future__ import annotations

import json

from sqlite_utils import Database

from feature_db.records import prompt_hash
from feature_db.sqlite.steps.registry import migrations

__all__: list[str] = []


@migrations()
def m008_same_prompt(db: Database) -> None:
    """From an answer to the others to its prompt (`features.same_prompt`)."""
    db.execute("ALTER TABLE texts ADD COLUMN prompt TEXT")
    # No expression on the messages: files of others are read with a schema that is not trusted, which refuses it.
    prompts = [
        (prompt_hash(json.loads(row[1])), row[0]) for row in db.execute("SELECT id, messages FROM texts")
    ]
    db.conn.executemany("UPDATE texts SET prompt = ? WHERE id = ?", prompts)
    db.execute("CREATE INDEX texts_prompt ON texts (prompt) WHERE prompt IS NOT NULL")
