"""Bars for the stages of a harvest, on stderr where a person watches and nowhere else."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from tqdm import tqdm

__all__ = ["bar_of", "counted"]

Item = TypeVar("Item")


def bar_of(total: int, what: str, unit: str, done: int = 0) -> Any:
    """A tqdm bar with rate and time left; `done` of `total` were there before."""
    return tqdm(
        total=total,
        initial=done,
        desc=what,
        unit=unit,
        unit_scale=True,
        disable=not sys.stderr.isatty(),
        leave=False,
    )


def counted(items: Iterable[Item], bar: Any) -> Iterator[Item]:
    """`items`, each counted on `bar`."""
    for item in items:
        bar.update()
        yield item
