"""Descriptions without a person or an API: what sets the places where a feature fires most apart from the rest.

A place is the end of a sentence or of an answer, and has traits: the words of its sentence, what kind of sentence and
of answer it is (`text_traits`). The method has three steps, and only the last sees texts kept for checking.

1. Which traits stand out at a feature's strongest places: log-odds with an informative Dirichlet prior [Monroe,
   Colaresi and Quinn 2008, eq. 16-22, here for presence at a place: a Beta prior at the trait's overall rate]. With
   thousands of traits the largest of pure chance is large, so a trait must beat what random places of the same
   corpus reach: the threshold is taken from such groups, for each group size and kind of trait.
2. Of these, at most two that together hold at many of the places kept for labelling and at few others. They are a
   rule: it holds at a place that has either trait.
3. The rule is tried on the texts kept for checking. If it does not hold more often where the feature fires than at
   other places of the corpus, there is no suggestion: a wrong name is worse than none.

The result is a suggestion, never a label: nobody has looked at it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import betainc

from sarm_core.text.text_traits import KINDS, AnswerPlaces, kind_of, phrase

__all__ = [
    "CHANCE",
    "Background",
    "FeaturePlaces",
    "Part",
    "Rule",
    "Suggestion",
    "find_rule",
    "log_odds",
    "suggest",
]

PRIOR = 10.0
"""Pseudo-places the prior is worth"""
CHANCE = 0.05
"""Share of groups of random places in which some trait stands out; also the level of the check."""
RANDOM_GROUPS = 1000
LEAST_EXAMPLES = 3
LEAST_SHARE = 0.3
CANDIDATES = 20
MOST_PARTS = 2
COST = 2.0
"""What holding at all other places costs, where holding at all places it fires at is worth 1. Above 1, so that of two
rules the one that holds at fewer other places, and so tells more, is preferred."""
LEAST_GAIN, LEAST_NEW = 0.08, 2
"""A second trait must better the rule by so much, and hold at so many places the first does not."""
LEAST_HITS = 2
TITLE_LENGTH = 42

Places = Sequence[frozenset[str]]


@dataclass(frozen=True)
class FeaturePlaces:
    """The traits of the places of one feature's examples: where it peaks, and all places of silent texts."""

    strongest: Places
    """Peaks of the top texts kept for labelling"""
    firing: Places
    """Peaks of all firing texts kept for labelling, the strongest among them"""
    unseen_strongest: Places
    """Peaks of the top texts kept for checking"""
    unseen_firing: Places
    unseen_silent: Places
    texts: frozenset[int] = frozenset()
    """Numbers of the texts that are no "rest" for this feature: those it fires in, and those kept for checking"""


class Background:
    """The places of a sample of the corpus: the rest, against which a feature's places are compared.

    Memory: a number for each (place, trait), and each trait's text once.
    """

    def __init__(
        self, texts: Iterable[tuple[int, AnswerPlaces]], *, scored_only: bool = False, seed: int = 0
    ):
        self._seed = seed
        self._trait: dict[str, int] = {}
        rows: list[npt.NDArray[np.int32]] = []
        numbers: list[int] = []
        for number, answer in texts:
            for place in answer.looked_at(scored_only):
                traits = [self._trait.setdefault(trait, len(self._trait)) for trait in answer.traits(place)]
                rows.append(np.array(traits, dtype=np.int32))
                numbers.append(number)
        self.text = np.array(numbers, dtype=np.int64)
        """Number of each place's text, [places]"""
        self._kind = np.array([KINDS.index(kind_of(trait)) for trait in self._trait], dtype=np.int8)
        self._rows = rows
        joined = np.concatenate(rows) if rows else np.zeros(0, dtype=np.int32)
        order = np.argsort(joined, kind="stable")
        self._count = np.bincount(joined, minlength=len(self._trait))
        self._starts = np.concatenate([[0], np.cumsum(self._count)])
        self._places = np.repeat(np.arange(len(rows), dtype=np.int32), [len(row) for row in rows])[order]
        self._names: list[str] = list(self._trait)
        self._thresholds: dict[int, dict[str, float]] = {}

    def __len__(self) -> int:
        return len(self.text)

    def traits(self, place: int) -> frozenset[str]:
        """The traits of a place."""
        return frozenset(self._names[i] for i in self._rows[place])

    def having(self, trait: str) -> npt.NDArray[np.int32]:
        """The places that have a trait, ascending."""
        number = self._trait.get(trait)
        if number is None:
            return np.zeros(0, dtype=np.int32)
        return self._places[self._starts[number] : self._starts[number + 1]]

    def thresholds(self, n: int) -> dict[str, float]:
        """For each kind of trait the log-odds that its strongest trait exceeds in CHANCE / kinds of the groups of
        `n` random places, each of another text; so in at most CHANCE of them anything stands out."""
        if n not in self._thresholds:
            rng = np.random.default_rng([self._seed, n])
            largest = np.full((RANDOM_GROUPS, len(KINDS)), -np.inf)
            for group in largest:
                places = self._random_places(rng, n)
                traits, top = np.unique(np.concatenate([self._rows[i] for i in places]), return_counts=True)
                traits, top = traits[top >= least_count(n)], top[top >= least_count(n)]
                z = log_odds(top, n, self._count[traits] - top, len(self) - n)
                np.maximum.at(group, self._kind[traits], z)
            level = 1 - CHANCE / len(KINDS)
            self._thresholds[n] = dict(
                zip(KINDS, np.quantile(largest, level, axis=0, method="higher").tolist(), strict=True)
            )
        return self._thresholds[n]

    def _random_places(self, rng: np.random.Generator, n: int) -> npt.NDArray[np.int64]:
        places: dict[int, int] = {}
        for place in rng.permutation(len(self)).tolist():
            places.setdefault(int(self.text[place]), place)
            if len(places) == n:
                break
        return np.array(list(places.values()))


@dataclass(frozen=True)
class Suggestion:
    """A short description, and the counts it rests on."""

    text: str
    """At most TITLE_LENGTH characters, for charts and tables"""
    evidence: dict[str, Any]


@dataclass(frozen=True)
class Part:
    """A trait that stands out at a feature's strongest places."""

    trait: str
    top: int
    """At how many of the strongest places it holds"""
    rest_share: float
    """Share of the other places of the corpus at which it holds"""
    z: float


@dataclass(frozen=True)
class Rule:
    """One or more traits of which a place must have any, and where that holds: [places, of places]."""

    parts: tuple[Part, ...]
    strongest: list[int]
    elsewhere: float
    """Share of the other places of the corpus"""
    unseen: dict[str, list[int]]
    """"strongest" and "firing": peaks kept for checking; "silent": places of silent texts kept for checking"""

    def better_than_chance(self) -> bool:
        """Whether it holds, on unseen texts, where the feature fires more often than a rule for random places
        would, at level CHANCE (one-sided, binomial, as an incomplete beta function), and than where it is silent."""
        (hits, n), (false, n_silent) = self.unseen["firing"], self.unseen["silent"]
        if hits < LEAST_HITS or hits / n <= false / max(1, n_silent):
            return False
        return float(betainc(hits, n - hits + 1, self.elsewhere)) < CHANCE


@dataclass(frozen=True)
class _Candidate:
    trait: str
    top: int
    z: float
    fires: npt.NDArray[np.bool_]
    """At which of the firing places it holds"""
    rest: npt.NDArray[np.bool_]
    """At which places of the background"""


def least_count(n: int) -> float:
    """At how many of `n` places a trait must hold to be looked at."""
    return max(LEAST_EXAMPLES, LEAST_SHARE * n)


def log_odds(top: Any, n_top: int, rest: Any, n_rest: float) -> Any:
    """Standardised log-odds ratio of presence at `top` of n_top places against `rest` of n_rest; numbers or arrays.

    The prior is Beta(PRIOR p, PRIOR (1 - p)) on both sides, p being the share overall; at least Jeffreys'.
    """
    p = (top + rest + 0.5) / (n_top + n_rest + 1.0)
    # Below half a place the variance 1 / a would hide even a phrase that all top texts share and no other has.
    a, b = np.maximum(0.5, PRIOR * p), np.maximum(0.5, PRIOR * (1 - p))
    cells = (top + a, n_top - top + b, rest + a, np.maximum(0.0, n_rest - rest) + b)
    delta = np.log(cells[0] / cells[1]) - np.log(cells[2] / cells[3])
    return delta / np.sqrt(sum(1 / cell for cell in cells))


def suggest(places: FeaturePlaces, background: Background) -> Suggestion | None:
    """What the places where a feature fires have in common; None when nothing does that holds on unseen texts."""
    rule = find_rule(places, background)
    if rule is None or not rule.better_than_chance():
        return None
    phrases = [phrase(part.trait) for part in rule.parts]
    n = len(places.strongest)
    return Suggestion(
        _title(phrases),
        {
            "description": " or ".join(phrases),
            "parts": [
                {
                    "what": what,
                    "kind": kind_of(part.trait),
                    "top": part.top,
                    "of": n,
                    "rest_share": round(part.rest_share, 4),
                    "z": round(part.z, 2),
                }
                for what, part in zip(phrases, rule.parts, strict=True)
            ],
            "strongest": rule.strongest,
            "elsewhere": round(rule.elsewhere, 4),
            "unseen": rule.unseen,
        },
    )


def find_rule(places: FeaturePlaces, background: Background) -> Rule | None:
    """The traits that say best where a feature fires, judged by its places kept for labelling; None when nothing
    stands out. The unseen places have no part in the choice: how it does on them is only counted."""
    rest = ~np.isin(background.text, list(places.texts))
    if len(places.strongest) < LEAST_EXAMPLES or not rest.any():
        return None
    chosen = _best_rule(_standing_out(places, background, rest), rest)
    if not chosen:
        return None
    traits = [candidate.trait for candidate in chosen]
    held = np.logical_or.reduce([candidate.rest for candidate in chosen])
    return Rule(
        tuple(Part(c.trait, c.top, float(c.rest[rest].mean()), c.z) for c in chosen),
        _held(traits, places.strongest),
        # Never 0: that it held nowhere in a sample does not make it impossible.
        max(1, int(held[rest].sum())) / int(rest.sum()),
        {
            "strongest": _held(traits, places.unseen_strongest),
            "firing": _held(traits, places.unseen_firing),
            "silent": _held(traits, places.unseen_silent),
        },
    )


def _standing_out(
    places: FeaturePlaces, background: Background, rest: npt.NDArray[np.bool_]
) -> list[_Candidate]:
    """Traits of the strongest places that no random places would share so, most surprising first."""
    n, n_rest = len(places.strongest), int(rest.sum())
    thresholds = background.thresholds(n)
    found = []
    for trait, top in Counter(trait for place in places.strongest for trait in place).items():
        if top < least_count(n):
            continue
        having = background.having(trait)
        z = float(log_odds(top, n, int(rest[having].sum()), n_rest))
        if z > thresholds[kind_of(trait)]:
            found.append((-z, -len(trait), trait, top, having))
    candidates = []
    for minus_z, _, trait, top, having in sorted(found, key=lambda item: item[:3])[:CANDIDATES]:
        in_rest = np.zeros(len(rest), dtype=bool)
        in_rest[having] = True
        fires = np.array([trait in place for place in places.firing])
        candidates.append(_Candidate(trait, top, -minus_z, fires, in_rest))
    return candidates


def _best_rule(candidates: Sequence[_Candidate], rest: npt.NDArray[np.bool_]) -> list[_Candidate]:
    """The trait that tells most, and further ones as long as they add to it. Of equals, the earlier."""
    rule: list[_Candidate] = []
    best = 0.0
    fires, elsewhere = np.zeros(0, dtype=bool), np.zeros(len(rest), dtype=bool)
    while len(rule) < MOST_PARTS:
        worth = []
        for place, candidate in enumerate(candidates):
            held = candidate.fires if not rule else fires | candidate.fires
            if not rule or held.sum() - fires.sum() >= LEAST_NEW:
                gain = float(held.mean() - COST * (elsewhere | candidate.rest)[rest].mean())
                worth.append((gain, -place))
        if not worth or max(worth)[0] <= best + (LEAST_GAIN if rule else 0.0):
            break
        best, place = max(worth)
        chosen = candidates[-place]
        fires = fires | chosen.fires if rule else chosen.fires
        elsewhere = elsewhere | chosen.rest
        rule.append(chosen)
    return rule


def _held(traits: Sequence[str], places: Places) -> list[int]:
    """[places that have any of the traits, places]"""
    return [sum(any(trait in place for trait in traits) for place in places), len(places)]


def _title(phrases: Sequence[str]) -> str:
    """All phrases where there is room, else the first and a sign that there is more."""
    whole = " or ".join(phrases)
    if len(whole) <= TITLE_LENGTH:
        return whole
    more = " or …" if len(phrases) > 1 else ""
    first, room = phrases[0], TITLE_LENGTH - len(more)
    return (first if len(first) <= room else first[: room - 1] + "…") + more
