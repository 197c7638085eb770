"""Errors of the store that are meant to be read by a person: one line, what is wrong and what to do."""

from __future__ import annotations

from pathlib import Path

__all__ = ["PermissionRefused", "RowError", "StoreError"]


class StoreError(Exception):
    """Base of every error that the command line and the app print as one line instead of a traceback."""


class PermissionRefused(StoreError):
    """The person's role does not allow what was asked."""


class RowError(StoreError):
    """One bad row of an input.

    `source` is the file (or any name for the input). `row` is a line number counted from 1, or the path to
    an entry in a JSON file, such as "latent_context_map/17".
    """

    def __init__(self, reason: str, *, source: str | Path | None = None, row: int | str | None = None):
        self.reason = reason
        self.source = None if source is None else str(source)
        self.row = row
        place = ", ".join(
            part for part in (self.source, None if row is None else f"row {row}") if part is not None
        )
        super().__init__(f"{place}: {reason}" if place else reason)

    def at(self, source: str | Path | None, row: int | str | None) -> RowError:
        """The same reason, at a known place."""
        return RowError(self.reason, source=source, row=row)
