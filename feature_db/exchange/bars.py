"""Histograms by their edges, as the store keeps them, and by the middles of their bars, as Neuronpedia does."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from feature_db.errors import RowError

__all__ = ["edges_of", "middles_of"]

Floats = npt.NDArray[np.float64]
DIGITS = 12
"""Significant digits of a middle: those that edges inferred from it give again."""


def middles_of(edges: npt.ArrayLike) -> list[float]:
    """Middles [n] of the bars with these ascending edges [n + 1], to `DIGITS` digits.

    Arithmetic ones where the edges are evenly spaced; else, as bars are log-spaced, the geometric one of a bar above 0
    and the arithmetic one of a bar that reaches 0 or below.
    """
    return [float(f"{middle:.{DIGITS}g}") for middle in _middles(np.asarray(edges, dtype=np.float64))]


def _middles(edges: Floats) -> Floats:
    low, high = edges[:-1], edges[1:]
    arithmetic = low / 2 + high / 2
    widths = high - low
    if np.allclose(widths, widths.mean(), rtol=1e-2, atol=0):
        return arithmetic
    return np.where(low > 0, np.sqrt(np.maximum(low, 0)) * np.sqrt(np.maximum(high, 0)), arithmetic)


def edges_of(middles: npt.ArrayLike) -> Floats:
    """Edges [n + 1] of bars with these middles [n], n > 0: ones whose `middles_of` are these again, if there are any.

    Raises RowError when the middles do not ascend.
    """
    given = np.asarray(middles, dtype=np.float64)
    if (np.diff(given) <= 0).any():
        raise RowError("freq_hist_data_bar_values must ascend")
    found = [
        edges
        for edges in _candidates(given)
        if (np.diff(edges) > 0).all() and np.allclose(_middles(edges), given, rtol=1e-13, atol=0)
    ]
    if found:
        return min(found, key=_unevenness)
    if given.size == 1:
        return np.array([given[0] - 0.5, given[0] + 0.5])  # too small a number for an octave around it
    # Spaced in no way we know: half-way between the middles.
    inner = (given[:-1] + given[1:]) / 2
    return np.concatenate([[2 * given[0] - inner[0]], inner, [2 * given[-1] - inner[-1]]])


def _candidates(middles: Floats) -> Iterator[Floats]:
    first = middles[0]
    if middles.size == 1:
        # One bar says nothing of its width: an octave.
        half = abs(first) / 3 or 0.5
        yield np.array([first - half, first + half])
        return
    step = middles[1] - first
    if middles.size > 2 and np.allclose(np.diff(middles), step, rtol=1e-3, atol=0):
        yield _chain(first - step / 2, middles, lambda low, middle: 2 * middle - low)
    elif first > 0:
        yield _chain(first * np.sqrt(first / middles[1]), middles, _log_spaced)
        yield _chain(0.0, middles, _log_spaced)  # a first bar for everything too small
    elif first < 0 < middles[1]:
        yield _chain(2 * first, middles, _log_spaced)  # a first bar for everything below 0


def _unevenness(edges: Floats) -> float:
    """How far the bars above 0 are from being log-spaced."""
    factors = np.diff(np.log(edges[edges > 0]))
    return float(factors.std()) if factors.size else 0.0


def _log_spaced(low: float, middle: float) -> float:
    return middle / low * middle if low > 0 else 2 * middle - low


def _chain(edge: float, middles: Floats, following: Callable[[float, float], float]) -> Floats:
    """Edges from the first one on, each `following` from the one before and the middle between them."""
    edges = [float(edge)]
    for middle in middles.tolist():
        if not edges[-1] < middle:
            return np.zeros(2)  # these middles are not spaced so
        edges.append(following(edges[-1], middle))
    return np.array(edges)
