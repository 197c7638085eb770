"""The smallest steering under which answers stand in the wanted order, what it turns elsewhere, and alternatives."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sarm_core.errors import SarmError
from sarm_core.features import FeatureMatrix
from sarm_core.figures import plural
from sarm_core.notebook import BAR, bar, drawn
from sarm_core.prove.complement import Complement
from sarm_core.steering import Steering
from sarm_core.wish.elsewhere import Elsewhere, check_elsewhere, turned_elsewhere
from sarm_core.wish.multipliers import (
    HIGH,
    LOW,
    HasMatrix,
    check_bounds,
    check_limit,
    matrix_of,
    may_move,
    multiplied,
)
from sarm_core.wish.program import Change, Program
from sarm_core.wish.wishes import Wish, wishes_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FEWEST", "NAMED", "Achieved", "Proposal", "propose"]

Floats = npt.NDArray[np.float64]

FEWEST = "fewest features"
NAMED = "known-good names only"
_SILENT = 1e-3
"""What a feature costs that is silent elsewhere, as a share of the mean price: nearly nothing, so that of two such
features the one that has to move less is taken."""


@dataclass(frozen=True)
class Achieved:
    """One wish with the lead of the better answer before and after, in reward units."""

    wish: Wish
    before: float
    after: float


@dataclass(frozen=True)
class Proposal:
    """A steering that keeps every wish with `margin` at the least cost, or the wishes in conflict.

    `steering` is whole: it holds what the sliders had before too; None where there is a `conflict`, the smallest set of
    wishes that no multipliers within the bounds keep together. `moved` gives (multiplier before, after) by feature, in
    the order of what each costs. `cost` is sum_f mean |w_f z_f| elsewhere x |m_f - before|, in reward units an answer.
    `costs` is the part of each feature.
    `proved`: no cheaper steering keeps the wishes within the limits asked for, or no smaller set is in conflict.
    `collateral` is None without other answers.
    """

    steering: Steering | None
    margin: float
    moved: dict[int, tuple[float, float]] = field(default_factory=dict)
    cost: float = 0.0
    costs: dict[int, float] = field(default_factory=dict)
    proved: bool = True
    achieved: tuple[Achieved, ...] = ()
    collateral: Elsewhere | None = None
    conflict: tuple[Wish, ...] = ()
    asked: _Asked | None = field(default=None, repr=False, compare=False)

    def frame(self) -> pd.DataFrame:
        """One row a feature whose multiplier moves: feature, before, after; those first that cost most."""
        import pandas as pd

        rows = [(feature, before, after) for feature, (before, after) in self.moved.items()]
        return pd.DataFrame(rows, columns=["feature", "before", "after"])

    def _repr_html_(self) -> str:
        if self.steering is None:
            wishes = [(f"answer {wish.better} before answer {wish.worse}",) for wish in self.conflict]
            return drawn("These wishes cannot be kept together", ("wish",), wishes, text=(0,))
        furthest = max((abs(after - before) for before, after in self.moved.values()), default=0.0)
        rows = [
            (f"#{feature}", bar(after - before, furthest), f"×{before:.3g}", f"×{after:.3g}")
            for feature, (before, after) in self.moved.items()
        ]
        kept = plural(len(self.achieved), "wish", "wishes")
        title = f"{kept} kept by {plural(len(rows), 'multiplier')}" if rows else f"{kept} kept already"
        note = ""
        if self.collateral is not None:
            counted = self.collateral.collateral
            note = f"Elsewhere {counted.n_moved:,} of {plural(counted.n, 'answer')} change their reward"
            if counted.n_pairs:
                note += f", {counted.n_flipped:,} of {plural(counted.n_pairs, 'order')} turn"
        return drawn(title, ("feature", BAR, "before", "after"), rows, text=(0,), note=note)

    @cached_property
    def alternatives(self) -> dict[str, Proposal]:
        """Other steerings that keep the wishes, by what is best about them: `FEWEST` features, `NAMED` features only.

        Worked out when asked for. One that moves the same features as this proposal is left out, and so is one that
        cannot be had.
        """
        if self.asked is None or self.steering is None:
            return {}
        found: dict[str, Proposal] = {}
        few = self.asked.program.fewest(seconds=self.asked.seconds)
        if few is not None:
            found[FEWEST] = self.asked.proposal(few)
        if self.asked.named is not None:
            part = self.asked.only(self.asked.named)
            change = part.program.least()
            if change is not None:
                found[NAMED] = part.proposal(change)
        return {title: other for title, other in found.items() if other.moved.keys() != self.moved.keys()}


def propose(
    scored: FeatureMatrix | HasMatrix,
    order: Sequence[int] | Sequence[Sequence[int]] = (),
    *,
    wishes: Sequence[Wish | tuple[int, int]] = (),
    start: Steering | None = None,
    elsewhere: Complement | FeatureMatrix | None = None,
    margin: float | None = None,
    low: float = LOW,
    high: float = HIGH,
    max_features: int | None = None,
    features: Collection[int] | None = None,
    named: Collection[int] | None = None,
    seconds: float = 5.0,
) -> Proposal:
    """The cheapest multipliers under which the answers of `scored` stand in `order`, best first.

    `order` is one order of answer numbers or one a prompt; `wishes` are pairs (better, worse) beside it. `start` is the
    steering that stands now: what is proposed changes it, and features it sets to a value stay so. A multiplier's price
    is how much reward the feature carries in the answers of `elsewhere`, mean |w z|; without them, in `scored`.
    `margin` in reward units is how far a better answer leads at least (default: a twentieth of the median lead between
    neighbours in reward, elsewhere or here). Multipliers stay in [low, high], or where `start` has them outside; at
    most `max_features` are changed, and only those among `features` where given. `named` are features with a name
    that holds, for an alternative.

    Raises SarmError for orders that name no answer, for bounds that are none, for a margin that float32 rewards do not
    show, and where `seconds` (of the search under a limit of features) ended it with nothing.
    """
    matrix = matrix_of(scored)
    wanted = (*(wishes_of(order, len(matrix)) if len(order) else ()), *_pairs(wishes, len(matrix)))
    wanted = tuple(dict.fromkeys(wanted))
    if not wanted:
        raise SarmError("no wish: say in which order the answers should stand, best first")
    check_bounds(low, high)
    check_limit(max_features)
    if margin is not None and not (np.isfinite(margin) and margin > 0):
        raise SarmError(f"a margin is a number above 0, not {margin:g}")
    others = Complement(elsewhere) if isinstance(elsewhere, FeatureMatrix) else elsewhere
    start = Steering() if start is None else start
    start.check(matrix.n_features)
    check_elsewhere(others, matrix)
    asked = _asked(matrix, wanted, start, others, margin, (low, high), features, named, seconds)
    change = (
        asked.program.least()
        if max_features is None
        else asked.program.with_few(max_features, seconds=seconds)
    )
    if change is None and max_features is not None and asked.program.least() is not None:
        raise SarmError(
            f"no steering of at most {plural(max_features, 'feature')} keeps these wishes; more features do: "
            f"{asked.program.n_changed(_there(asked.program.fewest(seconds=seconds)).multipliers)} are enough"
        )
    if change is None:
        return asked.in_conflict()
    return asked.proposal(change)


def _there(change: Change | None) -> Change:
    assert change is not None  # the wishes can be kept
    return change


def _pairs(wishes: Sequence[Wish | tuple[int, int]], n: int) -> tuple[Wish, ...]:
    found = [wish if isinstance(wish, Wish) else Wish(*wish) for wish in wishes]
    for wish in found:
        wishes_of([wish.better, wish.worse], n)
    return tuple(found)


@dataclass(frozen=True)
class _Asked:
    """One question with its linear program: `ids` [features] are the features whose multipliers it may change."""

    matrix: FeatureMatrix
    wishes: tuple[Wish, ...]
    start: Steering
    elsewhere: Complement | None
    ids: npt.NDArray[np.int64]
    program: Program
    named: frozenset[int] | None
    seconds: float

    def only(self, features: Collection[int]) -> _Asked:
        """The same question where only these features may change."""
        kept = np.isin(self.ids, np.fromiter(features, dtype=np.int64, count=len(features)))
        return replace(self, ids=self.ids[kept], program=self.program.over(kept))

    def proposal(self, change: Change) -> Proposal:
        now, new = self.program.now, change.multipliers
        moved = [int(i) for i in np.flatnonzero(new != now)]
        moved.sort(key=lambda i: -float(self.program.price[i] * abs(new[i] - now[i])))
        steering = multiplied(self.start, {int(self.ids[i]): float(new[i]) for i in moved})
        self._check_told_apart(steering)
        return Proposal(
            steering,
            self.program.margin,
            {int(self.ids[i]): (float(now[i]), float(new[i])) for i in moved},
            self.program.cost(new),
            {int(self.ids[i]): float(self.program.price[i] * abs(new[i] - now[i])) for i in moved},
            change.proved,
            self._achieved(self.program.margins(new)),
            None if self.elsewhere is None else turned_elsewhere(self.elsewhere, self.start, steering),
            asked=self,
        )

    def _check_told_apart(self, steering: Steering) -> None:
        """Rewards are given out in float32, where a lead that is too small is a tie. Raises SarmError."""
        rewards = steering.without_offsets().rewards(self.matrix)
        for wish in self.wishes:
            if not rewards[wish.better] > rewards[wish.worse]:
                raise SarmError(
                    f"a margin of {self.program.margin:g} is lost in rewards such as {rewards[wish.worse]:g}, which "
                    "have 24 bits: ask for a larger one"
                )

    def in_conflict(self) -> Proposal:
        found, smallest = self.program.conflict(seconds=self.seconds)
        conflict = tuple(self.wishes[i] for i in found)
        return Proposal(None, self.program.margin, proved=smallest, conflict=conflict, asked=self)

    def _achieved(self, margins: Floats) -> tuple[Achieved, ...]:
        return tuple(
            Achieved(wish, float(before), float(after))
            for wish, before, after in zip(self.wishes, self.program.base, margins, strict=True)
        )


def _asked(
    matrix: FeatureMatrix,
    wishes: tuple[Wish, ...],
    start: Steering,
    elsewhere: Complement | None,
    margin: float | None,
    bounds: tuple[float, float],
    features: Collection[int] | None,
    named: Collection[int] | None,
    seconds: float,
) -> _Asked:
    leads = [matrix.difference(w.better, w.worse) for w in wishes]
    ids = np.unique(np.concatenate([part for part, _ in leads]))
    dense = np.zeros((len(wishes), ids.size))
    for row, (part, values) in enumerate(leads):
        dense[row, np.searchsorted(ids, part)] = values
    total = start.multipliers()
    now = np.array([total.get(int(i), 1.0) for i in ids], dtype=np.float64)
    fixed = np.array([int(i) in start.set for i in ids], dtype=bool)
    base = dense[:, ~fixed] @ now[~fixed] + _of_set(matrix, wishes, start)
    allowed = may_move(start, ids) & dense.any(axis=0)
    if features is not None:
        allowed &= np.isin(ids, np.fromiter(features, dtype=np.int64, count=len(features)))
    others = matrix if elsewhere is None else elsewhere.matrix
    carried = others.carried
    floor = _SILENT * float(carried[carried > 0].mean()) if (carried > 0).any() else 1.0
    program = Program(
        dense[:, allowed],
        base,
        _margin(matrix, elsewhere) if margin is None else float(margin),
        now[allowed],
        np.minimum(bounds[0], now[allowed]),
        np.maximum(bounds[1], now[allowed]),
        carried[ids[allowed]] + floor,
    )
    return _Asked(
        matrix,
        wishes,
        start,
        elsewhere,
        ids[allowed],
        program,
        None if named is None else frozenset(named),
        seconds,
    )


def _of_set(matrix: FeatureMatrix, wishes: Sequence[Wish], start: Steering) -> Floats:
    """What features that are set to a value add to each lead: w v where they are active."""
    out = np.zeros(len(wishes))
    for feature, value in start.set.items():
        rows, _ = matrix.column(feature)
        active = np.zeros(len(matrix), dtype=bool)
        active[rows] = True
        for number, wish in enumerate(wishes):
            out[number] += (
                float(matrix.head[feature]) * value * (float(active[wish.better]) - float(active[wish.worse]))
            )
    return out


def _margin(matrix: FeatureMatrix, elsewhere: Complement | None) -> float:
    """A twentieth of the median lead: of the pairs elsewhere, or of neighbours in reward among these answers."""
    median = np.nan if elsewhere is None else elsewhere.median_lead
    if np.isnan(median):
        leads = np.diff(np.sort(matrix.exact_rewards))
        median = float(np.median(leads[leads > 0])) if (leads > 0).any() else 0.02
    return 0.05 * median
