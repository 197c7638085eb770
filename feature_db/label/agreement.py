"""How far annotators agree, with what it rests on: n, a bootstrap interval, and "undefined" where it is.

Verdicts (1 to 5) are ordinal, categories nominal. Percent agreement and Cohen's kappa take equal or not equal for
both; Krippendorff's alpha is the one that knows 4 is nearer to 5 than 1 is, takes any number of annotators and gaps.
What is compared are independent ratings (`ratings`); those of labels changed after reading others' are apart.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from feature_db.label.ratings import (
    MEASURES,
    Ratings,
    last_rating_event,
    ratings,
    ratings_at,
    standing_ratings,
)
from feature_db.sqlite.connection import Connection

__all__ = [
    "MEASURES",
    "Agreement",
    "Disagreement",
    "Level",
    "alpha",
    "by_pair",
    "cohens_kappa",
    "disagreements",
    "last_rating_event",
    "over_time",
    "percent",
    "ratings",
    "standing_ratings",
]

Level = Literal["nominal", "ordinal"]
Counts = npt.NDArray[np.int64]
Figures = npt.NDArray[np.float64]

LARGEST_DRAW = 2**22
"""Numbers drawn at a time: memory does not grow with the features"""


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


def percent(rated: Ratings, seed: int = 0, resamples: int = 1_000) -> Agreement:
    """Share of equal pairs among all pairs of ratings of one feature."""
    units = _counts(rated)

    def equal_pairs(kinds: Counts, often: Counts) -> Figures:
        n = kinds.sum(axis=1)
        return _ratio(often @ (kinds * (kinds - 1)).sum(axis=1), often @ (n * (n - 1)))

    return _figure("percent", units, equal_pairs, seed, resamples, "no feature was rated by two people")


def cohens_kappa(rated: Ratings, first: str, second: str, seed: int = 0, resamples: int = 1_000) -> Agreement:
    """Cohen's kappa of two people over the features both rated [Cohen 1960]: (p_o - p_e) / (1 - p_e)."""
    both = [
        (values[first], values[second]) for values in rated.values() if first in values and second in values
    ]
    codes = {value: code for code, value in enumerate(sorted({v for pair in both for v in pair}, key=str))}
    table = np.array([[codes[a], codes[b]] for a, b in both], dtype=np.int64).reshape(-1, 2)
    return _kappa(table, seed, resamples)


def alpha(rated: Ratings, level: Level, seed: int = 0, resamples: int = 1_000) -> Agreement:
    """Krippendorff's alpha; `level` is "ordinal" for verdicts, "nominal" for categories.

    1 - D_o / D_e from the coincidences of each feature [Krippendorff 2011, sections D and E]; the package
    `krippendorff` gives the same numbers one sample at a time, and is what the tests compare with.
    """
    units = _counts(rated)
    statistic = _ordinal_alpha if level == "ordinal" else _nominal_alpha
    reason = "only one value was ever given" if len(units) else "no feature was rated by two people"
    return _figure(f"Krippendorff's alpha ({level})", units, statistic, seed, resamples, reason)


def by_pair(rated: Ratings, seed: int = 0, resamples: int = 200) -> dict[tuple[str, str], Agreement]:
    """Cohen's kappa of every two people who have a feature in common."""
    people = {
        name: row for row, name in enumerate(sorted({who for values in rated.values() for who in values}))
    }
    domain = sorted({value for values in rated.values() for value in values.values()}, key=str)
    codes = {value: code for code, value in enumerate(domain)}
    table = np.full((len(people), len(rated)), -1, dtype=np.int64)
    for column, values in enumerate(rated.values()):
        for who, value in values.items():
            table[people[who], column] = codes[value]
    figures: dict[tuple[str, str], Agreement] = {}
    for (first, a), (second, b) in itertools.combinations(people.items(), 2):
        both = (table[a] >= 0) & (table[b] >= 0)
        if both.any():
            figures[first, second] = _kappa(table[[a, b]][:, both].T, seed, resamples)
    return figures


def over_time(
    store: Connection, measure: str, points: int = 12, seed: int = 0, resamples: int = 200
) -> list[tuple[datetime, Agreement]]:
    """Alpha of the ratings that stood at each of `points` equal steps of time (UTC), up to the latest event."""
    first, last = store.rows(
        "SELECT min(time), max(time) FROM label_events WHERE kind IN ('label', 'edit', 'undo')"
    )[0]
    if first is None:
        return []
    level: Level = "ordinal" if measure == "verdict" else "nominal"
    until = list(dict.fromkeys(first + (last - first) * step // points for step in range(1, points + 1)))
    return [
        (datetime.fromtimestamp(time / 1e6, UTC), alpha(rated, level, seed, resamples))
        for time, rated in zip(until, ratings_at(store, measure, until), strict=True)
    ]


def disagreements(store: Connection, measure: str) -> list[Disagreement]:
    """Features whose current values differ; not yet adjudicated ones first, then by how many people rated."""
    settled = {row[0] for row in store.rows("SELECT feature FROM current_adjudications")}
    found = [
        Disagreement(feature, dict(values), feature in settled)
        for feature, values in standing_ratings(store, measure).items()
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


def _ratio(part: Counts | Figures, whole: Counts | Figures) -> Figures:
    """part / whole, nan where whole is 0."""
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)


def _coincidences(kinds: Counts) -> Figures:
    """o[u, c, k]: pairs of ratings (c, k) of each kind of feature, divided by its ratings - 1; [kinds, V, V]."""
    pairs = kinds[:, :, None] * kinds[:, None, :] - kinds[:, :, None] * np.eye(kinds.shape[1], dtype=np.int64)
    return pairs / (kinds.sum(axis=1) - 1)[:, None, None]


def _nominal_alpha(kinds: Counts, often: Counts) -> Figures:
    # Only whether two values are equal counts: no [V, V] table, however many categories there are.
    equal = (kinds * (kinds - 1)).sum(axis=1) / (kinds.sum(axis=1) - 1)
    given = often @ kinds
    n = given.sum(axis=1)
    return 1 - (n - 1) * _ratio(n - often @ equal, n * n - (given * given).sum(axis=1))


def _ordinal_alpha(kinds: Counts, often: Counts) -> Figures:
    size = kinds.shape[1]
    given = (often @ kinds).astype(np.float64)
    n = given.sum(axis=1)
    # Between c and k lie the ratings from c to k, those of c and k themselves counted half. Values nobody gave in a
    # sample lie between nothing, so any ascending codes will do.
    middle = given.cumsum(axis=1) - given / 2
    distance = (middle[:, :, None] - middle[:, None, :]) ** 2
    observed = (often @ _coincidences(kinds).reshape(len(kinds), -1)).reshape(-1, size, size)
    expected = given[:, :, None] * given[:, None, :]
    return 1 - (n - 1) * _ratio(
        (observed * distance).sum(axis=(1, 2)), (expected * distance).sum(axis=(1, 2))
    )


def _kappa(table: Counts, seed: int, resamples: int) -> Agreement:
    """Of two people's codes; [features, 2]."""
    size = int(table.max()) + 1 if len(table) else 0

    def kappa(kinds: Counts, often: Counts) -> Figures:
        n = often.sum(axis=1)
        observed = often @ (kinds[:, 0] == kinds[:, 1]) / n
        first, second = (often @ np.eye(size)[kinds[:, column]] / n[:, None] for column in (0, 1))
        expected = (first * second).sum(axis=1)
        one_value = np.isclose(expected, 1.0)
        return _ratio(np.where(one_value, 0.0, observed - expected), np.where(one_value, 0.0, 1 - expected))

    reason = "both always gave the same one value" if len(table) else "there is no feature that both rated"
    return _figure("Cohen's kappa", table, kappa, seed, resamples, reason, ratings_of=lambda t: t.size)


def _figure(
    method: str,
    units: Counts,
    statistic: Callable[[Counts, Counts], Figures],
    seed: int,
    resamples: int,
    reason: str,
    ratings_of: Callable[[Counts], int] = lambda counts: int(counts.sum()),
) -> Agreement:
    """A figure with its interval. `statistic(kinds, often)` of samples that hold kind k of feature often[s, k] times.

    Features rated alike are one kind. To draw features with replacement is to draw how often each kind comes up, so
    all samples are one multinomial draw, and the statistic is a few products of [samples, kinds] matrices.
    """
    if not len(units):
        return Agreement(method, None, 0, 0, reason=reason)
    kinds, often = np.unique(units, axis=0, return_counts=True)
    value = float(statistic(kinds, often[None, :])[0])
    if not np.isfinite(value):
        return Agreement(method, None, len(units), ratings_of(units), reason=reason)
    rng = np.random.default_rng(seed)
    each = max(1, LARGEST_DRAW // (len(kinds) * kinds.shape[1]))
    drawn = np.concatenate(
        [
            statistic(kinds, rng.multinomial(len(units), often / len(units), min(each, resamples - start)))
            for start in range(0, resamples, each)
        ]
    )
    defined = drawn[np.isfinite(drawn)]
    low = high = None
    # An interval over the resamples that happen to be defined would look narrower than what is known.
    if len(units) > 1 and len(defined) >= 0.95 * resamples:
        low, high = (float(bound) for bound in np.quantile(defined, [0.025, 0.975]))
    return Agreement(method, value, len(units), ratings_of(units), low, high)
