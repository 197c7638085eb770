"""A label is tested on texts its author has not seen, every attempt counts, and the first one stands in front."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from feature_db import (
    ExampleRecord,
    FeatureRecord,
    ModelRecord,
    PermissionRefused,
    Store,
    StoreError,
    TextRecord,
)
from feature_db.label.label_tests import LabelTest, LabelTests
from feature_db.label.labels import CheckScore, Labels
from feature_db.roles import ROLES, People

FIRING, SILENT = 13, 20


@pytest.fixture
def store(tmp_path: Path):
    """Feature 0 has 13 firing and 20 silent texts kept for testing; feature 1 has none."""
    values = np.array([0.0, 1.0], dtype=np.float32)
    texts = [
        TextRecord(
            [{"role": "assistant", "content": f"text {i}"}], None, ["text", f" {i}"], "made up", "chat"
        )
        for i in range(FIRING + SILENT + 2)
    ]
    kinds = ["top"] * FIRING + ["silent"] * SILENT
    examples = [
        ExampleRecord(0, i, kind, i, "check", float(kind == "top"), 1 if kind == "top" else None, values)
        for i, kind in enumerate(kinds)
    ]
    examples.append(ExampleRecord(0, len(kinds), "top", 90, "label", 1.0, 1, values))
    features = [
        FeatureRecord(i, head_weight=1.0, firing_count=9, denominator=100, mean=1.0, max=1.0)
        for i in range(2)
    ]
    with Store.open(tmp_path / "store.db", create=ModelRecord("f" * 64, "tiny", 2)) as store:
        store.import_harvest(features=features, texts=texts, encodings=[], examples=examples)
        People(store).set_role(None, "root", "admin")
        yield store


def hashes(test: LabelTest) -> set[str]:
    return {example.text.hash for example in test.examples}


def test_no_text_comes_twice_and_when_they_run_out_it_says_so(store: Store):
    tests = LabelTests(store, "ann")
    seen: set[str] = set()
    for _ in range(2):
        assert tests.left(0).enough
        test = tests.draw(0)
        assert sorted(example.kind == "silent" for example in test.examples) == [False] * 5 + [True] * 5
        assert not hashes(test) & seen and len(hashes(test)) == 10
        tests.judge(test.id, "says sorry", [True] * 10)
        seen |= hashes(test)
    assert (tests.left(0).firing, tests.left(0).silent, tests.left(0).seen) == (FIRING - 10, SILENT - 10, 20)
    assert not tests.left(0).enough and not tests.left(1).enough
    with pytest.raises(StoreError, match="3 firing and 10 unseen silent"):
        tests.draw(0)
    # Somebody else has seen none of them.
    assert LabelTests(store, "bo").left(0).enough and LabelTests(store, "bo").draw(0)


def test_a_test_that_was_not_judged_comes_again_as_it_was(store: Store):
    first = LabelTests(store, "ann").draw(0)
    again = LabelTests(store, "ann").draw(0)
    assert again.id == first.id
    assert [e.id for e in again.examples] == [e.id for e in first.examples]


def test_texts_of_a_test_that_came_in_with_a_label_are_seen(store: Store):
    tests = LabelTests(store, "ann")
    told = [example.text.hash for example in store.check_examples(0, 1)]
    Labels(store, "ann").label(0, "a", check=CheckScore(told, [True] * 10, [True] * 10))
    assert not hashes(tests.draw(0)) & set(told)


def test_trying_again_until_it_fits_hides_no_attempt(store: Store):
    tests, labels = LabelTests(store, "ann"), Labels(store, "ann")
    scores = []
    for wording, flip in (("says sorry", True), ("says  sorry", False)):
        test = tests.draw(0)
        said = [(example.kind == "silent") == flip for example in test.examples]
        scores.append(tests.judge(test.id, wording, said).correct)
    assert scores == [0, 10]
    score = tests.score(0, "says sorry")
    assert score is not None and (score.correct, score.attempt) == (0, 1), (
        "the same words: the first attempt counts"
    )
    assert tests.score(0, "something else") is None
    labels.label(0, "says sorry", check=score)
    (label,) = labels.current(0)
    assert label.data["check"]["correct"] == 0
    assert [a["correct"] for a in label.data["check"]["attempts"]] == [0, 10]


def test_a_test_is_judged_once_by_the_person_it_was_drawn_for(store: Store):
    test = LabelTests(store, "ann").draw(0)
    with pytest.raises(StoreError, match="not yours"):
        LabelTests(store, "bo").judge(test.id, "a", [True] * 10)
    with pytest.raises(StoreError, match="10 texts"):
        LabelTests(store, "ann").judge(test.id, "a", [True] * 9)
    LabelTests(store, "ann").judge(test.id, "a", [True] * 10)
    with pytest.raises(StoreError, match="already"):
        LabelTests(store, "ann").judge(test.id, "b", [False] * 10)
    assert [attempt.text for attempt in LabelTests(store, "ann").attempts(0)] == ["a"]


@pytest.mark.parametrize("role", ROLES)
def test_who_may_not_label_may_not_test_either_also_past_the_page(store: Store, role: str):
    People(store).set_role("root", "who", role)
    test = LabelTests(store, "ann").draw(0)
    tests = LabelTests(store, "who")
    if role == "reader":
        before = list(store.conn.iterdump())
        for act in (lambda: tests.draw(0), lambda: tests.judge(test.id, "a", [True] * 10)):
            with pytest.raises(PermissionRefused, match="ask an admin"):
                act()
        assert list(store.conn.iterdump()) == before
    else:
        tests.judge(tests.draw(0).id, "a", [True] * 10)
