"""Wishes: which of two answers should have the higher reward, and the order of answers as a chain of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import Any

import numpy as np

from sarm_core.errors import SarmError

__all__ = ["Wish", "wishes_of", "without_implied"]


@dataclass(frozen=True)
class Wish:
    """Answer `better` should lead answer `worse`; both count the rows of a matrix from 0."""

    better: int
    worse: int


def wishes_of(order: Sequence[int] | Sequence[Sequence[int]], n: int) -> tuple[Wish, ...]:
    """The wishes of one order of answers, best first, or of several (one a prompt), among `n` answers.

    Each answer leads the next one, and so all behind it. Answers that an order does not name are left as they are.
    Raises SarmError for a number that is no answer or stands twice in an order, and for an order of fewer than two.
    """
    whole: Any = order
    orders = [whole] if all(isinstance(one, int | np.integer) for one in whole) else whole
    found = []
    for chain in orders:
        numbers = [int(one) for one in chain]
        wrong = next((one for one in numbers if not 0 <= one < n), None)
        if wrong is not None:
            raise SarmError(f"the order names answer {wrong}, but there are answers 0 to {n - 1}")
        if len(set(numbers)) < len(numbers):
            twice = next(one for one in numbers if numbers.count(one) > 1)
            raise SarmError(f"the order names answer {twice} twice")
        if len(numbers) < 2:
            raise SarmError("an order needs two answers: the better one, then the other")
        found += [Wish(one, two) for one, two in pairwise(numbers)]
    return tuple(dict.fromkeys(found))


def without_implied(wishes: Sequence[Wish]) -> tuple[Wish, ...]:
    """The wishes without those that two others imply: of "a before b", "b before c", "a before c" the first two.

    Wishes that run in a circle are all kept, for the conflict to be found.
    """
    behind: dict[int, set[int]] = {}
    for wish in wishes:
        behind.setdefault(wish.better, set()).add(wish.worse)
    try:
        TopologicalSorter(behind).prepare()
    except CycleError:
        return tuple(wishes)
    return tuple(
        wish
        for wish in wishes
        if not any(wish.worse in behind.get(between, ()) for between in behind[wish.better])
    )
