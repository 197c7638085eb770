"""One run against another: on the decisions both have, who is right in how many, and which wins both have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import streamlit as st

from app.session.engine import Engine
from feature_db.runs import Decided, Runs
from sarm_core.bootstrap import FEWEST_PROMPTS, interval, redrawn_alike
from sarm_core.figures import plural, points, points_interval

__all__ = ["Against", "against", "compared", "in_words"]


@dataclass(frozen=True)
class Against:
    """A run against a baseline, on the `common` decisions (`apart` are in one of them only).

    `difference` is the share right under this run's steering minus that under the baseline's, `low` and `high` its 95 %
    interval over prompts (NaN below 10). A decision is won where a steering counts it higher than the plain model does,
    lost where lower: by both, by this run only, by the baseline only.
    """

    common: int
    apart: int
    right: float
    right_there: float
    low: float
    high: float
    won: tuple[int, int, int]
    lost: tuple[int, int, int]

    @property
    def difference(self) -> float:
        """Share right here minus there."""
        return (self.right - self.right_there) / self.common

    @property
    def kind(self) -> str:
        """ "better", "worse", "not told apart", or "few prompts"."""
        if np.isnan(self.low):
            return "few prompts"
        return "better" if self.low > 0 else "worse" if self.high < 0 else "not told apart"


def against(here: Decided, there: Decided, *, resamples: int = 1000, seed: int = 0) -> Against | None:
    """`here` against the baseline `there`; None where they have no decision in common."""
    _, one, other = np.intersect1d(here.keys, there.keys, return_indices=True)
    n = len(one)
    if not n:
        return None
    apart = len(np.unique(here.keys)) + len(np.unique(there.keys)) - 2 * n
    before, after, after_there = here.before[one], here.after[one], there.after[other]
    before_there = there.before[other]
    sides = [(after > before, after_there > before_there), (after < before, after_there < before_there)]
    won, lost = ((int((a & b).sum()), int((a & ~b).sum()), int((~a & b).sum())) for a, b in sides)
    low, high = _interval(after.astype(np.float64) - after_there, here.units[one], resamples, seed)
    return Against(n, apart, float(after.sum()), float(after_there.sum()), low, high, won, lost)


def _interval(difference: np.ndarray, units: np.ndarray, resamples: int, seed: int) -> tuple[float, float]:
    _, number = np.unique(units, return_inverse=True)
    sums = np.stack([np.bincount(number, difference), np.bincount(number).astype(np.float64)])
    if sums.shape[1] < FEWEST_PROMPTS:
        return np.nan, np.nan
    kinds, counts = np.unique(sums.round(9), axis=1, return_counts=True)
    total, n = redrawn_alike(kinds, counts.astype(np.int64), resamples, np.random.default_rng(seed))
    return interval(total / n, 0.95)


def compared(engine: Engine, uid: str, base: str) -> Against | None:
    """Two kept evaluations; None where one is none, or they share no decision."""
    return _compared(str(engine.store_path), uid, base, engine)


@st.cache_data(max_entries=500, show_spinner=False)
def _compared(path: str, uid: str, base: str, _engine: Engine) -> Against | None:
    with _engine.store() as store:
        here, there = Runs(store).decided(uid), Runs(store).decided(base)
    return None if here is None or there is None else against(here, there)


def in_words(found: Against, baseline: str) -> list[str]:
    """The comparison in sentences; `baseline` is Markdown."""
    kind = {
        "better": "more than chance",
        "worse": "less, beyond chance",
        "not told apart": "not told apart",
        "few prompts": "too few prompts for an interval",
    }[found.kind]
    bounds = "" if np.isnan(found.low) else f", 95 % interval {points_interval(found.low, found.high)}"
    said = [
        f"On the {plural(found.common, 'decision')} that both have, this run is right in {found.right:,.10g} and "
        f"{baseline} in {found.right_there:,.10g}: {points(found.difference)} points ({kind}{bounds})."
    ]
    for name, (both, here, there) in (("Won", found.won), ("Lost", found.lost)):
        said.append(
            f"{name} against the plain model: {both:,} by both, {here:,} by this run only, "
            f"{there:,} by the baseline only."
        )
    if found.apart:
        said.append(
            f"{plural(found.apart, 'decision')} of one of them the other does not have: left out here."
        )
    return said
