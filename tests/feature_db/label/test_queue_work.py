"""Queues that begin with what can be named, what they require, how they are worked off, and many names at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from feature_db import FeatureFilter, FeatureRecord, ModelRecord, Store, StoreError, SuggestionRecord
from feature_db.label.agreement import ratings
from feature_db.label.bulk import BulkNames
from feature_db.label.labels import Labels
from feature_db.label.queue_order import NAMEABLE, features_in_order
from feature_db.label.queue_work import persons_work, queue_items
from feature_db.label.queues import Queues
from feature_db.roles import People

HOLDS = {"auc": 0.7, "low": 0.6, "high": 0.8, "pairs": 100}
LOG_ODDS = {"unseen": {"firing": [9, 10], "silent": [1, 10]}}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "a.db", create=ModelRecord("f", "m", 12)) as made:
        made.import_harvest(
            [
                FeatureRecord(i, head_weight=1.0 + i / 100, density=d, mean=1.0, max=2.0)
                for i, d in enumerate((0.2, 0.3, 0.02, 0.02, 0.02, 0.0005, 0.02, 0.02, 0.02, 0.02, 0.0))
            ]
        )
        made.add_suggestions(
            [
                SuggestionRecord(0, "pairs", "dense", HOLDS),
                SuggestionRecord(2, "pairs", "holds", HOLDS),
                SuggestionRecord(3, "log-odds", "nearly", LOG_ODDS),
                SuggestionRecord(4, "pairs", "chance", {**HOLDS, "low": 0.49}),
                SuggestionRecord(6, "pairs", "same (like #2)", {**HOLDS, "alike": 2}),
                SuggestionRecord(7, "pairs", "surer", {**HOLDS, "low": 0.65}),
            ]
        )
        People(made).set_role(None, "chief", "admin")
        yield made


def test_a_queue_begins_with_what_can_be_named_and_leaves_dense_and_rare_features_out(store: Store) -> None:
    order = features_in_order(store, "nameable", NAMEABLE, 100)
    # Within a tier the larger weight first: 7, 6, 2 hold; 3 nearly; then those without an idea.
    assert order == [7, 6, 2, 3, 9, 8, 4]
    queue = Queues(store, "chief").make("begin", NAMEABLE, sort="nameable", limit=3)
    assert [item.feature for item in queue_items(store, queue, "ann")] == [7, 6, 2]


def test_what_a_queue_requires_is_asked_of_each_label_from_it(store: Store) -> None:
    with pytest.raises(StoreError, match="can require"):
        Queues(store, "chief").make("x", NAMEABLE, required=["text"])
    queue = Queues(store, "chief").make("q", NAMEABLE, required=["note", "verdict"])
    ann = Queues(store, "ann")
    assert ann.queue(queue).required == ("verdict", "note")
    place = ann.claim(queue)
    assert place is not None
    for fields, said in (
        ({}, "verdict and note"),
        ({"verdict": 4}, "note"),
        ({"verdict": 4, "note": ""}, "note"),
    ):
        with pytest.raises(StoreError, match=f"asks for more: {said}"):
            ann.submit(place.id, "a name", **fields)
    assert ann.submit(place.id, "a name", verdict=4, note="seen") and ann.progress(queue).own_done == 1
    other = Queues(store, "chief").make("free", FeatureFilter(ids=[1]))
    assert (free := ann.claim(other)) is not None and ann.submit(free.id, "no verdict needed")


def test_each_person_finds_pending_draft_skipped_and_done(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = Queues(store, "chief").make("q", FeatureFilter(ids=[2, 3, 4, 6, 7]), sort="id", overlap=1)
    ann = Queues(store, "ann")
    now = 10**15
    for module in ("labels", "queues", "drafts", "assignments"):
        monkeypatch.setattr(f"feature_db.label.{module}.microseconds", lambda: now)
    for act in ("done", "done", "skipped"):
        place = ann.claim(queue)
        assert place is not None
        if act == "done":
            ann.submit(place.id, f"name {place.feature}")
        else:
            ann.skip(place.id, "unclear")
        now += 30_000_000
    ann.labels.draft(3, {"text": "half", "verdict": None, "evidence": []})
    ann.labels.draft(2, {"text": "", "verdict": None, "evidence": []})
    states = {item.feature: (item.state, item.text) for item in queue_items(store, queue, "ANN")}
    kinds = {7: "done", 6: "done", 4: "skipped", 3: "draft", 2: "pending"}  # an emptied draft is none
    assert {feature: state for feature, (state, _) in states.items()} == kinds
    assert states[3][1] == "half" and states[7][1] == "name 7"
    assert {item.feature: item.state for item in queue_items(store, queue, "bo")}[7] == "filled"
    (work,) = [work for work in persons_work(store, queue) if work.name == "ann"]
    assert (work.done, work.skipped, work.drafts, work.left) == (2, 1, 1, 2)
    assert work.per_hour is None, "two steps are no pace"
    Labels(store, "ann").label(2, "one more")
    now += 3_600_000_000  # an hour away is no slow labelling
    Labels(store, "ann").label(3, "the last")
    (work,) = persons_work(store, queue)
    assert work.per_hour == pytest.approx(120) and work.left == 0 and work.last == now


def test_names_that_hold_are_accepted_together_marked_and_taken_back(store: Store) -> None:
    ann = BulkNames(store, "ann")
    assert [name.feature for name in ann.offered()] == [7, 0, 2], "no chance, and none that is like another"
    queue = Queues(store, "chief").make("q", FeatureFilter(ids=[2, 7]), overlap=1)
    batch = ann.accept([7, 2])
    assert [name.feature for name in ann.offered()] == [0]
    (event,) = Labels(store, "ann").current(7)
    assert (event.text, event.verdict) == ("surer", 3) and "70% [65%, 80%] of 100 pairs" in event.note
    assert event.data["bulk"] == batch and event.data["from_suggestion"]["method"] == "pairs"
    assert store.titles([7])[7].text == "surer" and not store.titles([7])[7].suggested
    assert Queues(store, "ann").progress(queue).done == 2
    Labels(store, "bo").label(7, "mine", verdict=5)
    assert ratings(store, "verdict") == {7: {"bo": 5}}, "repeating a program is no second opinion"
    with pytest.raises(StoreError, match="has a label by now"):
        ann.accept([0, 7])
    assert Labels(store, "ann").current(0) == []
    Labels(store, "ann").label(2, "better words", verdict=4)
    assert [(b, n) for b, n, _ in ann.batches()] == [(batch, 1)]
    assert ann.take_back(batch) == 1 and ann.batches() == []
    assert [e.text for e in Labels(store, "ann").current(2)] == ["better words"], (
        "what was edited since stays"
    )
    assert [name.feature for name in ann.offered()] == [0]


def test_who_only_looks_holds_a_feature_for_a_short_time_and_the_first_key_for_the_lease(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = Queues(store, "chief").make("q", FeatureFilter(ids=[2, 3]), lease_seconds=900)
    now = 10**15
    for module in ("labels", "queues", "drafts", "assignments"):
        monkeypatch.setattr(f"feature_db.label.{module}.microseconds", lambda: now)
    chief, ann = Queues(store, "chief"), Queues(store, "ann")
    first = chief.claim(queue, 180)
    assert first is not None and first.expires == now + 180_000_000
    chief.labels.draft(first.feature, {"text": "", "verdict": None})
    again = chief.claim(queue, 180)
    assert again is not None and again.expires == now + 180_000_000, "an empty form is no work"
    now += 181_000_000
    hers = ann.claim(queue, 180)
    assert hers is not None and hers.feature == first.feature, "it is free again"
    ann.labels.draft(hers.feature, {"text": "a"})
    again = ann.claim(queue, 180)
    assert again is not None and (again.id, again.expires) == (hers.id, now + 900_000_000)
    assert chief.claim(queue, 5_000).expires == now + 900_000_000, "never longer than the queue's lease"
