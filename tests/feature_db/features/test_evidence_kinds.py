"""What each feature's name rests on, from people down to nothing."""

from __future__ import annotations

from feature_db import Store, SuggestionRecord
from feature_db.features.evidence_kinds import EVIDENCE_KINDS, evidence_kinds
from feature_db.label.labels import Labels
from feature_db.records import LABEL_METHOD
from feature_db.roles import People


def test_the_strongest_kind_counts(store: Store) -> None:
    store.replace_suggestions("pairs", [])
    before = evidence_kinds(store)
    assert set(before.values()) <= {"example", "suggested"}
    People(store).set_role(None, "eve", "admin")
    ann, bob, eve = (Labels(store, name) for name in ("ann", "bob", "eve"))
    store.replace_suggestions(
        "pairs",
        [
            SuggestionRecord(i, "pairs", "longer", {"low": low, "pairs": 40})
            for i, low in ((0, 0.6), (1, 0.6), (2, 0.6), (3, 0.6), (4, 0.4), (5, 0.6), (7, 0.6))
        ],
    )
    store.replace_suggestions("log-odds", [SuggestionRecord(i, "log-odds", "x") for i in (4, 5, 6)])
    store.add_suggestions([SuggestionRecord(8, "x", "alike", {"shared_by": 3, "low": 0.9, "pairs": 2})])
    ann.label(1, "a", verdict=4)
    for labels in (ann, bob):
        labels.label(2, "b", verdict=4)
    eve.adjudicate(3, text="c", verdict=4)
    ann.label(7, "d", verdict=4)
    bob.label(7, "e", verdict=1)
    kinds = evidence_kinds(store)
    assert [kinds.get(i) for i in range(9)] == [
        *("pairs", "label", "labels", "settled", "suggested", "pairs", "suggested", "pairs"),
        before.get(8),
    ]
    assert set(kinds.values()) <= set(EVIDENCE_KINDS)


def test_hidden_labels_count_as_none(store: Store) -> None:
    ann = Labels(store, "ann")
    ann.label(1, "a", verdict=4)
    store.add_suggestions([SuggestionRecord(2, LABEL_METHOD, "theirs")])
    assert (evidence_kinds(store)[1], evidence_kinds(store)[2]) == ("label", "suggested")
    hidden = evidence_kinds(store, hidden=[1, 2])
    assert {hidden.get(1), hidden.get(2)} <= {"example", "suggested", None}
    assert hidden.get(1) != "label" and hidden.get(2) != "suggested"
