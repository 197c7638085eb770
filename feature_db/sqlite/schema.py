"""The tables of a store, as numbered steps: the one place that says what a store is made of.

Each step is a file in `steps/`. The first makes everything as it was when the program got its rooms; a later change is
one more step at the end, with the next number. A store that was made before has the tables of the first step, made by
steps of other names.

One file holds one model: `models` has room for the row with id 1 only, and every row that came from a model
refers to it, so rows of two models cannot meet in one file. What is current of the labels is always derived from the
append-only events:

    live      an event without an undo that names it
    current   a live label or edit that no live edit supersedes
"""

from __future__ import annotations

from sqlite_utils import Database

from feature_db.errors import StoreError
from feature_db.sqlite.steps import (  # in the order of their numbers, which is that of their making
    m001_store,
    m002_no_jobs,
    m003_origins,
    m004_undo,
    m005_names,
    m006_datasets,
    m007_runs,
    m008_same_prompt,
    m009_choices,
    m010_labelling_work,
)
from feature_db.sqlite.steps.m001_store import EVENT_KINDS, EXAMPLES_BY_TEXT, EXAMPLES_INDEX
from feature_db.sqlite.steps.m005_names import NAMED_FIRST
from feature_db.sqlite.steps.registry import migrations

__all__ = [
    "APPLICATION_ID",
    "EVENT_KINDS",
    "EXAMPLES_BY_TEXT",
    "EXAMPLES_INDEX",
    "NAMED",
    "bring_up_to_date",
    "is_up_to_date",
    "migrations",
]

APPLICATION_ID = 0x5341524D
"""Marks the file as ours ("SARM") in its header."""

STEPS = (
    m001_store,
    m002_no_jobs,
    m003_origins,
    m004_undo,
    m005_names,
    m006_datasets,
    m007_runs,
    m008_same_prompt,
    m009_choices,
    m010_labelling_work,
)
"""Their modules; importing one enters it in the list."""

_BEFORE = frozenset(
    (
        *("m001_features", "m002_saved_work", "m003_labelling", "m004_change_times", "m005_settled_names"),
        *(
            "m006_closed_queues",
            "m007_cofiring_sample",
            "m007_drafts",
            "m008_examples_by_text",
            "m008_label_tests",
        ),
    )
)
"""The steps whose tables the first one makes now."""


def is_up_to_date(db: Database) -> bool:
    """Whether every step was applied. Raises StoreError, without a place, for a store that another version made."""
    applied = {migration.name for migration in migrations.applied(db)}
    if applied == _BEFORE:
        return False
    if applied & _BEFORE:
        raise StoreError("was made by an early version of this program; open it once with version 0.1.0")
    known = {migration.name for migration in migrations._migrations}
    if applied - known:
        raise StoreError("was made by a newer version of this program; update the program")
    return applied == known


def bring_up_to_date(db: Database) -> None:
    """Apply the steps that are missing; call inside `store.write()`.

    What is missing is read again here, under the lock: two processes cannot both apply a step.
    """
    migrations.ensure_migrations_table(db)
    if {migration.name for migration in migrations.applied(db)} == _BEFORE:
        # The tables are there: the ten steps that made them become the one that makes them now.
        table = migrations.migrations_table
        db.execute(
            f"DELETE FROM {table} WHERE migration_set = ? AND name <> 'm001_features'", (migrations.name,)
        )
        db.execute(f"UPDATE {table} SET name = 'm001_store' WHERE migration_set = ?", (migrations.name,))
    migrations.apply(db)


NAMED = (
    *NAMED_FIRST,
    ("datasets", "owner"),
    ("runs", "author"),
    ("choices", "person"),
    ("trials", "annotator"),
)
"""Tables and columns that name people, besides `people`"""
