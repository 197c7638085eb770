"""What a person asks a proposal for: wanted orders, over one prompt or several, as wishes about rows of one matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from app.session.comparison import Comparison
from app.session.wishes import Wanted
from sarm_core.features import FeatureMatrix
from sarm_core.prove.complement import Complement
from sarm_core.steering import Steering
from sarm_core.wish.wishes import Wish

if TYPE_CHECKING:
    from sarm_core.wish.proposal import Proposal

__all__ = ["Limits", "Question"]

SECONDS, SECONDS_LIMITED = 0.5, 3.0
"""Of each search that has no bound of its own: the alternative with the fewest features, the smallest conflict. On the
corpus longer ones found nothing better. A limit of features makes the proposal such a search, which may take more."""


@dataclass(frozen=True)
class Limits:
    """What a person may restrict: how many features move, and by how much a better answer leads (None: as the engine
    chooses)."""

    max_features: int | None = None
    margin: float | None = None


@dataclass(frozen=True)
class Question:
    """Wanted orders, with the activations of the answers to each prompt, and the steering they start from.

    `elsewhere` are the answers that should be left alone, `named` the features whose names hold.
    """

    orders: tuple[Wanted, ...]
    matrices: tuple[FeatureMatrix, ...]
    start: Steering
    limits: Limits = Limits()
    elsewhere: Complement | None = None
    named: frozenset[int] = frozenset()

    @cached_property
    def firsts(self) -> list[int]:
        """The row of each prompt's first answer in `matrix`."""
        return [0, *accumulate(len(matrix) for matrix in self.matrices)][:-1]

    @cached_property
    def matrix(self) -> FeatureMatrix:
        """All answers, prompt after prompt."""
        return self.matrices[0] if len(self.matrices) == 1 else FeatureMatrix.concatenate(self.matrices)

    @property
    def wishes(self) -> list[Wish]:
        """All wishes, about rows of `matrix`."""
        return [
            Wish(first + wish.better, first + wish.worse)
            for first, wanted in zip(self.firsts, self.orders, strict=True)
            for wish in wanted.wishes
        ]

    def same_wishes(self, orders: Sequence[Wanted], limits: Limits) -> bool:
        """Whether these orders and limits ask for the same."""
        asked, other = ([(w.comparison.key, w.wishes) for w in of] for of in (self.orders, orders))
        return asked == other and self.limits == limits

    def place_of(self, wish: Wish) -> tuple[Comparison, Wish]:
        """The comparison that a wish about rows of `matrix` belongs to, and the wish about its answers."""
        part = int(np.searchsorted(self.firsts, wish.better, side="right")) - 1
        first = self.firsts[part]
        return self.orders[part].comparison, Wish(wish.better - first, wish.worse - first)

    def order_under(self, steering: Steering, part: int) -> list[int]:
        """The answers of one prompt, best first."""
        rewards = steering.without_offsets().rewards(self.matrices[part])
        return [int(i) for i in np.argsort(-rewards, kind="stable")]

    def answered(self) -> Proposal:
        """The proposal. Raises SarmError."""
        # scipy's solvers are not loaded for a page on which nothing is wished for.
        from sarm_core.wish.proposal import propose

        return propose(
            self.matrix,
            wishes=self.wishes,
            start=self.start,
            elsewhere=self.elsewhere,
            margin=self.limits.margin,
            max_features=self.limits.max_features,
            named=self.named,
            seconds=SECONDS if self.limits.max_features is None else SECONDS_LIMITED,
        )
