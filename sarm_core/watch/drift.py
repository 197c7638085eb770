"""How the answers of a training run change, feature by feature: exact sums over scored answers, no model runs.

With c_i = w_i z_i an answer's contribution of feature i and m_i(t) its mean over the answers of point t,

    reward(t) = sum_i m_i(t)        change_i(t) = m_i(t) - m_i(0)        share_i(t) = change_i(t) / sum_j change_j(t)

so the changes of all features add up to the rise of the mean reward, and their shares to one. What of a change remains
with answers held equally long is

    matched_i(t) = change_i(t) - b_i (l(t) - l(0)),      b_i = sum (c_i - c_i of its group) (l - l of its group) /
                                                               sum (l - l of its group)^2

where l is an answer's length in tokens, l(t) its mean, and the sums run over the answers of points 0 and t. A group is
the answers to one prompt at one point; where prompts have one answer each, all answers of a point. b is linear in c, so
the matched changes add up to the matched rise as well.

Intervals are those of the one bootstrap over prompts. Prompts that both points ask are drawn together, so a run that
asks the same prompts in every step is compared prompt by prompt; those that only one of them asks are drawn by
themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from sarm_core.bootstrap import FEWEST_PROMPTS, KeptDraws, interval
from sarm_core.errors import SarmError
from sarm_core.features import FeatureMatrix
from sarm_core.figures import signed
from sarm_core.notebook import BAR, bar, drawn, feature_cell

if TYPE_CHECKING:
    import pandas as pd

    from sarm_core.text.rows import Conversation

__all__ = ["Alarm", "Answers", "Drift", "Estimate", "Point", "drift_of"]

Floats = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]
_ALWAYS = 3
"""Features of every point that are kept, though others drifted more in the end"""


class Estimate(NamedTuple):
    """A figure with its interval over prompts; NaN where there is none."""

    value: float
    low: float = np.nan
    high: float = np.nan

    @property
    def is_apart(self) -> bool:
        """Whether the interval leaves 0 out. False without an interval."""
        return bool(self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class Point:
    """The answers of one step, or of several that were put together."""

    steps: tuple[int, ...]
    n: int
    n_prompts: int
    n_empty: int
    reward: Estimate
    rise: Estimate
    """Since the first point"""
    matched_rise: Estimate
    """The same with answers held equally long"""
    length: float
    """Mean tokens an answer"""
    overlap: float
    """Share of the answers that are no longer and no shorter than any of the first point"""
    common: float
    """Share of its prompts that the first point asks as well"""
    kl: float = np.nan
    """As the trainer logged it"""
    figures: Mapping[str, float] = field(default_factory=dict)
    """Means of the trainer's own columns"""

    @property
    def title(self) -> str:
        """ "12", or "11–20"."""
        return str(self.steps[0]) if len(self.steps) == 1 else f"{self.steps[0]}–{self.steps[-1]}"


@dataclass(frozen=True)
class Answers:
    """n scored answers of a run: `matrix` under the steering, `point` int [n] from 0 in ascending order of steps,
    `prompts` int [n] equal for equal prompts, `lengths` [n] in tokens, and the conversations."""

    matrix: FeatureMatrix
    point: Ids
    prompts: Ids
    lengths: Floats
    conversations: tuple[Conversation, ...] = ()


class Alarm(NamedTuple):
    """A feature that carries more of the rise than it may, at `point`."""

    feature: int
    point: int
    share: float
    z: float


@dataclass(frozen=True)
class Drift:
    """T points and the F features that drifted most, the largest change at the last point first.

    Arrays [F, T], float64, NaN where undefined: `mean` with `mean_low`, `mean_high`; `change` since the first point
    with `change_low`, `change_high`; `z`, change by its standard error over prompts; `share` of the reward's rise, NaN
    where the rise is not told apart from 0; `matched`, the change with answers held equally long, with `matched_low`,
    `matched_high`. `others` [T] is the change of all features that are not listed: with those listed it adds up to the
    rise.
    """

    points: tuple[Point, ...]
    features: Ids
    mean: Floats
    mean_low: Floats
    mean_high: Floats
    change: Floats
    change_low: Floats
    change_high: Floats
    z: Floats
    share: Floats
    matched: Floats
    matched_low: Floats
    matched_high: Floats
    others: Floats
    answers: Answers = field(repr=False)
    confidence: float = 0.95
    resamples: int = 1000
    names: Mapping[int, str] = field(default_factory=dict, compare=False)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.points)

    @property
    def error(self) -> float:
        """|sum of all changes - rise|, the largest of all points."""
        rises = np.array([point.rise.value for point in self.points])
        return float(np.abs(self.change.sum(axis=0) + self.others - rises).max(initial=0.0))

    def alarms(self, share: float | None = None, z: float | None = None) -> list[Alarm]:
        """The features that, at their first such point, carry at least `share` of the reward's rise with a change that
        is told apart from 0, or have |z| of at least `z`; by point."""
        found = []
        for row, feature in enumerate(self.features):
            apart = (self.change_low[row] > 0) | (self.change_high[row] < 0)
            raised = np.zeros(len(self), dtype=bool)
            if share is not None:
                raised |= apart & (self.share[row] >= share)
            if z is not None:
                raised |= np.abs(self.z[row]) >= z
            if raised.any():
                at = int(np.argmax(raised))
                found.append(Alarm(int(feature), at, float(self.share[row, at]), float(self.z[row, at])))
        return sorted(found, key=lambda alarm: alarm.point)

    def frame(self) -> pd.DataFrame:
        """One row a feature and point: feature, name (where some are known), step (the last of the point), and the
        arrays' columns."""
        import pandas as pd

        columns = (
            "mean", "mean_low", "mean_high", "change", "change_low", "change_high", "z", "share",
            "matched", "matched_low", "matched_high",
        )  # fmt: skip
        n, t = self.mean.shape
        made: dict[str, npt.ArrayLike] = {"feature": np.repeat(self.features, t)}
        if self.names:
            made["name"] = [self.names.get(int(i), "") for i in np.repeat(self.features, t)]
        made["step"] = np.tile([point.steps[-1] for point in self.points], n)
        made.update((name, getattr(self, name).ravel()) for name in columns)
        return pd.DataFrame(made)

    def _repr_html_(self) -> str:
        last = self.points[-1]
        largest = float(np.abs(self.change[:, -1]).max(initial=0.0))
        shown = range(min(12, len(self.features)))
        rows = [
            (
                feature_cell(int(self.features[i]), self.names),
                signed(self.change[i, -1]),
                bar(float(self.change[i, -1]), largest),
                _span(self.change_low[i, -1], self.change_high[i, -1]),
                "" if np.isnan(self.share[i, -1]) else f"{self.share[i, -1]:.0%}",
                "" if np.isnan(self.matched[i, -1]) else signed(self.matched[i, -1]),
            )
            for i in shown
        ]
        rest = float(self.change[len(shown) :, -1].sum() + self.others[-1])
        head = ("feature", "change", BAR, "interval", "of the rise", "equally long")
        title = f"Mean reward {signed(last.rise.value)} from step {self.points[0].title} to {last.title}"
        note = f"All other features: {signed(rest)}. The changes add up to the rise (error {self.error:.0e})."
        return drawn(title, head, rows, text=(0,), note=" ".join([note, *self.notes]))


def drift_of(
    answers: Answers,
    steps: Sequence[tuple[int, ...]],
    *,
    features: int = 20,
    also: Sequence[int] = (),
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Drift:
    """The drift over the points whose steps are `steps` [T]; the `features` that changed most in the end are listed,
    the three that did at any other point, and those in `also`.

    Memory: `features` x resamples for a point, and a copy of the activations. Raises SarmError for points without
    answers.
    """
    n_points = len(steps)
    counts = np.bincount(answers.point, minlength=n_points)
    if not n_points or not counts.all():
        raise SarmError("a drift needs answers at every point")
    means = _means(answers, counts)
    listed = _drifted_most(means, features, also)
    parts = _contributions(answers.matrix, listed)
    sums = [_Sums.of(answers, parts, at) for at in range(n_points)]
    made = [_compared(sums[0], one, resamples, confidence, seed) for one in sums]
    rise = np.array([found.change[-1].value for found in made])

    def table(name: str, part: int) -> Floats:
        return np.array(
            [[getattr(found, name)[i][part] for found in made] for i in range(listed.size)]
        ).reshape(listed.size, n_points)

    change = table("change", 0)
    told = np.array([found.change[-1].is_apart or np.isnan(found.change[-1].low) for found in made]) & (
        rise != 0
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(told, change / rise, np.nan)
    first = sums[0]
    points = tuple(
        Point(
            tuple(steps[at]),
            int(counts[at]),
            one.units.size,
            0,
            found.mean[-1],
            found.change[-1],
            found.matched[-1],
            one.mean_length,
            float(((one.lengths >= first.lengths.min()) & (one.lengths <= first.lengths.max())).mean()),
            float(np.isin(one.units, first.units).mean()),
        )
        for at, (one, found) in enumerate(zip(sums, made, strict=True))
    )
    return Drift(
        points,
        listed,
        table("mean", 0),
        table("mean", 1),
        table("mean", 2),
        change,
        table("change", 1),
        table("change", 2),
        np.array([[found.z[i] for found in made] for i in range(listed.size)]).reshape(listed.size, n_points),
        share,
        table("matched", 0),
        table("matched", 1),
        table("matched", 2),
        rise - change.sum(axis=0),
        answers,
        confidence,
        resamples,
    )


def _means(answers: Answers, counts: Ids) -> sparse.csr_matrix:
    """m [T, M], sparse: the mean contribution of every feature at every point."""
    matrix = answers.matrix
    rows = np.arange(len(matrix))
    gather = sparse.csr_matrix(
        (1.0 / counts[answers.point], (answers.point, rows)), shape=(counts.size, rows.size)
    )
    return sparse.csr_matrix(
        (gather @ matrix.csr.astype(np.float64)).multiply(matrix.head.astype(np.float64))
    )


def _drifted_most(means: sparse.csr_matrix, n: int, also: Sequence[int]) -> Ids:
    """The features whose mean changed most since the first point, those of the last point first."""
    if wrong := [i for i in also if not 0 <= i < means.shape[1]]:
        raise SarmError(f"there is no feature {wrong[0]}: this model's run from 0 to {means.shape[1] - 1}")
    first = np.asarray(means[0].todense()).ravel()
    kept: dict[int, None] = dict.fromkeys(int(i) for i in also)
    last: Floats = np.zeros(first.size)
    for at in range(means.shape[0] - 1, -1, -1):
        size = np.abs(np.asarray(means[at].todense()).ravel() - first)
        wanted = n if at == means.shape[0] - 1 else min(_ALWAYS, n)
        if at == means.shape[0] - 1:
            last = size
        some = np.argsort(-size, kind="stable")[:wanted]
        kept.update(dict.fromkeys(int(i) for i in some if size[i] > 0))
    ids = np.array(sorted(kept), dtype=np.int64)
    return ids[np.argsort(-last[ids], kind="stable")]


def _contributions(matrix: FeatureMatrix, listed: Ids) -> Floats:
    """c of the listed features and, in the last column, of all together: the reward; float64 [n, F + 1]."""
    wanted = sparse.csc_matrix(matrix.csr[:, listed], dtype=np.float64)
    parts = np.asarray(wanted.todense()) * matrix.head[listed].astype(np.float64)
    added = dict(zip(matrix.offset_ids.tolist(), matrix.offset_values.tolist(), strict=True))
    constant = np.array([added.get(int(i), 0.0) * float(matrix.head[i]) for i in listed])
    return np.column_stack([parts + constant, matrix.exact_rewards])


@dataclass(frozen=True)
class _Sums:
    """What a point's answers sum to, by prompt: everything that a resample needs. `units` are the P prompts.

    `c` [P, F + 1] contributions, `n` [P] answers, `long` [P] their lengths; products about their groups' means: `cl`
    [P, F + 1] and `ll` [P]. `lengths` are those of the single answers.
    """

    units: Ids
    n: Floats
    c: Floats
    long: Floats
    cl: Floats
    ll: Floats
    lengths: Floats

    @classmethod
    def of(cls, answers: Answers, parts: Floats, at: int) -> _Sums:
        rows = np.flatnonzero(answers.point == at)
        units, place = np.unique(answers.prompts[rows], return_inverse=True)
        c, lengths = parts[rows], answers.lengths[rows]
        by_prompt = sparse.csr_matrix(
            (np.ones(rows.size), (place, np.arange(rows.size))), shape=(units.size, rows.size)
        )
        n = np.bincount(place, minlength=units.size).astype(np.float64)
        sums, total = by_prompt @ c, by_prompt @ lengths
        if (n > 1).any():  # answers about the mean of those to their prompt
            off_c, off_l = c - (sums / n[:, None])[place], lengths - (total / n)[place]
        else:
            off_c, off_l = c - c.mean(axis=0), lengths - lengths.mean()
        return cls(units, n, sums, total, by_prompt @ (off_c * off_l[:, None]), by_prompt @ off_l**2, lengths)

    @property
    def mean_length(self) -> float:
        return float(self.long.sum() / self.n.sum())

    def laid_out(self, units: Ids) -> Floats:
        """All sums for these prompts, 0 for those it does not ask; [len(units), 2 F + 5]."""
        laid = np.zeros((units.size, 2 * self.c.shape[1] + 3))
        laid[np.searchsorted(units, self.units)] = np.column_stack(
            [self.n, self.long, self.ll, self.c, self.cl]
        )
        return laid


@dataclass(frozen=True)
class _Compared:
    """Estimates of each column [F + 1], the reward the last, of one point against the first."""

    mean: list[Estimate]
    change: list[Estimate]
    matched: list[Estimate]
    z: Floats


def _compared(first: _Sums, one: _Sums, resamples: int, confidence: float, seed: int) -> _Compared:
    units = np.union1d(first.units, one.units)
    before, after = first.laid_out(units), one.laid_out(units)
    total = _statistics(before.sum(axis=0)[None], after.sum(axis=0)[None])
    enough = min(first.units.size, one.units.size) >= FEWEST_PROMPTS
    if not resamples or not enough:
        mean, change, matched = ([Estimate(float(v)) for v in values[0]] for values in total)
        return _Compared(mean, change, matched, np.full(len(mean), np.nan))
    kinds = np.isin(units, first.units).astype(np.int64) + 2 * np.isin(units, one.units)
    draws = KeptDraws(kinds, resamples, seed)
    drawn_before, drawn_after = (draws.totals(sparse.csc_matrix(laid)).T for laid in (before, after))
    drawn_values = _statistics(drawn_before, drawn_after)
    mean, change, matched = (
        [Estimate(float(v), *interval(of, confidence)) for v, of in zip(value[0], of_all.T, strict=True)]
        for value, of_all in zip(total, drawn_values, strict=True)
    )
    spread = drawn_values[1].std(axis=0, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(spread > 0, total[1][0] / spread, np.nan)
    return _Compared(mean, change, matched, z)


def _statistics(before: Floats, after: Floats) -> tuple[Floats, Floats, Floats]:
    """Mean, change and matched change from sums [R, ...] as `_Sums.laid_out` has them, each [R, F + 1]."""
    width = (before.shape[1] - 3) // 2
    with np.errstate(divide="ignore", invalid="ignore"):
        means = [sums[:, 3 : 3 + width] / sums[:, :1] for sums in (before, after)]
        lengths = [sums[:, 1] / sums[:, 0] for sums in (before, after)]
        about = before[:, 2] + after[:, 2]
        slope = (before[:, 3 + width :] + after[:, 3 + width :]) / np.where(about > 1e-9, about, np.nan)[
            :, None
        ]
    change = means[1] - means[0]
    longer = (lengths[1] - lengths[0])[:, None]
    return means[1], change, np.where(longer == 0, change, change - slope * longer)


def _span(low: float, high: float) -> str:
    return "" if np.isnan(low) else f"{signed(low)} to {signed(high)}"
