"""The smallest change of multipliers under which wishes hold: a linear program, and which wishes no change can meet.

A wish says that one answer leads another by a margin. With d_f the contribution to that lead of feature f, w_f (z_f of
the better answer - z_f of the worse), and b what all features together give as they are now, it reads

    b + sum_f d_f (m_f - now_f) >= margin        low_f <= m_f <= high_f

which is linear in the multipliers m. The cost of a change is sum_f price_f |m_f - now_f|, which a linear program
minimises once every change is split into a rise and a fall. A limit on how many features change makes it a
mixed-integer program, with a switch a feature. Both are solved by HiGHS [Huangfu and Hall 2018], as scipy ships it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, linprog, milp

from sarm_core.errors import SarmError
from sarm_core.figures import plural

__all__ = ["Change", "Program"]

Floats = npt.NDArray[np.float64]

_NOTHING = 1e-9
"""A multiplier that moves by less was not moved."""
_TOLERANCE = 1e-10
"""To which HiGHS keeps constraints; its least, and 1e-7 where it is not told."""
_MOST_NODES = 20_000
"""Of the search under a limit of features: where they end it, what it gives does not hang on the clock."""


_NONE, _UNSETTLED = "none", "unsettled"
"""What a search under a limit says without a change: that there is none, or that it was ended."""


@dataclass(frozen=True)
class Change:
    """New multipliers [features] that keep every wish; `proved` when no cheaper change can."""

    multipliers: Floats
    proved: bool


@dataclass(frozen=True)
class Program:
    """Wishes as inequalities: `leads` float64 [wishes, features] holds d, `now` [features] the multipliers as they are.

    `base` [wishes] is each lead as it is; `margin` what each must come to; `low`, `high` [features] bound multipliers
    and hold `now` between them; `price` [features] is what moving a multiplier by 1 costs, above 0.
    """

    leads: Floats
    base: Floats
    margin: float
    now: Floats
    low: Floats
    high: Floats
    price: Floats

    def __post_init__(self) -> None:
        if (self.price <= 0).any() or (self.low > self.now).any() or (self.high < self.now).any():
            raise SarmError("a multiplier lies outside its bounds, or its change costs nothing")

    @property
    def n_features(self) -> int:
        """How many multipliers may change."""
        return int(self.now.size)

    def cost(self, multipliers: Floats) -> float:
        """sum_f price_f |m_f - now_f|."""
        return float((self.price * np.abs(multipliers - self.now)).sum())

    def margins(self, multipliers: Floats) -> Floats:
        """Each wish's lead under `multipliers`, float64 [wishes]."""
        return self.base + self.leads @ (multipliers - self.now)

    def least(self, wishes: Sequence[int] | None = None) -> Change | None:
        """The cheapest change under which these wishes (all, without them) hold; None when none does."""
        kept = self._only(wishes)
        solved = self._rises_and_falls(kept.leads, kept._needed)
        return None if solved is None else Change(self._moved(solved), True)

    def with_few(self, most: int, *, seconds: float = 10.0) -> Change | None:
        """The cheapest change of at most `most` features; None when there is none.

        Raises SarmError when `seconds` end the search before one was found.
        """
        free = self.least()
        if free is None or self.n_changed(free.multipliers) <= most:
            return free
        rows, cost = self._count(), np.r_[self.price, self.price, np.zeros(self.n_features)]
        found = self._switched(cost, LinearConstraint(rows, -np.inf, most), seconds)
        if isinstance(found, Change) or found is _NONE:
            return found if isinstance(found, Change) else None
        thinned = self._thinned()
        if thinned is not None and self.n_changed(thinned.multipliers) <= most:
            return thinned
        raise SarmError(
            f"no steering of at most {plural(most, 'feature')} was found in {seconds:g} s, nor that there is none: "
            "allow more features, or fewer wishes"
        )

    def fewest(self, *, seconds: float = 10.0) -> Change | None:
        """The change of the fewest features, the cheapest among those; None when no change keeps all wishes."""
        start = self._thinned()
        if start is None:
            return None
        most = self.n_changed(start.multipliers)
        # A feature costs more than all that the cheapest changes of so many could save.
        step = 2.0 * self.cost(start.multipliers) + float(self.price.max())
        cost = np.r_[self.price, self.price, np.full(self.n_features, step)]
        found = self._switched(cost, LinearConstraint(self._count(), -np.inf, most), seconds)
        return found if isinstance(found, Change) and self._rank(found) <= self._rank(start) else start

    def n_changed(self, multipliers: Floats) -> int:
        """How many multipliers differ from `now`."""
        return int((np.abs(multipliers - self.now) > _NOTHING).sum())

    def conflict(self, *, seconds: float = 10.0) -> tuple[tuple[int, ...], bool]:
        """The smallest set of wishes that no change keeps together, ascending, and whether it is proved to be.

        Empty when all can be kept. First one from which no wish can be left out; then, for at most `seconds`, implicit
        hitting sets [Ignatiev et al. 2015]: a set that meets every known way out of the conflict and still cannot be
        kept is a smallest one.
        """
        if self.least() is not None:
            return (), True
        until = time.monotonic() + seconds
        known = self._irreducible(self._certificate())
        ways_out: list[npt.NDArray[np.bool_]] = []
        while time.monotonic() < until:
            candidate = _smallest_hitting_set(ways_out, len(self.base))
            if len(candidate) >= len(known):
                return known, True
            if self.least(candidate) is None:
                return tuple(candidate), True
            kept = list(candidate)
            for wish in range(len(self.base)):
                if wish not in candidate and self.least([*kept, wish]) is not None:
                    kept.append(wish)
                if time.monotonic() > until:
                    return known, False
            way_out = np.ones(len(self.base), dtype=bool)
            way_out[kept] = False
            ways_out.append(way_out)
        return known, False

    def _certificate(self) -> list[int]:
        """Wishes that cannot be kept together, often few: those that weigh in the proof [Farkas' lemma] that all of
        them have to fall short by something."""
        n = self.n_features
        short: Any = linprog(
            np.r_[np.zeros(2 * n), 1.0],
            A_ub=np.hstack([-self.leads, self.leads, -np.ones((len(self.base), 1))]),
            b_ub=-self._needed,
            bounds=np.c_[np.zeros(2 * n + 1), np.r_[self.high - self.now, self.now - self.low, np.inf]],
            method="highs",
        )
        weighing = (
            [] if short.status else np.flatnonzero(np.abs(short.ineqlin.marginals) > _TOLERANCE).tolist()
        )
        everything = list(range(len(self.base)))
        return weighing if weighing and self.least(weighing) is None else everything

    def _irreducible(self, wishes: Sequence[int]) -> tuple[int, ...]:
        """Those of `wishes` that are left when each is dropped without which the others still cannot be kept."""
        left = list(wishes)
        for wish in wishes:
            others = [other for other in left if other != wish]
            if others and self.least(others) is None:
                left = others
        return tuple(sorted(left))

    def over(self, features: npt.NDArray[np.bool_]) -> Program:
        """The same wishes where only the `features` of a mask may change."""
        return replace(
            self,
            leads=self.leads[:, features],
            **{name: getattr(self, name)[features] for name in ("now", "low", "high", "price")},
        )

    # -- how it is solved ------------------------------------------------------------------------------

    @property
    def _needed(self) -> Floats:
        """What the changes have to add to each lead: a little more than the margin, for the solver's tolerance."""
        room = 10 * _TOLERANCE * max(1.0, abs(self.margin), float(np.abs(self.base).max(initial=0.0)))
        return self.margin + room - self.base

    def _only(self, wishes: Sequence[int] | None) -> Program:
        if wishes is None:
            return self
        rows = np.asarray(wishes, dtype=np.int64)
        return replace(self, leads=self.leads[rows], base=self.base[rows])

    def _rises_and_falls(self, leads: Floats, needed: Floats, cost: Floats | None = None) -> Floats | None:
        """(rises, falls) [2 features] of the linear program, None when it has no solution."""
        if not (needed > 0).any():
            return np.zeros(2 * self.n_features)
        if not self.n_features:
            return None
        price = self.price if cost is None else cost
        found: Any = linprog(
            np.r_[price, price],
            A_ub=np.hstack([-leads, leads]),
            b_ub=-needed,
            bounds=np.c_[
                np.zeros(2 * self.n_features),
                np.r_[self.high - self.now, self.now - self.low],
            ],
            method="highs",
            options={"primal_feasibility_tolerance": _TOLERANCE, "dual_feasibility_tolerance": _TOLERANCE},
        )
        if found.status == 2:
            return None
        if found.status != 0:
            raise SarmError(f"the linear program of the wishes was not solved: {found.message}")
        return np.asarray(found.x, dtype=np.float64)

    def _moved(self, solved: Floats) -> Floats:
        rises, falls = solved[: self.n_features], solved[self.n_features : 2 * self.n_features]
        moved = rises - falls
        moved[np.abs(moved) <= _NOTHING] = 0.0
        return np.clip(self.now + moved, self.low, self.high)

    def _thinned(self) -> Change | None:
        """A change of few features, by linear programs that make dear what was hardly used [Candes et al. 2008]."""
        best: Change | None = None
        reach = np.maximum(self.high - self.now, self.now - self.low)
        # The count of features, relaxed: what moves a part of its reach counts as that part.
        cost = 1.0 / np.maximum(reach, 1e-3)
        for _ in range(5):
            solved = self._rises_and_falls(self.leads, self._needed, cost)
            if solved is None:
                return None
            moved = self._moved(solved)
            found = Change(_there(self._polished(moved)), False)
            if best is None or self._rank(found) < self._rank(best):
                best = found
            used = np.abs(moved - self.now)
            cost = 1.0 / (used + 0.05 * max(float(used.max()), 1e-3))
        return best

    def _polished(self, multipliers: Floats) -> Floats | None:
        """The cheapest change that moves no other features than this one does; None when none keeps the wishes."""
        used = np.abs(multipliers - self.now) > _NOTHING
        part = self.over(used)
        solved = part._rises_and_falls(part.leads, part._needed)
        if solved is None:
            return None
        whole = self.now.copy()
        whole[used] = part._moved(solved)
        return whole

    def _count(self) -> Floats:
        """The row that counts switches, [1, 3 features]."""
        return np.r_[np.zeros(2 * self.n_features), np.ones(self.n_features)][None, :]

    def _switched(self, cost: Floats, limit: LinearConstraint, seconds: float) -> Change | str:
        """The mixed-integer program with a switch a feature: a change, `_NONE` or `_UNSETTLED`."""
        n = self.n_features
        up, down = self.high - self.now, self.now - self.low
        eye = sparse.eye(n, format="csr")
        none = sparse.csr_matrix((n, n))
        links = [
            LinearConstraint(sparse.hstack([eye, none, -sparse.diags(up)], format="csr"), -np.inf, 0.0),
            LinearConstraint(sparse.hstack([none, eye, -sparse.diags(down)], format="csr"), -np.inf, 0.0),
        ]
        keep = LinearConstraint(
            np.hstack([self.leads, -self.leads, np.zeros_like(self.leads)]), self._needed, np.inf
        )
        found: Any = milp(
            cost,
            integrality=np.r_[np.zeros(2 * n), np.ones(n)],
            bounds=Bounds(0.0, np.r_[up, down, np.ones(n)]),
            constraints=[keep, *links, limit],
            options={"time_limit": seconds, "node_limit": _MOST_NODES, "mip_rel_gap": 1e-6},
        )
        if found.x is None:
            return _NONE if found.status == 2 else _UNSETTLED
        polished = self._polished(self._moved(found.x))
        return _UNSETTLED if polished is None else Change(polished, found.status == 0)

    def _rank(self, change: Change) -> tuple[int, float]:
        """Fewer features first, then cheaper."""
        return self.n_changed(change.multipliers), self.cost(change.multipliers)


def _there(multipliers: Floats | None) -> Floats:
    assert multipliers is not None  # those of a linear program over the same features
    return multipliers


def _smallest_hitting_set(sets: Sequence[npt.NDArray[np.bool_]], n: int) -> list[int]:
    """The smallest set of numbers below n that has one in common with each of `sets`, which are masks [n]."""
    if not sets:
        return []
    found: Any = milp(
        np.ones(n),
        integrality=np.ones(n),
        bounds=Bounds(0.0, 1.0),
        constraints=LinearConstraint(np.stack(sets).astype(np.float64), 1.0, np.inf),
    )
    if found.status != 0:
        raise SarmError(f"the wishes in conflict were not told apart: {found.message}")
    return [int(i) for i in np.flatnonzero(found.x > 0.5)]
