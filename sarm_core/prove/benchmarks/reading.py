"""Rows of a benchmark's files, good ones read and bad ones placed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from sarm_core.errors import RowError

__all__ = ["NumberedRow", "usable"]

NumberedRow = tuple[str, int, dict[str, Any]]
"""Source, row number, row"""
T = TypeVar("T")


def usable(
    rows: Iterable[NumberedRow], read: Callable[[dict[str, Any], str], T], skipped: list[RowError], skip: bool
) -> Iterator[tuple[NumberedRow, T]]:
    """Each row with what `read(row, source)` makes of it.

    A row that `read` refuses with RowError is raised with its place, or, with `skip`, added to `skipped`.
    """
    for source, number, row in rows:
        try:
            found = read(row, source)
        except RowError as error:
            placed = error.at(source, number)
            if not skip:
                raise placed from None
            skipped.append(placed)
        else:
            yield (source, number, row), found
