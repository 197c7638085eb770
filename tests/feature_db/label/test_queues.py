"""Leases: nobody gets an item twice, two people never hold one place, nothing typed is lost."""

from __future__ import annotations

import random
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_db import FeatureFilter, Store, StoreError
from feature_db.label.labels import Labels
from feature_db.label.queues import Queues
from feature_db.roles import People
from tests.processes import forks


class Clock:
    """Seconds that pass when told to."""

    def __init__(self, monkeypatch: Any):
        self.now = 1_000_000
        monkeypatch.setattr("feature_db.label.queues.microseconds", lambda: self.now * 1_000_000)

    def wait(self, seconds: int) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: Any) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def root(store: Store) -> Queues:
    People(store).set_role(None, "root", "admin")
    return Queues(store, "root")


def test_a_queue_holds_what_its_filter_lets_through_largest_first(store: Store, root: Queues):
    Labels(store, "bob").label(3, "done already")
    queue = root.make("unlabelled", FeatureFilter(labelled=False), sort="effect", limit=10)
    wanted = [
        r.id for r in store.features_page("effect", filters=FeatureFilter(labelled=False), limit=10).rows
    ]
    got = []
    ann = Queues(store, "ann")
    while (assignment := ann.claim(queue)) is not None:
        got.append(assignment.feature)
        ann.submit(assignment.id, "x")
    assert got == wanted and list(ann.finished(queue)) == wanted[::-1]
    assert root.queues()[0].made_from["filter"] == {"labelled": False}
    progress = ann.progress(queue)
    assert (progress.features, progress.wanted, progress.done, progress.own_done, progress.leased) == (
        10,
        10,
        10,
        10,
        0,
    )


def test_a_reload_gives_the_same_item_and_its_draft(store: Store, root: Queues, clock: Clock):
    queue = root.make("q")
    ann = Queues(store, "ann")
    first = ann.claim(queue)
    assert first is not None
    ann.labels.draft(first.feature, {"text": "half a th"})
    clock.wait(100)
    again = ann.claim(queue)
    assert again is not None and (again.id, again.feature) == (first.id, first.feature)
    assert again.draft == {"text": "half a th"} and again.expires > first.expires


def test_one_place_is_lent_to_one_person_until_the_lease_runs_out(store: Store, root: Queues, clock: Clock):
    queue = root.make("q", limit=1, lease_seconds=60)
    ann, bob = Queues(store, "ann"), Queues(store, "bob")
    lent = ann.claim(queue)
    assert lent is not None and bob.claim(queue) is None
    clock.wait(59)
    assert ann.renew(lent.id) == (clock.now + 60) * 1_000_000
    clock.wait(59)
    assert bob.claim(queue) is None
    ann.labels.draft(lent.feature, {"text": "typed"})
    clock.wait(1)
    taken = bob.claim(queue)
    assert taken is not None
    assert ann.claim(queue) is None
    with pytest.raises(StoreError, match="your draft is kept"):
        ann.renew(lent.id)
    bob.release(taken.id)
    back = ann.claim(queue)
    assert back is not None and back.draft == {"text": "typed"}, "an expired draft is offered back"


def test_a_label_that_comes_late_is_kept(store: Store, root: Queues, clock: Clock):
    queue = root.make("q", limit=1, lease_seconds=60)
    ann, bob = Queues(store, "ann"), Queues(store, "bob")
    lent = ann.claim(queue)
    clock.wait(61)
    taken = bob.claim(queue)
    assert lent is not None and taken is not None
    ann.submit(lent.id, "late")
    bob.submit(taken.id, "in time")
    assert {e.text for e in ann.labels.current(lent.feature)} == {"late", "in time"}
    assert root.progress(queue).done == 1, "more than the overlap is not more progress"


def test_skipped_and_finished_items_do_not_come_back_undone_ones_do(store: Store, root: Queues):
    queue = root.make("q", limit=2)
    ann, bob = Queues(store, "ann"), Queues(store, "bob")
    first = ann.claim(queue)
    assert first is not None
    ann.skip(first.id, "unclear")
    second = ann.claim(queue)
    assert second is not None and second.feature != first.feature
    ann.submit(second.id, "x")
    with pytest.raises(StoreError, match="done already"):
        ann.submit(second.id, "twice")
    assert ann.claim(queue) is None
    his = bob.claim(queue)
    assert his is not None and his.feature == first.feature, "a skipped item stays open for others"
    ann.labels.undo()
    again = ann.claim(queue)
    assert again is not None and again.feature == second.feature
    with pytest.raises(StoreError, match="not one of your"):
        bob.submit(again.id, "x")


def test_a_failed_submit_changes_neither_label_nor_assignment(store: Store, root: Queues):
    queue = root.make("q")
    ann = Queues(store, "ann")
    lent = ann.claim(queue)
    assert lent is not None
    with pytest.raises(StoreError):
        ann.submit(lent.id, "x", verdict=9)
    assert ann.labels.current(lent.feature) == []
    ann.submit(lent.id, "x", verdict=5)


def states(store: Store, feature: int, annotator: str) -> list[str]:
    return [
        row["state"]
        for row in store.rows(
            "SELECT state FROM assignments WHERE feature = ? AND annotator = ? ORDER BY queue",
            (feature, annotator),
        )
    ]


def test_who_skips_comes_back_and_labels_has_labelled(store: Store, root: Queues):
    queue = root.make("q", limit=2)
    ann = Queues(store, "ann")
    lent = ann.claim(queue)
    assert lent is not None
    ann.skip(lent.id, "unclear")
    ann.labels.label(lent.feature, "after all")
    progress = ann.progress(queue)
    assert (progress.done, progress.own_done, progress.own_skipped) == (1, 1, 0)
    bob = Queues(store, "bob").claim(queue)
    assert bob is not None and bob.feature != lent.feature, "the one label that was wanted is there"
    # What is taken back uncovers what was before it: the skip, then the open place.
    ann.labels.undo()
    assert states(store, lent.feature, "ann") == ["skipped"] and ann.progress(queue).done == 0
    ann.labels.undo()
    assert states(store, lent.feature, "ann") == ["released"]
    again = ann.claim(queue)
    assert again is not None and again.feature == lent.feature


def test_a_label_counts_in_every_queue_that_has_the_feature_and_not_in_others(store: Store, root: Queues):
    first = root.make("one", FeatureFilter(ids=[3, 4]), sort="id", overlap=2)
    second = root.make("two", FeatureFilter(ids=[3]), sort="id")
    third = root.make("three", FeatureFilter(ids=[4]), sort="id")
    Labels(store, "ann").label(3, "by its number")
    Labels(store, "ann").label(3, "an edit counts once")
    assert [root.progress(queue).done for queue in (first, second, third)] == [1, 1, 0]
    assert Queues(store, "bob").claim(second) is None
    Labels(store, "ann").undo()
    assert [root.progress(queue).done for queue in (first, second, third)] == [1, 1, 0]
    Labels(store, "ann").undo()
    assert [root.progress(queue).done for queue in (first, second, third)] == [0, 0, 0]


def test_one_feature_is_taken_from_the_queue_that_has_a_place(store: Store, root: Queues, clock: Clock):
    queue = root.make("q", FeatureFilter(ids=[3, 4]), sort="id", lease_seconds=120)
    ann, bob = Queues(store, "ann"), Queues(store, "bob")
    first = ann.claim(queue)
    assert first is not None and first.feature == 4
    clock.wait(1)
    taken = ann.take(3)
    assert taken is not None and (taken.queue, taken.feature) == (queue, 3)
    at_hand = ann.claim(queue)
    assert at_hand is not None and at_hand.feature == 3, "what was asked for comes before what was at hand"
    for feature in (3, 4):
        with pytest.raises(StoreError, match=r"somebody else is labelling .* 2 minutes"):
            bob.take(feature)
    ann.submit(taken.id, "x")
    assert bob.take(3) is None, "a queue that has its labels asks for no more"
    assert ann.take(3) is None and bob.take(5) is None
    clock.wait(121)
    his = bob.take(4)
    assert his is not None and his.expires == (clock.now + 120) * 1_000_000
    bob.skip(his.id, "unclear")
    again = bob.take(4)
    assert again is not None, "who skipped may ask for it again"
    with pytest.raises(StoreError, match="there is no feature"):
        bob.take(400)


def test_two_who_take_one_feature_at_once_get_one_place(store: Store, path: Path, root: Queues):
    root.make("q", FeatureFilter(ids=[3]), sort="id")
    got: list[str] = []
    start = threading.Barrier(6)

    def take(name: str) -> None:
        with Store.open(path) as opened:
            start.wait()
            try:
                assert Queues(opened, name).take(3) is not None
                got.append(name)
            except StoreError:
                pass

    threads = [threading.Thread(target=take, args=(f"t{i}",)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1


@pytest.mark.slow
@given(
    overlap=st.integers(1, 3),
    seed=st.integers(0, 10_000),
    steps=st.integers(5, 60),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20, deadline=None)
def test_leases_never_exceed_the_overlap_whatever_happens(store, path, overlap, seed, steps):
    rng = random.Random(seed)
    if not People(store).all():
        People(store).set_role(None, "root", "admin")
    queue = Queues(store, "root").make(
        f"q{rng.random()}{steps}{overlap}", limit=6, overlap=overlap, lease_seconds=10
    )
    now = [10**9]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("feature_db.label.queues.microseconds", lambda: now[0] * 1_000_000)
        given_out: dict[str, set[int]] = {}
        for _ in range(steps):
            name = rng.choice(["a", "b", "c", "d"]) + str(seed)
            person = Queues(store, name)
            now[0] += rng.choice([0, 1, 6, 11])
            assignment = person.claim(queue)
            if assignment is None:
                continue
            assert assignment.feature not in given_out.setdefault(name, set()), (
                "offered again after it was finished"
            )
            act = rng.choice(["submit", "skip", "release", "leave", "leave"])
            if act == "submit":
                person.submit(assignment.id, "x")
            elif act == "skip":
                person.skip(assignment.id, "unclear")
            elif act == "release":
                person.release(assignment.id)
            if act in ("submit", "skip"):
                given_out[name].add(assignment.feature)
            held = store.rows(
                "SELECT feature, count(*) AS n FROM assignments WHERE queue = ? AND (state = 'done' OR "
                "(state = 'leased' AND expires > ?)) GROUP BY feature",
                (queue, now[0] * 1_000_000),
            )
            assert all(row["n"] <= overlap for row in held)
        done = dict(
            store.rows(
                "SELECT feature, count(*) FROM assignments WHERE queue = ? AND state = 'done' "
                "GROUP BY feature",
                (queue,),
            )
        )
        counted = dict(
            store.rows("SELECT feature, done FROM queue_items WHERE queue = ? AND done > 0", (queue,))
        )
        assert counted == done
    Queues(store, "root").close(queue)
    # The next example of this test starts from unlabelled features.
    for name in "abcd":
        labels = Labels(store, name + str(seed))
        for event in [e for i in range(40) for e in labels.current(i) if e.annotator == name + str(seed)]:
            labels.undo(event.uid)


def work(path: str, queue: int, name: str) -> None:
    with Store.open(path) as store:
        person = Queues(store, name)
        while (assignment := person.claim(queue)) is not None:
            person.labels.draft(assignment.feature, {"text": name})
            person.submit(assignment.id, f"by {name}")


@pytest.mark.slow
def test_threads_and_processes_share_a_queue_without_a_double_or_a_loss(
    store: Store, path: Path, root: Queues
):
    queue = root.make("q", limit=40, overlap=2)
    context = forks()
    workers: list[Any] = [threading.Thread(target=work, args=(str(path), queue, f"t{i}")) for i in range(4)]
    workers += [context.Process(target=work, args=(str(path), queue, f"p{i}")) for i in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    labels = store.rows("SELECT feature, annotator FROM label_events WHERE kind = 'label'")
    assert len(labels) == len(set(map(tuple, labels))) == 80
    assert set(Counter(row["feature"] for row in labels).values()) == {2}
    assert root.progress(queue).done == 80


def die_holding(path: str, queue: int, done: Any) -> None:
    with Store.open(path) as store:
        person = Queues(store, "dies")
        assignment = person.claim(queue)
        assert assignment is not None
        with store.write():
            person.labels.label(assignment.feature, "never committed")
            done.set()
            threading.Event().wait()


@pytest.mark.slow
def test_a_process_killed_inside_a_write_leaves_the_store_whole_and_open_to_others(
    store: Store, path: Path, root: Queues
):
    queue = root.make("q", limit=3)
    context = forks()
    done = context.Event()
    process = context.Process(target=die_holding, args=(str(path), queue, done))
    process.start()
    assert done.wait(30)
    process.kill()
    process.join()
    ann = Queues(store, "ann")
    lent = ann.claim(queue)
    assert lent is not None
    ann.submit(lent.id, "alive")
    assert [row["text"] for row in store.rows("SELECT text FROM label_events")] == ["alive"]
    assert store.value("PRAGMA integrity_check") == "ok"


def test_what_cannot_be_a_queue_is_refused(store: Store, root: Queues):
    root.make("q")
    for name, fields, message in (
        ("q", {}, "already"),
        (" ", {}, "1 to 100"),
        ("a", {"overlap": 0}, "overlap"),
        ("a", {"lease_seconds": 1}, "lease"),
        ("a", {"filters": FeatureFilter(query="nothing has this")}, "no feature is left"),
        ("a", {"sort": "x"}, "cannot sort"),
    ):
        with pytest.raises(StoreError, match=message):
            root.make(name, **fields)
    with pytest.raises(StoreError, match="no queue 99"):
        root.claim(99)
