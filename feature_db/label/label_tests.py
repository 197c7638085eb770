"""Testing a label before it is accepted: which of ten unseen texts does it predict?

Every test is kept from the moment its texts are shown: until it is judged the same texts come again, and once it is,
they are never drawn for that person and feature any more. So a second test is of unseen texts as the first was, until
they run out. Every attempt counts: a label carries the score of the first test of its wording and, beside it, all
the others.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from feature_db.errors import StoreError
from feature_db.features.evidence import StoredExample
from feature_db.label.labels import CheckScore
from feature_db.records import clean_text
from feature_db.roles import People
from feature_db.sqlite.connection import microseconds
from feature_db.store import Store

__all__ = ["TEXTS", "Attempt", "LabelTest", "LabelTests", "TextsLeft"]

TEXTS = 10
"""Texts of a test: half of them fire."""


@dataclass(frozen=True)
class LabelTest:
    """Texts that were drawn for one person and are not judged yet."""

    id: int
    examples: Sequence[StoredExample]


@dataclass(frozen=True)
class Attempt:
    """A test that was judged."""

    text: str
    """The wording of the label"""
    texts: Sequence[str]
    """Hashes of the texts"""
    said: Sequence[bool]
    fires: Sequence[bool]

    @property
    def correct(self) -> int:
        """Texts judged rightly."""
        return sum(a == b for a, b in zip(self.said, self.fires, strict=True))


@dataclass(frozen=True)
class TextsLeft:
    """Texts kept for testing that one person has not seen."""

    firing: int
    silent: int
    seen: int
    """Texts they have seen in tests they judged"""

    @property
    def enough(self) -> bool:
        """Whether another test can be drawn."""
        return self.firing >= TEXTS // 2 and self.silent >= TEXTS - TEXTS // 2


class LabelTests:
    """Tests of one person's labels."""

    def __init__(self, store: Store, annotator: str):
        self.store = store
        self.annotator = People(store).spelling(annotator)

    def draw(self, feature: int) -> LabelTest:
        """Ten texts this person has not been shown; those they were shown and have not judged yet, if there are any.

        Raises PermissionRefused, or StoreError when too few are left.
        """
        feature = self.store.check_feature(feature)
        with self.store.write() as conn:
            annotator = People(self.store).require(self.annotator, "label")
            begun = self._begun(feature)
            if begun is not None:
                return begun
            seen = self._seen(feature)
            seed = zlib.crc32(f"{feature}:{annotator}:{len(seen)}".encode())
            drawn = self.store.check_examples(feature, seed, TEXTS, without=seen)
            row = conn.execute(
                "INSERT INTO label_tests (feature, annotator, texts, fires, drawn) VALUES (?, ?, ?, ?, ?) RETURNING id",
                (
                    feature,
                    annotator,
                    json.dumps([example.text.hash for example in drawn]),
                    json.dumps([example.kind != "silent" for example in drawn]),
                    microseconds(),
                ),
            ).fetchone()
            return LabelTest(row["id"], drawn)

    def judge(self, test: int, text: str, said: Sequence[bool]) -> Attempt:
        """Keep what this person said of a test's texts, going by `text`. It is judged once.

        Raises PermissionRefused, or StoreError when it is not theirs, was judged already, or has other texts.
        """
        with self.store.write() as conn:
            annotator = People(self.store).require(self.annotator, "label")
            row = self.store.row(
                "SELECT texts, fires FROM label_tests WHERE id = ? AND annotator = ? AND said IS NULL",
                (test, annotator),
            )
            if row is None:
                raise StoreError("this test is not yours, or it was judged already; begin another one")
            texts, fires = json.loads(row["texts"]), json.loads(row["fires"])
            if len(said) != len(texts):
                raise StoreError(f"the test has {len(texts)} texts; {len(said)} were judged")
            attempt = Attempt(clean_text(text).strip(), texts, [bool(x) for x in said], fires)
            conn.execute(
                "UPDATE label_tests SET text = ?, said = ?, judged = ? WHERE id = ?",
                (attempt.text, json.dumps(attempt.said), microseconds(), test),
            )
        return attempt

    def attempts(self, feature: int) -> list[Attempt]:
        """Tests this person judged, first to last."""
        rows = self.store.rows(
            "SELECT text, texts, said, fires FROM label_tests "
            "WHERE feature = ? AND annotator = ? AND said IS NOT NULL ORDER BY judged, id",
            (self.store.check_feature(feature), self.annotator),
        )
        return [
            Attempt(row["text"], *(json.loads(row[name]) for name in ("texts", "said", "fires")))
            for row in rows
        ]

    def score(self, feature: int, text: str) -> CheckScore | None:
        """What goes in beside a label `text`: the first test of this wording among all attempts; None without one."""
        attempts = self.attempts(feature)
        for place, attempt in enumerate(attempts):
            if _wording(attempt.text) == _wording(text):
                all_of_them = [(a.text, a.correct, len(a.texts)) for a in attempts]
                return CheckScore(attempt.texts, attempt.said, attempt.fires, place + 1, all_of_them)
        return None

    def left(self, feature: int) -> TextsLeft:
        """How many texts are left to test on."""
        seen = self._seen(self.store.check_feature(feature))
        rows = self.store.rows(
            "SELECT DISTINCT t.hash, e.kind = 'silent' AS silent FROM examples AS e JOIN texts AS t ON t.id = e.text "
            "WHERE e.feature = ? AND e.purpose = 'check'",
            (feature,),
        )
        unseen = [row["silent"] for row in rows if row["hash"] not in seen]
        return TextsLeft(len(unseen) - sum(unseen), sum(unseen), len(seen))

    def _begun(self, feature: int) -> LabelTest | None:
        row = self.store.row(
            "SELECT id, texts, fires FROM label_tests WHERE feature = ? AND annotator = ? AND said IS NULL "
            "ORDER BY id DESC LIMIT 1",
            (feature, self.annotator),
        )
        if row is None:
            return None
        found = {example.text.hash: example for example in self.store.examples(feature, purpose="check")}
        drawn = [found[text] for text in json.loads(row["texts"]) if text in found]
        # A later harvest may have taken texts away, or made one fire that was silent.
        if [example.kind != "silent" for example in drawn] != json.loads(row["fires"]):
            return None
        return LabelTest(row["id"], drawn)

    def _seen(self, feature: int) -> set[str]:
        """Hashes of texts of which a test has told whether they fire, tests that came in with labels included."""
        rows = self.store.rows(
            "SELECT j.value FROM label_tests AS t, json_each(t.texts) AS j "
            "WHERE t.feature = :feature AND t.annotator = :name AND t.said IS NOT NULL UNION "
            "SELECT j.value FROM label_events AS e, json_each(e.data, '$.check.texts') AS j "
            "WHERE e.feature = :feature AND e.annotator = :name AND e.kind IN ('label', 'edit')",
            {"feature": feature, "name": self.annotator},
        )
        return {str(row[0]) for row in rows}


def _wording(text: str) -> str:
    return " ".join(text.split())
