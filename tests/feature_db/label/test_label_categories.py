"""A feature's category: settled by adjudication, else only what its labels agree on."""

from __future__ import annotations

import pytest

from feature_db import Store
from feature_db.label.label_categories import DISAGREED, label_categories
from feature_db.label.labels import Labels
from feature_db.roles import People


@pytest.fixture
def people(store: Store) -> dict[str, Labels]:
    People(store).set_role(None, "eve", "admin")
    return {name: Labels(store, name) for name in ("ann", "bob", "eve")}


def test_labels_agree_differ_or_say_nothing(store: Store, people: dict[str, Labels]) -> None:
    ann, bob = people["ann"], people["bob"]
    ann.label(1, "a", category="style")
    bob.label(1, "b", category="style")
    ann.label(2, "a", category="style")
    bob.label(2, "b", category="safety")
    ann.label(3, "a")
    bob.label(3, "b", category="content")
    ann.label(4, "a")
    every = {1: "style", 2: DISAGREED, 3: "content"}
    assert label_categories(store, range(10)) == every
    assert label_categories(store, [3, 1]) == {1: "style", 3: "content"}
    assert label_categories(store, []) == {}
    bob.label(2, "b", category="style")
    assert label_categories(store, [2]) == {2: "style"}
    bob.undo()
    assert label_categories(store, [2]) == {2: DISAGREED}


def test_an_adjudication_settles_it_until_it_is_undone(store: Store, people: dict[str, Labels]) -> None:
    people["ann"].label(2, "a", category="style")
    people["bob"].label(2, "b", category="safety")
    people["eve"].adjudicate(2, text="a or b", category="content")
    assert label_categories(store, [2]) == {2: "content"}
    people["eve"].undo()
    assert label_categories(store, [2]) == {2: DISAGREED}
