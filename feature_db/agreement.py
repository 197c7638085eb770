"""How far annotators agree, with what it rests on: n, a bootstrap interval, and "undefined" where it is.

Verdicts (1 to 5) are ordinal, categories nominal. Percent agreement and Cohen's kappa take equal or not equal for
both; Krippendorff's alpha is the one that knows 4 is nearer to 5 than 1 is, takes any number of annotators and gaps.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import krippendorff
import numpy as np
import numpy.typing as npt

from feature_db.connection import Connection
from feature_db.errors import StoreError

__all__ = [
    "MEASURES",
    "Agreement",
    "Disagreement",
    "alpha",
    "by_pair",
    "cohens_kappa",
    "disagreements",
    "over_time",
    "percent",
    "ratings",
]

MEASURES = ("verdict", "category")

Level = Literal["nominal", "ordinal"]
Ratings = Mapping[int, Mapping[str, Any]]
"""feature -> annotator -> value"""
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Agreement:
    """One figure of agreement."""

    method: str
    value: float | None
    """None where it is undefined; `reason` says why."""
    n_features: int
    """Features that at least two people rated"""
    n_ratings: int
    """Ratings of those features"""
    low: float | None = None
    high: float | None = None
    """95 % bootstrap interval over features; None when too many resamples are undefined."""
    reason: str = ""


@dataclass(frozen=True)
class Disagreement:
    """A feature whose current labels differ."""

    feature: int
    values: dict[str, Any]
    """annotator -> value"""
    adjudicated: bool


def ratings(store: Connection, measure: str, until: int | None = None) -> dict[int, dict[str, Any]]:
    """Current verdicts or categories by feature and annotator; with `until`, of labels up to that time (us).

    After a merge one person may have two current labels on a feature; the later one counts.
    """
    if measure not in MEASURES:
        raise StoreError(f"agreement is measured on {' or '.join(MEASURES)}, not {measure!r}")
    found: dict[int, dict[str, Any]] = {}
    for row in store.rows(
        f"SELECT feature, annotator, {measure} FROM current_labels WHERE {measure} IS NOT NULL "
        "AND (:until IS NULL OR time <= :until) ORDER BY feature, time, uid",
        {"until": until},
    ):
        found.setdefault(row[0], {})[row[1]] = row[2]
    return found


def percent(rated: Ratings, seed: int = 0, resamples: int = 1_000) -> Agreement:
    """Share of equal pairs among all pairs of ratings of one feature."""
    counts = _counts(rated)

    def equal_pairs(sample: Counts) -> float | None:
        n = sample.sum(axis=1)
        pairs = (n * (n - 1)).sum()
        return float((sample * (sample - 1)).sum() / pairs) if pairs else None

    return _figure("percent", counts, equal_pairs, seed, resamples, "no feature was rated by two people")


def cohens_kappa(rated: Ratings, first: str, second: str, seed: int = 0, resamples: int = 1_000) -> Agreement:
    """Cohen's kappa of two people over the features both rated [Cohen 1960]: (p_o - p_e) / (1 - p_e)."""
    both = [
        (values[first], values[second]) for values in rated.values() if first in values and second in values
    ]
    codes = {value: code for code, value in enumerate(sorted({v for pair in both for v in pair}, key=str))}
    table = np.array([[codes[a], codes[b]] for a, b in both], dtype=np.int64).reshape(-1, 2)
    size = len(codes)

    def kappa(sample: Counts) -> float | None:
        if not len(sample):
            return None
        observed = float((sample[:, 0] == sample[:, 1]).mean())
        a, b = (np.bincount(sample[:, column], minlength=size) / len(sample) for column in (0, 1))
        expected = float(a @ b)
        return None if np.isclose(expected, 1.0) else (observed - expected) / (1 - expected)

    reason = "both always gave the same one value" if both else "there is no feature that both rated"
    return _figure("Cohen's kappa", table, kappa, seed, resamples, reason, ratings_of=lambda t: t.size)


def alpha(rated: Ratings, level: Level, seed: int = 0, resamples: int = 1_000) -> Agreement:
    """Krippendorff's alpha; `level` is "ordinal" for verdicts, "nominal" for categories."""
    counts = _counts(rated)
    # Ordinal distances depend on the values' order and counts only, so any ascending codes will do.

    def value(sample: Counts) -> float | None:
        if (sample.sum(axis=0) > 0).sum() < 2:
            return None
        result = float(krippendorff.alpha(value_counts=sample, level_of_measurement=level))
        return result if np.isfinite(result) else None

    reason = "only one value was ever given" if len(counts) else "no feature was rated by two people"
    return _figure(f"Krippendorff's alpha ({level})", counts, value, seed, resamples, reason)


def by_pair(rated: Ratings, seed: int = 0, resamples: int = 200) -> dict[tuple[str, str], Agreement]:
    """Cohen's kappa of every two people who have a feature in common."""
    people = sorted({annotator for values in rated.values() for annotator in values})
    figures = {
        (first, second): cohens_kappa(rated, first, second, seed, resamples)
        for first, second in itertools.combinations(people, 2)
    }
    return {pair: figure for pair, figure in figures.items() if figure.n_features}


def over_time(
    store: Connection, measure: str, points: int = 12, seed: int = 0, resamples: int = 200
) -> list[tuple[datetime, Agreement]]:
    """Alpha of the labels current today, as they came in: up to each of `points` equal steps of time (UTC)."""
    first, last = store.rows("SELECT min(time), max(time) FROM current_labels")[0]
    if first is None:
        return []
    level: Level = "ordinal" if measure == "verdict" else "nominal"
    until = [first + (last - first) * step // points for step in range(1, points + 1)]
    return [
        (
            datetime.fromtimestamp(time / 1e6, UTC),
            alpha(ratings(store, measure, time), level, seed, resamples),
        )
        for time in dict.fromkeys(until)
    ]


def disagreements(store: Connection, measure: str) -> list[Disagreement]:
    """Features whose current values differ; not yet adjudicated ones first, then by how many people rated."""
    settled = {row[0] for row in store.rows("SELECT feature FROM current_adjudications")}
    found = [
        Disagreement(feature, dict(values), feature in settled)
        for feature, values in ratings(store, measure).items()
        if len(set(values.values())) > 1
    ]
    return sorted(found, key=lambda d: (d.adjudicated, -len(d.values), d.feature))


def _counts(rated: Ratings) -> Counts:
    """How many people gave each value: [features rated at least twice, values in ascending order]."""
    shared = [list(values.values()) for values in rated.values() if len(values) > 1]
    domain = sorted({value for values in shared for value in values})
    place = {value: column for column, value in enumerate(domain)}
    counts = np.zeros((len(shared), len(domain)), dtype=np.int64)
    for row, values in enumerate(shared):
        for value in values:
            counts[row, place[value]] += 1
    return counts


def _figure(
    method: str,
    units: Counts,
    statistic: Callable[[Counts], float | None],
    seed: int,
    resamples: int,
    reason: str,
    ratings_of: Callable[[Counts], int] = lambda counts: int(counts.sum()),
) -> Agreement:
    value = statistic(units) if len(units) else None
    if value is None:
        return Agreement(method, None, len(units), ratings_of(units), reason=reason)
    rng = np.random.default_rng(seed)
    drawn = (statistic(units[rng.integers(0, len(units), len(units))]) for _ in range(resamples))
    defined = [figure for figure in drawn if figure is not None]
    low = high = None
    # An interval over the resamples that happen to be defined would look narrower than what is known.
    if len(units) > 1 and len(defined) >= 0.95 * resamples:
        low, high = (float(bound) for bound in np.quantile(defined, [0.025, 0.975]))
    return Agreement(method, value, len(units), ratings_of(units), low, high)
