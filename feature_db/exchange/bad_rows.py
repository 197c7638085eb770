"""Bad rows of a file that come from another program: the first one refuses the file, or each is left out and named."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from feature_db.errors import RowError, StoreError
from feature_db.exchange.format import Option

__all__ = ["SKIP_BAD", "BadRows"]

SKIP_BAD = Option("skip-bad", "leave bad rows out and name them", flag=True)
NAMED = 20
"""How many are named; the others are counted."""


class BadRows:
    """What to do with the bad rows of one file, and which there were."""

    def __init__(self, skip: bool):
        self.skip = skip
        self.found: list[RowError] = []

    @contextmanager
    def at(self, source: str | Path, row: int | str) -> Iterator[None]:
        """A row is read in the block: what is wrong with it gets this place, and is raised or kept.

        Whoever skips has to see to it that nothing of the row stays behind.
        """
        try:
            yield
        except RowError as error:
            self.take(error if error.source is not None else error.at(source, row))
        except StoreError as error:
            self.take(RowError(str(error), source=source, row=row))

    def take(self, error: RowError) -> None:
        """A bad row, with its place: raised or kept."""
        if not self.skip:
            raise error from None
        self.found.append(error)

    def notes(self) -> list[str]:
        """A line for each of the first, and their number."""
        if not self.found:
            return []
        more = len(self.found) - NAMED
        return [
            f"{len(self.found):,} bad rows were left out",
            *(f"left out: {error}" for error in self.found[:NAMED]),
            *([f"left out: and {more:,} more"] if more > 0 else []),
        ]
