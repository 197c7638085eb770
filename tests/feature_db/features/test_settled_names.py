"""What an adjudicator settled on is what the feature is called: in lists, in searches and in files."""

from __future__ import annotations

from pathlib import Path

import pytest

from feature_db import FeatureFilter, FeatureRecord, Store, SuggestionRecord
from feature_db.exchange.event_files import export_labels
from feature_db.exchange.merge import import_events
from feature_db.features.names import Names
from feature_db.label.events import events
from feature_db.label.labels import Labels
from feature_db.roles import People
from tests.feature_db.conftest import MODEL


@pytest.fixture
def people(store: Store) -> dict[str, Labels]:
    People(store).set_role(None, "judge", "admin")
    return {name: Labels(store, name) for name in ("ann", "bo", "judge")}


def called(store: Store, feature: int) -> str | None:
    """The one name of a feature, which every way of asking for it agrees on."""
    title = store.titles([feature]).get(feature)
    name = None if title is None or title.suggested else title.text
    marked = title and (f"{title.text} ({title.mark})" if title.mark else title.text)
    assert store.names([feature]).get(feature) == marked
    (row,) = store.features_page(filters=FeatureFilter(ids=[feature])).rows
    assert name == (row.standing.name if row.standing else None)
    return name


def found(store: Store, word: str) -> set[int]:
    """Features that a word finds, by each of the searches."""
    hits = {hit.feature for hit in store.search(word)}
    assert {row.id for row in store.features_page(filters=FeatureFilter(query=word)).rows} == hits
    table = Names(store).table()
    named = {int(f) for f, text in zip(table.features, table.texts, strict=True) if word in text}
    assert named == hits
    return hits


def test_a_settled_feature_is_called_what_it_was_settled_on_until_that_is_undone(
    store: Store, people: dict[str, Labels]
) -> None:
    chosen = people["ann"].label(3, "apologies", verdict=4)
    people["bo"].label(3, "refusals", verdict=4)
    assert called(store, 3) == "refusals" and found(store, "refusals") == {3}
    people["judge"].adjudicate(3, label=chosen)
    assert called(store, 3) == "apologies"
    assert found(store, "apologies") == {3} and found(store, "refusals") == set()
    people["bo"].label(3, "refusals, politely", verdict=4)
    assert called(store, 3) == "apologies", "a later label does not unsettle it"
    assert [event.text for event in people["ann"].current(3)] == ["apologies", "refusals, politely"]
    people["judge"].undo()
    assert called(store, 3) == "refusals, politely"
    assert found(store, "refusals") == found(store, "apologies") == {3}


def test_a_feature_settled_in_the_adjudicators_words_needs_no_label(
    store: Store, people: dict[str, Labels]
) -> None:
    store.replace_suggestions("words", [SuggestionRecord(5, "words", "lists")])
    people["judge"].adjudicate(5, text="bulleted steps")
    assert called(store, 5) == "bulleted steps" and found(store, "bulleted") == {5}


def test_what_is_settled_is_disputed_no_more(store: Store, people: dict[str, Labels]) -> None:
    for feature in (3, 4):
        people["ann"].label(feature, "a", verdict=1)
        people["bo"].label(feature, "b", verdict=5)
    people["judge"].adjudicate(3, text="c")
    disputed = FeatureFilter(disputed=True)
    assert [row.id for row in store.features_page(filters=disputed).rows] == [4]
    people["judge"].undo()
    assert {row.id for row in store.features_page(filters=disputed).rows} == {3, 4}


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_file_of_labels_carries_what_features_are_called(
    store: Store, people: dict[str, Labels], tmp_path: Path, suffix: str
) -> None:
    chosen = people["ann"].label(3, "apologies", category="safety", verdict=4)
    people["bo"].label(3, "refusals", verdict=4)
    people["judge"].adjudicate(3, text="first thoughts")
    people["judge"].adjudicate(3, label=chosen, verdict=4, note="clearer")
    people["judge"].adjudicate(5, text="own words", category="style")
    edited = people["bo"].label(6, "old", verdict=4)
    people["judge"].adjudicate(6, label=edited)
    people["bo"].label(6, "new", verdict=4)  # the label that was chosen does not stand any more
    report = export_labels(store, tmp_path / f"l{suffix}")
    assert report.counts == {"labels": 3, "adjudications": 3}
    with Store.open(tmp_path / "other.db", create=MODEL) as other:
        other.import_harvest(FeatureRecord(i) for i in range(40))
        People(other).set_role(None, "root", "admin")
        import_events(other, tmp_path / f"l{suffix}", "root")
        assert [called(other, i) for i in (3, 5, 6)] == ["apologies", "own words", "old"]
        for view in ("current_labels", "current_adjudications"):
            here, there = (
                [(e.uid, e.text, e.category, e.verdict, e.note, e.annotator, e.time) for e in events(s, view)]
                for s in (store, other)
            )
            assert here == there
        assert import_events(other, tmp_path / f"l{suffix}", "root").new == {}
    assert import_events(store, tmp_path / f"l{suffix}", "judge").new == {}
