"""The orders of answers that a person wants, over the prompts of a session: plain data that lives in the session."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations

import streamlit as st

from app.session.comparison import Comparison, letters
from sarm_core.wish.wishes import Wish, without_implied

__all__ = ["Phrase", "Wanted", "WishState", "phrases", "wishes"]

MOST_ORDERS = 100
"""Of prompts whose order was not kept the oldest are forgotten beyond these."""
MOST_NAMED = 4
MOST_IN_ORDER = 16
LONGEST_LINK = 400
"""Characters: two orders of fifty answers, and more."""
_LINK = re.compile(r"(\d+\.)*\d+-(\d+\.)*\d+(-all)?", re.ASCII)


@dataclass(frozen=True)
class Phrase:
    """Wishes about one answer: it should stand before some answers and behind others."""

    answer: int
    before: tuple[int, ...]
    behind: tuple[int, ...]

    def in_words(self, name: Callable[[int], str] = letters) -> str:
        """`F before C and A`."""
        parts = [
            f"{word} {_listed([name(i) for i in others])}"
            for word, others in (("before", self.before), ("behind", self.behind))
            if others
        ]
        return f"{name(self.answer)} {' and '.join(parts)}"


@dataclass(frozen=True)
class Wanted:
    """The `order` a person wants of the answers to one prompt, and `base`, the order they saw when they said so.

    Who moves one answer past others wishes it before those, and says nothing of the rest: the wishes are the pairs that
    stand the other way round in `base`. With `whole` every pair is one, so the rest stays as it stands. `dropped` are
    pairs (better, worse) that are none any more. A `kept` order counts while another prompt is on the page, too.
    """

    comparison: Comparison
    base: tuple[int, ...]
    order: tuple[int, ...]
    dropped: frozenset[Wish] = frozenset()
    whole: bool = False
    kept: bool = False

    @cached_property
    def asked(self) -> tuple[Wish, ...]:
        """The wishes that dragging made, without those dropped."""
        was = {answer: place for place, answer in enumerate(self.base)}
        return self._without_dropped(Wish(a, b) for a, b in combinations(self.order, 2) if was[a] > was[b])

    @cached_property
    def wishes(self) -> tuple[Wish, ...]:
        """What a proposal has to keep, without what other wishes imply."""
        if not self.whole:
            return without_implied(self.asked)
        return without_implied(self._without_dropped(Wish(a, b) for a, b in combinations(self.order, 2)))

    def _without_dropped(self, pairs: Iterable[Wish]) -> tuple[Wish, ...]:
        return tuple(wish for wish in pairs if wish not in self.dropped)

    def _given_up(self) -> list[Wish]:
        place = {answer: at for at, answer in enumerate(self.order)}
        return sorted(self.dropped, key=lambda wish: (place[wish.better], place[wish.worse]))

    def in_words(self) -> str:
        """`F before C and A`, or `B, E, A, C in this order` where the rest is to stay."""
        if not self.whole:
            return "; ".join(phrase.in_words() for phrase in phrases(self.asked, self.order))
        named = ", ".join(letters(i) for i in self.order[:MOST_IN_ORDER])
        more = f" and {len(self.order) - MOST_IN_ORDER} more" if len(self.order) > MOST_IN_ORDER else ""
        gone = [f"{letters(wish.better)} before {letters(wish.worse)}" for wish in self._given_up()]
        return f"{named}{more} in this order{f', but for {_listed(gone)}' if gone else ''}"

    def to_link(self) -> str:
        """The order as a query parameter: what was seen, what is wanted, "all" where the rest is to stay.

        Wishes that were given up are not part of it.
        """
        parts = [".".join(map(str, order)) for order in (self.base, self.order)]
        return "-".join([*parts, *(["all"] if self.whole else [])])

    @classmethod
    def from_link(cls, comparison: Comparison, text: str) -> Wanted | None:
        """The order that a link describes; None where it is none of these answers."""
        if len(text) > LONGEST_LINK or not _LINK.fullmatch(text):
            return None
        base, order, *rest = text.split("-")
        seen, wanted = (tuple(int(i) for i in part.split(".")) for part in (base, order))
        if any(sorted(part) != list(range(len(comparison.answers))) for part in (seen, wanted)):
            return None
        return cls(comparison, seen, wanted, whole=bool(rest))


@dataclass
class WishState:
    """Wanted orders by the key of their comparison. `revision` rises whenever the server changed one; `is_asked` while
    a proposal is still to be made."""

    orders: dict[str, Wanted] = field(default_factory=dict)
    revision: int = 0
    is_asked: bool = False

    def ask(self) -> None:
        """A proposal is to be made when the page runs next."""
        self.is_asked = True

    def of(self, comparison: Comparison | None) -> Wanted | None:
        """The order wanted of this comparison's answers."""
        return None if comparison is None else self.orders.get(comparison.key)

    def mark(self, comparison: Comparison) -> str:
        """What the page's component gives back with an order, to say of which answers it is."""
        return f"{comparison.key}:{self.revision}"

    def want(self, comparison: Comparison, base: Sequence[int], order: Sequence[int]) -> None:
        """The browser's act: a new order, which the list there shows already. One that turns no pair is none."""
        if tuple(base) == tuple(order):
            self.orders.pop(comparison.key, None)
            return
        before = self.of(comparison) or Wanted(comparison, (), ())
        place = {answer: at for at, answer in enumerate(order)}
        dropped = frozenset(wish for wish in before.dropped if place[wish.better] < place[wish.worse])
        self.orders[comparison.key] = replace(before, base=tuple(base), order=tuple(order), dropped=dropped)
        loose = [key for key, wanted in self.orders.items() if not wanted.kept]
        for key in loose[: max(0, len(loose) - MOST_ORDERS)]:
            del self.orders[key]

    def open(self, comparison: Comparison, text: str) -> None:
        """Take over the order that a link describes; one of other answers is left aside."""
        wanted = Wanted.from_link(comparison, text)
        if wanted is not None and wanted.asked:
            self.orders[comparison.key] = wanted
            self.revision += 1

    def take_back(self, key: str) -> None:
        """Nothing is wanted of these answers any more."""
        if self.orders.pop(key, None) is not None:
            self.revision += 1

    def keep(self, key: str, kept: bool = True) -> None:
        """Let an order count while another prompt is on the page, or no longer."""
        if key in self.orders:
            self.orders[key] = replace(self.orders[key], kept=kept)

    def set_whole(self, key: str, whole: bool) -> None:
        """Whether all other answers should stay in the order they stand in."""
        if key in self.orders:
            self.orders[key] = replace(self.orders[key], whole=whole)

    def drop(self, key: str, wish: Wish) -> None:
        """Give up one wish; an order of which none is left is taken back."""
        if key not in self.orders:
            return
        wanted = self.orders[key]
        wanted = replace(wanted, dropped=wanted.dropped | {wish})
        self.orders[key] = wanted
        self.revision += 1
        if not wanted.wishes:
            self.take_back(key)

    def standing(self, now: Comparison | None) -> list[Wanted]:
        """The orders that a proposal is about: those kept, and that of the answers on the page."""
        here = None if now is None else now.key
        return [wanted for key, wanted in self.orders.items() if wanted.kept or key == here]


def wishes() -> WishState:
    """The session's wanted orders."""
    return st.session_state.setdefault("wish_state", WishState())


def phrases(asked: Sequence[Wish], order: Sequence[int]) -> list[Phrase]:
    """Wishes as few phrases, in `order`.

    The answer that most wishes are about is the one that was moved; of equals the one that is wanted higher.
    """
    place = {answer: at for at, answer in enumerate(order)}
    found, left = [], list(asked)
    while left:
        counts = Counter(answer for wish in left for answer in (wish.better, wish.worse))
        mover = min(counts, key=lambda answer: (-counts[answer], place[answer]))
        before = sorted((w.worse for w in left if w.better == mover), key=place.__getitem__)
        behind = sorted((w.better for w in left if w.worse == mover), key=place.__getitem__)
        found.append(Phrase(mover, tuple(before), tuple(behind)))
        left = [w for w in left if mover not in (w.better, w.worse)]
    return sorted(found, key=lambda phrase: place[phrase.answer])


def _listed(names: Sequence[str]) -> str:
    if len(names) > MOST_NAMED:
        return f"{', '.join(names[:MOST_NAMED])} and {len(names) - MOST_NAMED} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
