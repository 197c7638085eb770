"""The list that each step enters itself in, and what several of them write."""

from __future__ import annotations

from sqlite_utils import Migrations

__all__ = ["MODEL_COLUMN", "migrations"]

migrations = Migrations("feature_db")
"""The steps. Their order is that of their numbers."""

MODEL_COLUMN = "model INTEGER NOT NULL DEFAULT 1 REFERENCES models (id)"
