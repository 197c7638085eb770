"""Which names hold: settled ones, and those whose labeller found a pattern while nobody disagrees."""

from __future__ import annotations

import re

import pytest

from feature_db import Store, SuggestionRecord
from feature_db.features.standing import standings, well_named
from feature_db.label.labels import Labels
from feature_db.roles import People


@pytest.fixture
def people(store: Store) -> dict[str, Labels]:
    People(store).set_role(None, "eve", "admin")
    return {name: Labels(store, name) for name in ("ann", "bob", "eve")}


def test_a_name_holds_from_a_verdict_of_3_and_without_a_dispute(
    store: Store, people: dict[str, Labels]
) -> None:
    ann, bob = people["ann"], people["bob"]
    for feature, verdict in enumerate((None, 1, 2, 3, 4, 5)):
        ann.label(feature, "a", verdict=verdict)
    assert well_named(store, range(10)) == {3, 4, 5}
    assert well_named(store, [5, 1, 9]) == {5}
    assert well_named(store, []) == set()
    bob.label(3, "b", verdict=3)
    bob.label(4, "b", verdict=5)
    bob.label(5, "b")
    assert well_named(store, range(10)) == {3}, "the latest label of 5 says nothing, verdicts on 4 differ"
    bob.label(4, "b", verdict=4)
    assert well_named(store, range(10)) == {3, 4}
    ann.label(3, "a", verdict=3, category="style")
    bob.label(3, "b", verdict=3, category="safety")
    assert well_named(store, range(10)) == {4}, "categories differ"


def test_what_an_adjudicator_says_counts_alone(store: Store, people: dict[str, Labels]) -> None:
    ann, eve = people["ann"], people["eve"]
    for feature in (1, 2, 3):
        ann.label(feature, "a", verdict=5)
    eve.adjudicate(1, text="nothing", verdict=1)
    eve.adjudicate(2, text="a")
    eve.adjudicate(0, text="settled", verdict=4)
    assert well_named(store, range(10)) == {0, 2, 3}
    eve.undo()
    assert well_named(store, range(10)) == {2, 3}


def test_what_a_feature_is_called_says_what_it_rests_on(store: Store, people: dict[str, Labels]) -> None:
    ann, bob, eve = people["ann"], people["bob"], people["eve"]
    ann.label(0, "lists", verdict=4)
    for labels in (ann, bob):
        labels.label(1, "refusals", verdict=4)
    ann.label(2, "code", verdict=5)
    bob.label(2, "prose", verdict=1)
    ann.label(3, "noise", verdict=1)
    ann.label(4, "hasty")
    eve.adjudicate(5, text="settled", verdict=4)
    eve.adjudicate(6, text="nothing there", verdict=2)
    store.replace_suggestions("words", [SuggestionRecord(i, "words", "by a program") for i in (2, 3, 9)])
    assert {i: (s.name, s.note) for i, s in standings(store, range(10)).items()} == {
        0: ("lists", "1 label"),
        1: ("refusals", "2 labels"),
        2: ("", "disputed"),
        3: ("", "no pattern"),
        4: ("", "no verdict"),
        5: ("settled", "settled"),
        6: ("", "settled: no pattern"),
    }
    names = store.names(range(10))
    examples = {i: re.fullmatch(r"“.* …” \((.*)\)", names.pop(i)) for i in (4, 6, 7, 8)}
    assert {i: found and found[1] for i, found in examples.items()} == {
        4: "example, no verdict",
        6: "example, settled: no pattern",
        7: "example",
        8: "example",
    }
    assert names == {
        0: "lists (1 label)",
        1: "refusals",
        2: "by a program (suggested, disputed)",
        3: "by a program (suggested, no pattern)",
        5: "settled",
        9: "by a program (suggested)",
    }
