"""Several queues over the same features, queues that are closed, and acts that pass a queue by."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_db import FeatureFilter, PermissionRefused, Store, StoreError
from feature_db.label.labels import Labels
from feature_db.label.queues import Queues
from feature_db.roles import People


@pytest.fixture
def root(store: Store) -> Queues:
    People(store).set_role(None, "root", "admin")
    People(store).set_role("root", "judge", "adjudicator")
    return Queues(store, "root")


def only(*features: int) -> FeatureFilter:
    return FeatureFilter(ids=list(features))


# -- closing ------------------------------------------------------------------------------------------------


def test_a_mistaken_queue_hides_everything_until_it_is_closed(store: Store, root: Queues):
    Labels(store, "bo").label(3, "his")
    wanted = root.make("three of them", only(3, 4), sort="id")
    mistaken = root.make("everything, a hundred times", overlap=100)
    ann, cy = Queues(store, "ann"), Queues(store, "cy")
    lent = ann.claim(mistaken)
    assert lent is not None and cy.labels.hidden(3) == "queue"
    root.close(wanted)
    root.close(mistaken)
    assert cy.labels.hidden(3) is None and ann.labels.hidden(lent.feature) is None
    assert cy.take(3) is None, "nobody is asked for it any more"
    with pytest.raises(StoreError, match="'everything, a hundred times' was closed"):
        cy.claim(mistaken)
    ann.submit(lent.id, "held when it was closed")
    assert root.progress(mistaken).done == 1
    root.reopen(wanted)
    assert cy.labels.hidden(3) == "queue" and cy.labels.hidden(4) == "queue"
    claimed = cy.claim(wanted)
    assert claimed is not None and claimed.queue == wanted
    assert [(queue.id, queue.closed is None) for queue in cy.queues()] == [(mistaken, False), (wanted, True)]


def test_a_lease_of_a_closed_queue_keeps_no_place(store: Store, root: Queues):
    first = root.make("first", only(3), sort="id")
    assert Queues(store, "ann").claim(first) is not None
    root.close(first)
    second = root.make("second", only(3), sort="id")
    assert Queues(store, "bo").claim(second) is not None


def test_who_made_a_queue_and_adjudicators_close_it_and_nobody_else(store: Store, root: Queues):
    People(store).set_role("root", "maker", "adjudicator")
    queue = Queues(store, "maker").make("q")
    People(store).set_role("root", "maker", "annotator")
    for stranger in ("ann", "", "*"):
        for act in (Queues(store, stranger).close, Queues(store, stranger).reopen):
            before = list(store.conn.iterdump())
            with pytest.raises((PermissionRefused, StoreError)):
                act(queue)
            assert list(store.conn.iterdump()) == before
    for who in ("maker", "judge", "root"):
        person = Queues(store, who)
        person.close(queue)
        with pytest.raises(StoreError, match="closed already"):
            person.close(queue)
        person.reopen(queue)
        with pytest.raises(StoreError, match="open already"):
            person.reopen(queue)


def test_the_name_of_a_closed_queue_is_said_to_be_taken_by_a_closed_one(store: Store, root: Queues):
    root.close(root.make("q"))
    with pytest.raises(StoreError, match="closed; open it again or choose another name"):
        root.make("q")


# -- one feature in two queues ----------------------------------------------------------------------------


def test_two_queues_do_not_lend_one_place_to_two_people(store: Store, root: Queues):
    first, second = root.make("a", only(10), sort="id"), root.make("b", only(10), sort="id")
    ann, bo = Queues(store, "ann"), Queues(store, "bo")
    lent = ann.claim(first)
    assert lent is not None
    assert bo.claim(second) is None
    with pytest.raises(StoreError, match="somebody else is labelling feature 10"):
        bo.take(10)
    his = ann.claim(second)
    assert his is not None and his.feature == 10, "to the one who holds it, it is lent by either"
    ann.submit(lent.id, "x")
    assert [(root.progress(q).done, root.progress(q).leased) for q in (first, second)] == [(1, 0), (1, 0)]
    assert bo.claim(first) is None and bo.claim(second) is None and bo.take(10) is None


def test_of_two_queues_with_a_place_the_one_at_hand_lends_it(store: Store, root: Queues):
    first, second = root.make("a", only(10), sort="id"), root.make("b", only(10), sort="id")
    for asked, lends in ((first, first), (None, second), (second + 1, second)):
        lent = Queues(store, "ann").take(10, first=asked)
        assert lent is not None and lent.queue == lends
        Queues(store, "ann").release(lent.id)


@pytest.mark.slow
@given(seed=st.integers(0, 10_000), overlaps=st.lists(st.integers(1, 2), min_size=2, max_size=3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20, deadline=None)
def test_no_feature_is_held_by_more_people_than_the_queue_that_wants_most_has_places(
    store: Store, seed: int, overlaps: list[int]
):
    class Rollback(Exception):
        pass

    rng = random.Random(seed)
    now = [10**9]
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Rollback), store.write():
        patch.setattr("feature_db.label.queues.microseconds", lambda: now[0] * 1_000_000)
        People(store).set_role(None, "root", "admin")
        queues = [
            Queues(store, "root").make(f"q{n}", only(1, 2, 3), overlap=overlap, lease_seconds=10)
            for n, overlap in enumerate(overlaps)
        ]
        for _ in range(40):
            person = Queues(store, rng.choice("abcd"))
            now[0] += rng.choice([0, 1, 6])
            lent = person.claim(rng.choice(queues))
            if lent is not None and rng.random() < 0.4:
                person.submit(lent.id, "x") if rng.random() < 0.7 else person.skip(lent.id, "unclear")
            held = store.rows(
                "SELECT feature, count(DISTINCT annotator) AS n FROM assignments WHERE state = 'done' "
                "OR (state = 'leased' AND expires > ?) GROUP BY feature",
                (now[0] * 1_000_000,),
            )
            assert all(row["n"] <= max(overlaps) for row in held)
        raise Rollback


# -- skipping by number --------------------------------------------------------------------------------------


def test_what_is_skipped_by_its_number_no_queue_offers_again(store: Store, root: Queues):
    queues = [root.make("a", only(3, 4), sort="id"), root.make("b", only(3), sort="id")]
    ann = Queues(store, "ann")
    ann.labels.skip(3, "two meanings")
    assert [root.store.value("SELECT count(*) FROM assignments WHERE state = 'skipped'")] == [2]
    assert ann.progress(queues[0]).own_skipped == 1
    offered = ann.claim(queues[0])
    assert offered is not None and offered.feature == 4
    assert ann.claim(queues[1]) is None
    bo = Queues(store, "bo").claim(queues[1])
    assert bo is not None and bo.feature == 3, "it stays open for others"
    Queues(store, "bo").release(bo.id)
    ann.labels.undo()
    again = ann.claim(queues[1])
    assert again is not None and again.feature == 3


# -- reasons and types ---------------------------------------------------------------------------------------

ACTS: dict[str, Callable[[Labels, Queues, str], Any]] = {
    "skip": lambda labels, queues, reason: labels.skip(5, reason),
    "skip of a lent one": lambda labels, queues, reason: queues.skip(queues.claim(1).id, reason),  # type: ignore[union-attr]
    "flag": lambda labels, queues, reason: labels.flag(5, reason),
    "vote against": lambda labels, queues, reason: labels.vote(labels.current(7)[0].uid, False, reason),
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("reason", ["", " \n\t", None, 5])
def test_an_act_that_needs_a_reason_is_refused_without_one(store: Store, root: Queues, act: str, reason: Any):
    root.make("q", only(3), sort="id")
    Labels(store, "bo").label(7, "his")
    n_events = store.value("SELECT count(*) FROM label_events")
    with pytest.raises(StoreError, match=r"say why|is a text"):
        ACTS[act](Labels(store, "ann"), Queues(store, "ann"), reason)
    assert store.value("SELECT count(*) FROM label_events") == n_events
    assert ACTS[act](Labels(store, "ann"), Queues(store, "ann"), "because")


def test_a_vote_for_a_label_needs_no_reason(store: Store, root: Queues):
    uid = Labels(store, "bo").label(7, "his")
    Labels(store, "ann").vote(uid, True)
    assert len(Labels(store, "ann").votes(uid)) == 1


WRONG: dict[str, Callable[[Labels, Queues], Any]] = {
    "a feature by name": lambda labels, queues: labels.label("3", "x"),  # type: ignore[arg-type]
    "no feature": lambda labels, queues: labels.current(None),  # type: ignore[arg-type]
    "half a feature": lambda labels, queues: labels.current(2.5),  # type: ignore[arg-type]
    "a feature that is no number": lambda labels, queues: labels.current(float("nan")),  # type: ignore[arg-type]
    "a feature of 5,000 digits": lambda labels, queues: labels.current(10**5_000),
    "a text that is none": lambda labels, queues: labels.label(3, 5),  # type: ignore[arg-type]
    "a verdict in words": lambda labels, queues: labels.label(3, "x", verdict="four"),  # type: ignore[arg-type]
    "a list for a verdict": lambda labels, queues: labels.label(3, "x", verdict=[4]),  # type: ignore[arg-type]
    "a confidence in words": lambda labels, queues: labels.label(3, "x", confidence="high"),  # type: ignore[arg-type]
    "a category that is none": lambda labels, queues: labels.label(3, "x", category=["a"]),  # type: ignore[arg-type]
    "a note that is none": lambda labels, queues: labels.label(3, "x", note=b"x"),  # type: ignore[arg-type]
    "a uid that is none": lambda labels, queues: labels.vote(7, True),  # type: ignore[arg-type]
    "an undo by number": lambda labels, queues: labels.undo(7),  # type: ignore[arg-type]
    "a person who is a number": lambda labels, queues: Labels(labels.store, 7).label(3, "x"),  # type: ignore[arg-type]
    "a queue by name": lambda labels, queues: queues.claim("q"),  # type: ignore[arg-type]
    "a queue beyond all": lambda labels, queues: queues.claim(10**30),
    "an overlap in words": lambda labels, queues: Queues(labels.store, "root").make("a", overlap="2"),  # type: ignore[arg-type]
    "half a lease": lambda labels, queues: Queues(labels.store, "root").make("a", lease_seconds=10.5),  # type: ignore[arg-type]
    "an assignment by name": lambda labels, queues: queues.submit("x", "x"),  # type: ignore[arg-type]
    "an assignment beyond all": lambda labels, queues: queues.renew(10**30),
}


@pytest.mark.slow
@pytest.mark.parametrize("call", WRONG)
def test_a_value_of_a_wrong_type_is_refused_in_one_line(store: Store, root: Queues, call: str):
    root.make("q")
    before = list(store.conn.iterdump())
    with pytest.raises(StoreError) as refused:
        WRONG[call](Labels(store, "ann"), Queues(store, "ann"))
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 200
    assert list(store.conn.iterdump()) == before
