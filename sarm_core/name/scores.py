"""How far a name holds: detection and the pairwise test, with intervals, and which of many names hold at all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import ndtri
from scipy.stats import binom

__all__ = ["CHANCE", "balanced_accuracy", "holding", "pairwise", "wilson"]

CHANCE = 0.05


def wilson(right: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The score interval of a share [Wilson 1927]; (0, 1) of nothing. A tie counts as half of a right one."""
    if n == 0:
        return 0.0, 1.0
    z = float(ndtri(1 - (1 - confidence) / 2))
    share, square = right / n, z * z / n
    middle, half = share + square / 2, z * math.sqrt(share * (1 - share) / n + square / (4 * n))
    return max(0.0, (middle - half) / (1 + square)), min(1.0, (middle + half) / (1 + square))


def balanced_accuracy(said: Sequence[bool], true: Sequence[bool]) -> dict[str, Any]:
    """The mean of the shares right among those that have the feature and those that have not, and its interval.

    From the two Wilson intervals, squares of their arms added [Newcombe 1998, method 10]. "value" is None, and the
    interval all of [0, 1], where there is none of either.
    """
    hits = sum(s and t for s, t in zip(said, true, strict=True))
    rests = sum(not s and not t for s, t in zip(said, true, strict=True))
    have = sum(true)
    lack = len(true) - have
    if not have or not lack:
        return {"value": None, "low": 0.0, "high": 1.0, "n": len(true), "right": hits + rests}
    parts = [(hits / have, *wilson(hits, have)), (rests / lack, *wilson(rests, lack))]
    value = (parts[0][0] + parts[1][0]) / 2
    below = math.sqrt(sum((share - low) ** 2 for share, low, _ in parts)) / 2
    above = math.sqrt(sum((high - share) ** 2 for share, _, high in parts)) / 2
    return {
        "value": round(value, 4),
        "low": round(max(0.0, value - below), 4),
        "high": round(min(1.0, value + above), 4),
        "n": len(true),
        "right": hits + rests,
    }


def pairwise(right: int, ties: int, n: int) -> dict[str, Any]:
    """Share of pairs in which the name told which answer has more of the feature, ties half; each of another prompt."""
    counted = right + ties / 2
    low, high = wilson(counted, n)
    return {
        "auc": round(counted / n, 4) if n else None,
        "low": round(low, 4),
        "high": round(high, 4),
        "pairs": n,
        "prompts": n,
        "ties": ties,
    }


def holding(counts: Sequence[tuple[int, int]]) -> list[bool]:
    """Which of several names hold: one-sided sign tests of (right, decided) pairs, the share of false ones kept at
    CHANCE [Benjamini and Hochberg 1995]."""
    p = np.array([float(binom.sf(right - 1, decided, 0.5)) if decided else 1.0 for right, decided in counts])
    order = np.sort(p)
    passed = np.flatnonzero(order <= CHANCE * np.arange(1, len(p) + 1) / max(1, len(p)))
    limit = order[passed[-1]] if passed.size else -1.0
    return [bool(value <= limit) for value in p]
