"""Two ways of working beside the form, both scored: which of two names fits, and which answer does not belong.

A trial asks one person about one feature and has one right answer:

    names         five of its strongest answers and two descriptions, its own and one of another feature: chance is 1/2
    odd one out   four of its strongest answers and one in which it is silent: chance is 1/5

What they show: a name that is told from another's says something of these answers; a feature whose silent answer is
found is one that people can see. Trials are added and never changed; each feature comes once to a person, and what is
asked follows from feature and person, so that a reload asks the same again. Texts kept for testing labels take no part.
"""

from __future__ import annotations

import json
import math
import random
import uuid
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from feature_db.errors import StoreError
from feature_db.features.evidence import StoredExample
from feature_db.label.blindness import titles_for
from feature_db.label.queue_order import NAMEABLE, features_in_order
from feature_db.roles import People
from feature_db.sqlite.connection import microseconds
from feature_db.store import Store

__all__ = ["KINDS", "Score", "Trial", "Trials"]

KINDS = {"names": 1 / 2, "odd one out": 1 / 5}
"""Kinds of trials, and how often guessing is right"""

ANSWERS = 5
STRONGEST = 8
"""Of which the answers shown are drawn"""
LOOKED_AT = 400
"""Features that are looked through for one to ask about"""


@dataclass(frozen=True)
class Trial:
    """A question, with its answer."""

    kind: str
    feature: int
    examples: Sequence[StoredExample]
    names: Sequence[tuple[int, str]]
    """Of the kind "names": feature and description of each to choose from; empty otherwise"""
    answer: int
    """Place of the right one, in `names` or in `examples`"""


@dataclass(frozen=True)
class Score:
    """Trials that were answered rightly."""

    kind: str
    right: int
    of: int

    @property
    def chance(self) -> float:
        """How often guessing is right."""
        return KINDS[self.kind]

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the share that is right [Wilson 1927]; None without a trial."""
        if not self.of:
            return None
        z, n, p = 1.959964, self.of, self.right / self.of
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return max(0.0, middle - half), min(1.0, middle + half)


class Trials:
    """Trials of one person."""

    def __init__(self, store: Store, annotator: str):
        self.store = store
        self.annotator = People(store).spelling(annotator)

    def next(self, kind: str) -> Trial | None:
        """The next question for this person, of features that can be named first; None when none is left.

        Raises PermissionRefused for readers.
        """
        self._check(kind)
        People(self.store).require(self.annotator, "label")
        had = {
            row[0]
            for row in self.store.rows(
                "SELECT feature FROM trials WHERE annotator = ? AND kind = ?", (self.annotator, kind)
            )
        }
        wide = NAMEABLE.__class__(
            dead=False, min_density=NAMEABLE.min_density, max_density=NAMEABLE.max_density
        )
        listed = features_in_order(self.store, "nameable", wide, LOOKED_AT + len(had))
        for feature in listed:
            if feature not in had and (trial := self._ask(kind, feature, listed)) is not None:
                return trial
        return None

    def keep(self, trial: Trial, said: int) -> bool:
        """Keep what this person said; returns whether it is right.

        Raises PermissionRefused, or StoreError for an answer that was not offered and for a feature they had already.
        """
        self._check(trial.kind)
        offered = len(trial.names or trial.examples)
        if type(said) is not int or not 0 <= said < offered:
            raise StoreError(f"choose one of the {offered}")
        asked = {
            "texts": [example.text.hash for example in trial.examples],
            "names": [{"feature": feature, "text": text} for feature, text in trial.names],
        }
        with self.store.write() as conn:
            annotator = People(self.store).require(self.annotator, "label")
            People(self.store).remember(annotator)
            key = (trial.feature, annotator, trial.kind)
            if self.store.value("SELECT 1 FROM trials WHERE feature = ? AND annotator = ? AND kind = ?", key):
                raise StoreError(
                    f"you were asked about feature {trial.feature} already; the next one is here"
                )
            conn.execute(
                "INSERT INTO trials (uid, feature, annotator, kind, asked, said, answer, time) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (uuid.uuid4().hex, *key, json.dumps(asked), said, trial.answer, microseconds()),
            )
        return said == trial.answer

    def own(self, kind: str) -> Score:
        """How this person did."""
        return self._score(kind, "annotator = ?", self.annotator)

    def of_feature(self, feature: int, kind: str) -> Score:
        """How everybody did on one feature."""
        return self._score(kind, "feature = ?", self.store.check_feature(feature))

    def everybody(self) -> list[tuple[str, Score]]:
        """Each person with their score of each kind they tried, by name."""
        rows = self.store.rows(
            "SELECT annotator, kind, sum(said = answer) AS right, count(*) AS asked FROM trials GROUP BY 1, 2 "
            "ORDER BY annotator, kind"
        )
        return [(row["annotator"], Score(row["kind"], row["right"], row["asked"])) for row in rows]

    def _score(self, kind: str, where: str, value: int | str) -> Score:
        self._check(kind)
        row = self.store.row(
            "SELECT coalesce(sum(said = answer), 0) AS right, count(*) AS asked FROM trials "
            f"WHERE {where} AND kind = ?",
            (value, kind),
        )
        assert row is not None
        return Score(kind, row["right"], row["asked"])

    def _check(self, kind: str) -> None:
        if kind not in KINDS:
            raise StoreError(f"trials are of {' or '.join(KINDS)}, not {kind!r}")

    def _ask(self, kind: str, feature: int, others: Sequence[int]) -> Trial | None:
        rng = random.Random(zlib.crc32(f"{kind}:{feature}:{self.annotator}".encode()))
        found = self.store.examples(feature)
        top = list({e.text.id: e for e in found if e.kind == "top"}.values())[:STRONGEST]
        if kind == "names":
            names = self._names(feature, others, rng)
            if len(top) < ANSWERS or names is None:
                return None
            rng.shuffle(names)
            answer = [i for i, _ in names].index(feature)
            return Trial(kind, feature, rng.sample(top, ANSWERS), names, answer)
        firing = {e.text.id for e in found if e.kind != "silent"}
        silent = [e for e in found if e.kind == "silent" and e.text.id not in firing]
        if len(top) < ANSWERS - 1 or not silent:
            return None
        shown = rng.sample(top, ANSWERS - 1)
        answer = rng.randrange(ANSWERS)
        shown.insert(answer, rng.choice(silent))
        return Trial(kind, feature, shown, (), answer)

    def _names(self, feature: int, others: Sequence[int], rng: random.Random) -> list[tuple[int, str]] | None:
        """Its name and that of another feature, in words that both do not share; as this person may read them."""
        decoys = rng.sample(list(others), min(40, len(others)))
        titles = titles_for(self.store, self.annotator, [feature, *decoys])
        # A name that is said to be like another's would give the number away, and tells nothing apart.
        named = {i: t.text for i, t in titles.items() if t.text and not t.example and "(like #" not in t.text}
        if feature not in named:
            return None
        parts = set(named[feature].split("; "))
        for decoy in decoys:
            if decoy != feature and decoy in named and not parts & set(named[decoy].split("; ")):
                return [(feature, named[feature]), (decoy, named[decoy])]
        return None
