"""What is lent belongs to one person in one role: no call on it goes past a role taken away, or for somebody else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from feature_db import FeatureFilter, PermissionRefused, Store, StoreError
from feature_db.label.queues import Queues
from feature_db.roles import People

Act = Callable[[Queues, int, int], object]
ACTS: dict[str, Act] = {
    "claim": lambda queues, queue, lent: queues.claim(queue),
    "take": lambda queues, queue, lent: queues.take(4),
    "renew": lambda queues, queue, lent: queues.renew(lent),
    "submit": lambda queues, queue, lent: queues.submit(lent, "x"),
    "skip": lambda queues, queue, lent: queues.skip(lent, "no pattern"),
    "release": lambda queues, queue, lent: queues.release(lent),
    "draft": lambda queues, queue, lent: queues.labels.draft(3, {"text": "x"}),
    "vote": lambda queues, queue, lent: queues.labels.vote("f" * 32, True),
    "flag": lambda queues, queue, lent: queues.labels.flag(3, "look"),
    "undo": lambda queues, queue, lent: queues.labels.undo(),
}


@pytest.fixture
def lent(store: Store) -> tuple[int, int]:
    """A queue, and an assignment of ann's in it."""
    People(store).set_role(None, "root", "admin")
    queue = Queues(store, "root").make("first", FeatureFilter(ids=[3, 4, 5]), sort="id", overlap=2)
    assignment = Queues(store, "ann").claim(queue)
    assert assignment is not None
    return queue, assignment.id


@pytest.mark.slow
@pytest.mark.parametrize("name", ACTS)
def test_who_became_a_reader_meanwhile_changes_nothing(store: Store, lent: tuple[int, int], name: str):
    People(store).set_role("root", "ann", "reader")
    before = list(store.conn.iterdump())
    with pytest.raises(PermissionRefused, match="ask an admin"):
        ACTS[name](Queues(store, "ann"), *lent)
    assert list(store.conn.iterdump()) == before


@pytest.mark.parametrize("name", ["renew", "submit", "skip", "release"])
def test_what_is_lent_to_one_is_nobody_elses_not_even_an_admins(
    store: Store, lent: tuple[int, int], name: str
):
    before = list(store.conn.iterdump())
    for who in ("bo", "root"):
        with pytest.raises(StoreError):
            ACTS[name](Queues(store, who), *lent)
    assert list(store.conn.iterdump()) == before
