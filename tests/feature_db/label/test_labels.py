"""Labels are events that are only ever added; what is current follows from them; who may do what is checked here."""

from __future__ import annotations

import itertools
import shutil
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from feature_db import FeatureFilter, PermissionRefused, Store, StoreError
from feature_db.exchange.event_files import export_labels
from feature_db.exchange.merge import import_events, merge_store
from feature_db.label.labels import CheckScore, Labels, categories, set_categories
from feature_db.label.queues import Queues
from feature_db.label.ratings import ratings, standing_ratings
from feature_db.label.same_people import merge_people
from feature_db.roles import ACTIONS, ROLES, People
from tests.processes import forks


@pytest.fixture
def ann(store: Store) -> Labels:
    People(store).set_role(None, "root", "admin")
    People(store).set_role("root", "judge", "adjudicator")
    return Labels(store, "ann")


def texts(store: Store, feature: int) -> list[str | None]:
    return [event.text for event in Labels(store, "x").current(feature)]


def test_a_second_label_edits_the_first_and_undo_brings_it_back(store: Store, ann: Labels):
    ann.label(3, "refusals", category="safety", verdict=4, confidence=0.5, evidence=["abc"])
    ann.label(3, "polite refusals")
    assert texts(store, 3) == ["polite refusals"]
    ann.undo()
    assert texts(store, 3) == ["refusals"]
    ann.undo()
    assert texts(store, 3) == []
    with pytest.raises(StoreError, match="nothing of yours"):
        ann.undo()
    assert [event.kind for event in ann.history(3)] == ["label", "edit", "undo", "undo"]
    first = ann.history(3)[0]
    assert (first.category, first.verdict, first.confidence, first.data) == (
        "safety",
        4,
        0.5,
        {"evidence": ["abc"]},
    )


def test_the_next_label_replaces_all_that_a_merge_left_its_author(
    store: Store, ann: Labels, template: Path, tmp_path: Path
):
    queue = Queues(store, "root").make("q", FeatureFilter(ids=[3]), sort="id", overlap=2)
    Labels(store, "bo").label(3, "his", verdict=2)
    ann.label(3, "common", verdict=1)
    shutil.copy(template, tmp_path / "other.db")
    with Store.open(tmp_path / "other.db") as other:
        People(other).set_role(None, "root", "admin")
        merge_store(other, store.path, "root")
        ann.label(3, "edited here", verdict=2)
        for words in ("edited there", "edited there again"):
            Labels(other, "ann").label(3, words, verdict=3)
        merge_store(store, other.path, "root")
        assert texts(store, 3) == ["his", "edited here", "edited there again"]
        ann.label(3, "one again", verdict=2)
        assert texts(store, 3) == ["his", "one again"]
        assert store.feature(3).n_labels == 2 and Queues(store, "root").progress(queue).done == 2
        assert store.features_page(filters=FeatureFilter(query="edited")).total == 0
        assert standing_ratings(store, "verdict")[3] == {"ann": 2, "bo": 2}
        assert ratings(store, "verdict")[3] == {"ann": 1, "bo": 2}
        merge_store(other, store.path, "root")
        assert texts(other, 3) == texts(store, 3)
    for words in ("edited there again", "edited there", "common"):
        ann.undo()
        assert texts(store, 3) == ["his", words]
        assert store.feature(3).n_labels == 2 and Queues(store, "root").progress(queue).done == 2
    ann.undo()
    assert texts(store, 3) == ["his"] and Queues(store, "root").progress(queue).done == 1


def test_what_a_replaced_edit_had_replaced_stands_no_more_either(
    store: Store, ann: Labels, template: Path, tmp_path: Path
):
    for words in ("first here", "second here"):
        ann.label(3, words)
    shutil.copy(template, tmp_path / "other.db")
    with Store.open(tmp_path / "other.db") as other:
        Labels(other, "ann").label(3, "there")
        merge_store(store, other.path, "root")
    assert texts(store, 3) == ["second here", "there"]
    ann.label(3, "one again")
    assert texts(store, 3) == ["one again"]
    ann.undo()
    assert texts(store, 3) == ["there"]


def test_events_can_neither_be_changed_nor_deleted(store: Store, ann: Labels):
    ann.label(3, "refusals")
    for sql in (
        "UPDATE label_events SET text = 'x'",
        "DELETE FROM label_events",
        "REPLACE INTO label_events SELECT * FROM label_events",
    ):
        with pytest.raises(sqlite3.IntegrityError), store.write() as conn:
            conn.execute(sql)
    assert texts(store, 3) == ["refusals"]


def test_the_table_and_the_search_follow_the_labels(store: Store, ann: Labels):
    ann.label(3, "refuses dangerous requests")
    Labels(store, "bob").label(3, "polite")
    assert store.feature(3).n_labels == 2
    assert [r.id for r in store.features_page("n_labels", limit=1).rows] == [3]
    assert {hit.method for hit in store.search("dangerous")} == {"ann"}
    ann.label(3, "greetings")
    assert store.search("dangerous") == [] and store.search("greeting")[0].feature == 3
    assert store.features_page(filters=FeatureFilter(labelled=True, query="greetings")).total == 1
    ann.undo()
    ann.undo()
    assert store.feature(3).n_labels == 1 and store.search("dangerous") == []
    assert store.features_page().rows[0].labels in ((), ("polite",))


def test_others_labels_are_hidden_until_ones_own_is_in(store: Store, ann: Labels):
    Labels(store, "bob").label(3, "his")
    assert ann.visible(3) == []
    ann.label(3, "mine")
    assert [event.text for event in ann.visible(3)] == ["his", "mine"]
    ann.undo()
    assert ann.visible(3) == []


def test_votes_count_once_a_person_and_fall_with_the_label_they_are_about(store: Store, ann: Labels):
    bob = Labels(store, "bob")
    label = ann.label(3, "refusals")
    bob.vote(label, True)
    bob.vote(label, False, "too narrow")
    assert [(e.annotator, e.verdict, e.note) for e in ann.votes(label)] == [("bob", -1, "too narrow")]
    bob.undo()
    assert [(e.annotator, e.verdict) for e in ann.votes(label)] == [("bob", 1)]
    assert texts(store, 3) == ["refusals"], "votes never hide a label"
    with pytest.raises(StoreError, match="own label"):
        ann.vote(label, True)
    ann.label(3, "edited")
    with pytest.raises(StoreError, match="no longer stands"):
        bob.vote(label, True)


def test_an_adjudication_settles_a_feature_and_overwrites_nothing(store: Store, ann: Labels):
    mine, his = ann.label(3, "a", verdict=2), Labels(store, "bob").label(3, "b", verdict=5)
    judge = Labels(store, "judge")
    judge.adjudicate(3, label=his, note="clearer")
    settled = ann.adjudication(3)
    assert settled is not None and (settled.text, settled.verdict, settled.about) == ("b", 5, his)
    judge.adjudicate(3, text="both", category="content")
    settled = ann.adjudication(3)
    assert settled is not None and settled.text == "both"
    assert texts(store, 3) == ["a", "b"]
    assert {hit.text for hit in store.search("both")} == {"both"}
    judge.undo()
    settled = ann.adjudication(3)
    assert settled is not None and settled.about == his
    for bad in ({}, {"label": mine, "text": "x"}):
        with pytest.raises(StoreError, match="not both"):
            judge.adjudicate(3, **bad)
    with pytest.raises(StoreError, match="another feature"):
        judge.adjudicate(4, label=mine)


def test_only_what_stands_and_is_ones_own_can_be_undone(store: Store, ann: Labels):
    first = ann.label(3, "a")
    edit = ann.label(3, "b")
    with pytest.raises(StoreError, match="later edit replaced it"):
        ann.undo(first)
    with pytest.raises(StoreError, match="your own"):
        Labels(store, "bob").undo(edit)
    ann.undo(edit)
    with pytest.raises(StoreError, match="undone already"):
        ann.undo(edit)
    undo = ann.history(3)[-1].uid
    with pytest.raises(StoreError, match="do the thing again"):
        ann.undo(undo)


def test_a_draft_is_kept_until_something_is_submitted_and_shown_to_nobody_else(store: Store, ann: Labels):
    ann.draft(3, {"text": "ref"})
    ann.draft(3, {"text": "refus\ud800", "verdict": 3})
    assert ann.last_draft(3) == {"text": "refus\ufffd", "verdict": 3}
    bob = Labels(store, "bob")
    assert bob.last_draft(3) is None and bob.history(3) == ann.history(3) == []
    ann.label(3, "refusals")
    assert ann.last_draft(3) is None
    ann.draft(3, {"text": "again"})
    assert ann.last_draft(3) == {"text": "again"}


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_where_a_label_began_is_kept_and_comes_in_again_elsewhere(
    store: Store, ann: Labels, tmp_path: Path, path: Path, ending: str
):
    other = tmp_path / "other.db"
    shutil.copy(path, other)
    began = {"method": "log-odds", "text": "says  sorry"}
    ann.label(3, "says sorry", from_suggestion=began)
    Labels(store, "bo").label(3, "says sorry twice", from_suggestion=began)
    Labels(store, "cy").label(3, "says sorry")
    export_labels(store, tmp_path / f"labels.{ending}")
    with Store.open(other) as elsewhere:
        People(elsewhere).set_role(None, "chief", "admin")
        import_events(elsewhere, tmp_path / f"labels.{ending}", "chief")
        found = {e.annotator: e.data.get("from_suggestion") for e in Labels(elsewhere, "cy").current(3)}
    assert found == {"ann": began | {"changed": False}, "bo": began | {"changed": True}, "cy": None}


def test_the_score_of_a_test_stays_beside_the_label(ann: Labels):
    ann.label(3, "a", check=CheckScore(["t1", "t2", "t3"], [True, False, True], [True, True, True]))
    assert ann.current(3)[0].data["check"]["correct"] == 2


@pytest.mark.parametrize(
    "fields",
    [
        {"text": " \n"},
        {"text": "x" * 2001},
        {"text": "a", "verdict": 0},
        {"text": "a", "verdict": True},
        {"text": "a", "confidence": float("nan")},
        {"text": "a", "category": "none such"},
        {"text": "a", "note": "x" * 10_001},
        {"text": "a", "from_suggestion": "log-odds"},
        {"text": "a", "feature": 40},
    ],
)
def test_what_does_not_hold_adds_no_event(store: Store, ann: Labels, fields: dict[str, Any]):
    with pytest.raises(StoreError):
        ann.label(**{"feature": 3, **fields})
    assert store.value("SELECT count(*) FROM label_events") == 0


def test_categories_can_be_changed_and_old_ones_stay_on_their_labels(store: Store, ann: Labels):
    ann.label(3, "a", category="safety")
    set_categories(store, "root", ["tone", "safety net", "tone"])
    assert categories(store) == ["tone", "safety net"]
    assert ann.current(3)[0].category == "safety"
    ann.label(3, "b", category="safety")
    with pytest.raises(StoreError, match="no category"):
        ann.label(4, "b", category="safety")


def test_a_clock_set_back_keeps_the_order_of_events(store: Store, ann: Labels, monkeypatch: Any):
    times = itertools.count(1_000_000, -10)
    ann.label(3, "a")
    for module in ("label.labels", "label.drafts"):
        monkeypatch.setattr(f"feature_db.{module}.microseconds", lambda: next(times))
    ann.draft(3, {"text": "b"})
    ann.label(3, "b")
    history = ann.history(3)
    assert [event.kind for event in history] == ["label", "edit"]
    assert [e.time for e in history] == sorted({e.time for e in history})
    assert ann.last_draft(3) is None, "the edit ended it"
    ann.draft(3, {"text": "c"})
    assert ann.last_draft(3) == {"text": "c"}


# -- roles -------------------------------------------------------------------------------------------------


def every_act(store: Store, who: str, label: str, path: Any) -> dict[str, Any]:
    labels, queues = Labels(store, who), Queues(store, who)
    return {
        "label": lambda: labels.label(7, "x"),
        "vote": lambda: labels.vote(label, True),
        "skip": lambda: labels.skip(7, "x"),
        "flag": lambda: labels.flag(7, "x"),
        "undo": lambda: (labels.skip(8, "x"), labels.undo()),
        "keep": lambda: People(store).check_may_keep(who),
        "draft": lambda: labels.draft(7, {"text": "x"}),
        "claim": lambda: queues.claim(1),
        "adjudicate": lambda: labels.adjudicate(7, text="x"),
        "make a queue": lambda: queues.make(f"of {who}"),
        "close a queue": lambda: (queues.close(1), queues.reopen(1)),
        "give roles": lambda: People(store).set_role(who, "somebody", "reader"),
        "edit categories": lambda: set_categories(store, who, ["x"]),
        "import events": lambda: import_events(store, path, who),
        "merge stores": lambda: merge_store(store, path.with_name("other.db"), who),
        "merge people": lambda: merge_people(store, who),
    }


@pytest.mark.slow
@pytest.mark.parametrize("role", ROLES)
def test_each_role_may_do_what_it_may_and_nothing_more_also_past_the_page(
    store: Store, tmp_path: Any, role: str
):
    from feature_db.exchange.event_files import export_events

    People(store).set_role(None, "root", "admin")
    People(store).set_role("root", "who", role)
    Queues(store, "root").make("first")
    label = Labels(store, "bob").label(5, "his")
    export_events(store, tmp_path / "events.jsonl")
    Store.open(tmp_path / "other.db", create=store.model).close()
    acts = every_act(store, "who", label, tmp_path / "events.jsonl")
    assert acts.keys() == ACTIONS.keys()
    for action, act in acts.items():
        if ROLES.index(role) >= ROLES.index(ACTIONS[action]):
            act()
        else:
            before = list(store.conn.iterdump())
            with pytest.raises(PermissionRefused, match="ask an admin"):
                act()
            assert list(store.conn.iterdump()) == before, action


def test_a_role_taken_away_counts_at_once_and_the_last_admin_stays(store: Store, ann: Labels):
    people = People(store)
    ann.label(3, "a")
    people.set_role("root", "ann", "reader")
    with pytest.raises(PermissionRefused):
        ann.label(3, "b")
    people.set_role("root", "*", "reader")
    with pytest.raises(PermissionRefused):
        Labels(store, "stranger").label(3, "b")
    assert people.role("judge") == "adjudicator"
    with pytest.raises(StoreError, match="last admin"):
        people.set_role("root", "root", "annotator")
    with pytest.raises(StoreError, match="not more"):
        people.set_role("root", "*", "admin")
    with pytest.raises(PermissionRefused, match="only an admin"):
        people.set_role(None, "ann", "admin")
    for name in ("", "  ", "x" * 101, "a\nb", "*"):
        with pytest.raises(StoreError):
            Labels(store, name).label(3, "b")


def become_admin(path: str, name: str, start: Any, done: Any) -> None:
    with Store.open(path) as store:
        start.wait()
        try:
            People(store).become_first_admin(name)
            done.put(name)
        except PermissionRefused as error:
            done.put(str(error))


@pytest.mark.slow
def test_of_many_who_become_the_first_admin_at_once_one_does(store: Store):
    context = forks()
    done, start = context.Queue(), context.Barrier(4)
    people = [
        context.Process(target=become_admin, args=(str(store.path), f"p{i}", start, done)) for i in range(2)
    ]
    people += [
        threading.Thread(target=become_admin, args=(str(store.path), f"t{i}", start, done)) for i in range(2)
    ]
    for person in people:
        person.start()
    said = [done.get(timeout=60) for _ in people]
    for person in people:
        person.join()
    (winner,) = [line for line in said if len(line) == 2]
    assert People(store).all() == {winner: "admin"}
    assert all("has an admin already" in line for line in said if line != winner)


def test_no_first_admin_without_a_persons_name(store: Store):
    for name in ("", "  ", "*", "a\nb"):
        with pytest.raises(StoreError):
            People(store).become_first_admin(name)
    assert People(store).all() == {}


# -- any order of acts ---------------------------------------------------------------------------------------


class LabelMachine(RuleBasedStateMachine):
    """Two people label, edit and undo one feature in any order; a list of stacks is the oracle."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        from feature_db import FeatureRecord
        from tests.feature_db.conftest import MODEL

        self.folder = tempfile.TemporaryDirectory()
        self.store = Store.open(f"{self.folder.name}/s.db", create=MODEL)
        self.store.import_harvest([FeatureRecord(1)])
        self.stacks: dict[str, list[str]] = {"ann": [], "bob": []}
        self.n_events = 0

    who = st.sampled_from(["ann", "bob"])

    @rule(who=who, text=st.text("abc é", min_size=1, max_size=5).map(lambda t: f"x{t}"))
    def label(self, who: str, text: str) -> None:
        Labels(self.store, who).label(1, text)
        self.stacks[who].append(text.strip())
        self.n_events += 1

    @rule(who=who)
    def undo(self, who: str) -> None:
        if self.stacks[who]:
            Labels(self.store, who).undo()
            self.stacks[who].pop()
            self.n_events += 1
        else:
            with pytest.raises(StoreError):
                Labels(self.store, who).undo()

    @invariant()
    def what_stands_is_the_top_of_each_stack(self) -> None:
        standing = {event.annotator: event.text for event in Labels(self.store, "x").current(1)}
        assert standing == {who: stack[-1] for who, stack in self.stacks.items() if stack}
        assert self.store.feature(1).n_labels == len(standing)
        assert self.store.value("SELECT count(*) FROM labels_fts") == len(standing)
        assert self.store.value("SELECT count(*) FROM label_events") == self.n_events

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()


LabelMachine.TestCase.settings = settings(max_examples=15, stateful_step_count=12, deadline=None)
test_any_order_of_labels_and_undos = pytest.mark.slow(LabelMachine.TestCase)


@pytest.mark.slow
@given(st.text())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_any_text_is_a_label_or_refused(store: Store, text: str):
    labels = Labels(store, "ann")
    try:
        labels.label(9, text)
    except StoreError:
        return
    assert texts(store, 9) == [text.strip()] or "\ud7ff" < max(text) < "\ue000"
