"""Who must not read which labels yet: against the rule written out in Python, and in the names lists show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_db import FeatureFilter, Store, SuggestionRecord
from feature_db.features.names import Names
from feature_db.label.blindness import hidden_from, rows_for, titles_for
from feature_db.label.labels import Labels
from feature_db.label.queues import Queues
from feature_db.records import LABEL_METHOD
from feature_db.roles import People


@pytest.fixture
def root(store: Store) -> Queues:
    People(store).set_role(None, "root", "admin")
    return Queues(store, "root")


def test_a_queue_that_waits_for_labels_hides_those_it_has(store: Store, root: Queues):
    Labels(store, "bob").label(3, "before the queue")
    ann = Labels(store, "ann")
    assert ann.hidden(3) is None, "nobody asks for another opinion"
    root.make("q", FeatureFilter(ids=[3, 4]), sort="id", overlap=2)
    assert ann.hidden(3) == "queue" and Labels(store, "").hidden(3) == "queue" and ann.hidden(5) is None
    assert root.labels.hidden(3) is None, "who runs the queues may look"
    ann.label(3, "mine")
    assert ann.hidden(3) is None
    ann.undo()
    assert ann.hidden(3) == "queue"
    for name in ("cy", "dee"):
        Labels(store, name).label(3, "x")
    assert ann.hidden(3) is None, "the queue has what it wanted"


def test_a_skip_does_not_lift_it_and_a_reader_sees_all(store: Store, root: Queues):
    Labels(store, "bob").label(3, "his")
    queue = root.make("q", FeatureFilter(ids=[3]), sort="id")
    ann = Queues(store, "ann")
    lent = ann.claim(queue)
    assert lent is not None and ann.labels.hidden(3) == "lease"
    ann.skip(lent.id, "unclear")
    assert ann.labels.hidden(3) == "queue"
    People(store).set_role("root", "ann", "reader")
    assert ann.labels.hidden(3) is None
    People(store).set_role("root", "*", "reader")
    assert Labels(store, "").hidden(3) is None


def test_an_adjudicator_is_blind_to_what_they_label_themselves(store: Store, root: Queues, monkeypatch: Any):
    Labels(store, "bob").label(3, "his")
    queue = root.make("q", FeatureFilter(ids=[3]), sort="id", lease_seconds=60)
    lent = root.claim(queue)
    assert lent is not None and root.labels.hidden(3) == "lease"
    monkeypatch.setattr("feature_db.label.blindness.microseconds", lambda: lent.expires + 1)
    assert root.labels.hidden(3) is None
    root.labels.draft(3, {"text": "beg"})
    assert root.labels.hidden(3) == "draft"
    root.labels.skip(3, "not after all")
    assert root.labels.hidden(3) is None


def test_lists_call_a_hidden_label_what_they_call_none(store: Store, root: Queues):
    store.replace_suggestions(
        "words", [SuggestionRecord(3, "words", "suggested"), SuggestionRecord(5, "words", "s5")]
    )
    for feature in (3, 4, 5):
        Labels(store, "bob").label(feature, f"his {feature}", verdict=4)
    root.make("q", FeatureFilter(ids=[3, 4]), sort="id")
    blind, seeing = (titles_for(store, name, [3, 4, 5, 6]) for name in ("ann", "bob"))
    assert {i: (t.text, t.mark) for i, t in blind.items() if not t.example} == {
        3: ("suggested", "suggested"),
        5: ("his 5", "1 label"),
    }
    assert seeing == store.titles([3, 4, 5, 6])


def test_a_label_of_another_store_is_hidden_where_labels_are(store: Store, root: Queues):
    store.add_suggestions(
        [
            SuggestionRecord(3, LABEL_METHOD, "said elsewhere"),
            SuggestionRecord(3, "words", "by a program", {"unseen_accuracy": 1}),
            *(SuggestionRecord(i, LABEL_METHOD, f"elsewhere {i}") for i in (4, 5)),
        ]
    )
    root.make("q", FeatureFilter(ids=[3, 4]), sort="id")
    rows = store.features_page("id", filters=FeatureFilter(ids=[3, 4, 5]), descending=False).rows
    blind, seeing = (rows_for(store, name, rows) for name in ("ann", "root"))
    assert [row.suggestion for row in blind] == ["by a program", None, "elsewhere 5"]
    assert seeing == rows and rows[0].suggestion == "said elsewhere"
    for name, shown in (("ann", blind), ("root", seeing)):
        called = titles_for(store, name, [3, 4, 5])
        titles = {i: title.text for i, title in called.items() if not title.example}
        assert {i: t.text for i, t in called.items() if t.example} == {
            row.id: row.example for row in shown if row.example
        }
        assert titles == {row.id: row.suggestion for row in shown if row.suggestion}
    table = Names(store).table()
    assert [table.texts[i] for i in np.flatnonzero(~table.opinions)] == ["by a program"]
    assert Names(store).with_words("elsewhere") == ({3, 4, 5}, set())
    assert Names(store).with_words("program") == (set(), {3})


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["label", "undo", "skip", "draft", "take"]),
            st.sampled_from(["ann", "bob", "judge"]),
            st.integers(0, 3),
        ),
        max_size=14,
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
def test_hidden_is_what_the_rule_says_after_any_acts(store: Store, acts: list[tuple[str, str, int]]):
    class Rollback(Exception):
        pass

    with pytest.raises(Rollback), store.write():
        People(store).set_role(None, "root", "admin")
        People(store).set_role("root", "judge", "adjudicator")
        Queues(store, "root").make("q", FeatureFilter(ids=[0, 1]), sort="id", overlap=2)
        lent: dict[tuple[str, int], int] = {}
        for act, who, feature in acts:
            labels, queues = Labels(store, who), Queues(store, who)
            try:
                if act == "take":
                    taken = queues.take(feature)
                    if taken is not None:
                        lent[who, feature] = taken.id
                elif act == "skip" and (who, feature) in lent:
                    queues.skip(lent.pop((who, feature)), "x")
                elif act == "undo":
                    labels.undo()
                else:
                    {"label": labels.label, "skip": labels.skip, "draft": labels.draft}[act](
                        feature, {"text": act} if act == "draft" else "x"
                    )
            except Exception as error:  # what the store refuses changes nothing
                assert type(error).__name__ == "StoreError"
            if act == "label":
                lent.pop((who, feature), None)
        for who in ("ann", "bob", "judge", "stranger"):
            labels = Labels(store, who)
            for feature in range(4):
                own = any(event.annotator == who for event in labels.current(feature))
                leased = store.value(
                    "SELECT count(*) FROM assignments WHERE annotator = ? AND feature = ? AND state = 'leased'",
                    (who, feature),
                )
                wanted = store.value(
                    "SELECT coalesce(sum(done < wanted), 0) FROM queue_items WHERE feature = ?", (feature,)
                )
                expected = None
                if not own:
                    if leased:
                        expected = "lease"
                    elif labels.last_draft(feature) is not None:
                        expected = "draft"
                    elif wanted and who != "judge":
                        expected = "queue"
                assert hidden_from(store, who, range(4)).get(feature) == expected
        raise Rollback
