"""Errors that are meant to be read by a person: one line, what is wrong and what to do about it."""

from __future__ import annotations

from pathlib import Path

__all__ = ["CheckpointError", "RowError", "SarmError", "SteeringError"]


class SarmError(Exception):
    """Base of every error the command line and the app print as one line instead of a traceback."""


class CheckpointError(SarmError):
    """A folder, file or Hub id that cannot be read as a SARM."""


class SteeringError(SarmError):
    """A steering that cannot be read, applied to this model, composed or folded into a head."""


class RowError(SarmError):
    """One bad row of an input file.

    `source` is the file (or any name for the input) and `row` counts from 1, as an editor shows lines.
    """

    def __init__(self, reason: str, *, source: str | Path | None = None, row: int | None = None):
        self.reason = reason
        self.source = None if source is None else str(source)
        self.row = row
        place = ", ".join(
            part for part in (self.source, None if row is None else f"row {row}") if part is not None
        )
        super().__init__(f"{place}: {reason}" if place else reason)

    def at(self, source: str | Path | None, row: int) -> RowError:
        """The same reason, at a known place."""
        return RowError(self.reason, source=source, row=row)
