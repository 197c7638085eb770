"""All names at once: exactly what stands now, and a version that changes whenever that does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from feature_db import FeatureFilter, Store, SuggestionRecord
from feature_db.features.names import Names
from feature_db.label.labels import Labels
from feature_db.roles import People


def entries(store: Store) -> set[tuple[int, str, str, str]]:
    table = Names(store).table()
    assert len(table) == len(table.features) == len(table.methods)
    origins = ["label"] * table.n_labels + ["suggestion"] * (len(table) - table.n_labels)
    return set(zip(table.features.tolist(), table.texts, table.methods, origins, strict=True))


def test_labels_that_stand_and_suggestions_are_there_and_nothing_else(store: Store) -> None:
    assert entries(store) == set()
    store.replace_suggestions(
        "words", [SuggestionRecord(1, "words", "lists"), SuggestionRecord(2, "words", "code")]
    )
    ann, bo = Labels(store, "ann"), Labels(store, "bo")
    ann.label(1, "bullet points")
    bo.label(1, "numbered steps")
    ann.label(1, "bullets")
    bo.draft(3, {"text": "not yet said"})
    suggested = {(1, "lists", "words", "suggestion"), (2, "code", "words", "suggestion")}
    steps = (1, "numbered steps", "bo", "label")
    assert entries(store) == {(1, "bullets", "ann", "label"), steps, *suggested}
    ann.undo()  # the edit: the first label is back
    assert entries(store) == {(1, "bullet points", "ann", "label"), steps, *suggested}
    ann.undo()
    bo.undo()
    assert entries(store) == suggested


def test_an_adjudicated_text_is_a_name(store: Store) -> None:
    Labels(store, "ann").label(1, "bullets")
    People(store).become_first_admin("chief")
    Labels(store, "chief").adjudicate(1, text="bulleted lists")
    assert (1, "bulleted lists", "chief", "label") in entries(store)


CHANGES: dict[str, Callable[[Store], object]] = {
    "a label": lambda store: Labels(store, "ann").label(4, "x"),
    "an edit": lambda store: Labels(store, "bo").label(5, "other"),
    "an undo": lambda store: Labels(store, "bo").undo(),
    "the same suggestions with one word changed": lambda store: store.replace_suggestions(
        "words", [SuggestionRecord(1, "words", "lists!")]
    ),
    "another method's": lambda store: store.replace_suggestions("m", [SuggestionRecord(1, "m", "lists")]),
    "none any more": lambda store: store.replace_suggestions("words", []),
    "one added": lambda store: store.add_suggestions([SuggestionRecord(9, "words", "lists")]),
    "a text changed by hand": lambda store: store.conn.execute("UPDATE suggestions SET text = 'steps'"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_of_names_changes_the_version(store: Store, path: Path, change: str) -> None:
    store.replace_suggestions("words", [SuggestionRecord(1, "words", "lists.")])
    Labels(store, "bo").label(5, "one")
    before = Names(store).table()
    assert Names(store).version() == before.version
    with Store.open(path) as other:  # as another session would
        CHANGES[change](other)
    assert Names(store).version() != before.version


def test_suggestions_replaced_by_equal_numbers_of_equal_length_do_not_pass_for_the_old(store: Store) -> None:
    seen = set()
    for text in ("abc", "xyz", "abc", "xyz"):
        store.replace_suggestions("words", [SuggestionRecord(1, "words", text)])
        seen.add(Names(store).version())
    assert len(seen) == 4


def test_what_changes_no_name_leaves_the_version(store: Store) -> None:
    Labels(store, "bo").label(5, "one")
    before = Names(store).version()
    store.save_session({}, "comparison")
    store.bookmark(5, "ann")
    store.add_suggestions([])
    assert Names(store).version() == before


def test_ids_of_a_filter_are_those_of_the_page(store: Store) -> None:
    for filters in (
        FeatureFilter(),
        FeatureFilter(max_density=0.4, weight_sign=-1),
        FeatureFilter(ids=[3, 1]),
    ):
        page = store.features_page("id", descending=False, filters=filters, limit=1000)
        assert Names(store).features(filters).tolist() == [row.id for row in page.rows]
