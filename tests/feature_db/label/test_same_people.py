"""Names that differ in case only are one person; in a store where they are two, an admin makes them one."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from feature_db import FeatureFilter, PermissionRefused, Store, StoreError
from feature_db.__main__ import main
from feature_db.datasets.datasets import DataSets, ItemRecord
from feature_db.exchange.event_files import export_events
from feature_db.exchange.merge import import_events, merge_store
from feature_db.label.agreement import disagreements
from feature_db.label.blindness import hidden_from
from feature_db.label.events import events
from feature_db.label.label_tests import LabelTests
from feature_db.label.labels import Labels
from feature_db.label.queues import Queues
from feature_db.label.same_people import merge_people, spelled_apart
from feature_db.roles import People
from feature_db.runs import RunRecord, Runs
from feature_db.sqlite.schema import NAMED
from tests.feature_db.sqlite.test_schema import unpacked  # noqa: F401  (a fixture)


def test_whatever_case_is_typed_it_is_the_same_person(store: Store):
    people = People(store)
    people.become_first_admin("Root")
    people.set_role("ROOT", "Jürgen", "adjudicator")
    assert people.role("JÜRGEN") == people.role("ju\u0308rgen ") == "adjudicator"
    assert people.all() == {"Root": "admin", "Jürgen": "adjudicator"}
    with pytest.raises(StoreError, match="Root is the last admin"):
        people.set_role("root", "root", "reader")
    first = Labels(store, "Ann").label(3, "lists")
    Labels(store, "ANN").label(3, "lists of things")
    assert [(e.annotator, e.kind, e.supersedes) for e in events(store, feature=3)] == [
        ("Ann", "label", None),
        ("Ann", "edit", first),
    ]
    with pytest.raises(StoreError, match="cannot vote on your own"):
        Labels(store, "aNN").vote(events(store, "current_labels", 3)[0].uid, True)
    assert Labels(store, "ann").visible(3) and len(Labels(store, "ann").own(9)) == 1
    Labels(store, "ann").draft(4, {"text": "half"})
    assert Labels(store, "ANN").last_draft(4) == {"text": "half"} and hidden_from(store, "ann", [4]) == {
        4: "draft"
    }
    assert disagreements(store, "verdict") == []


def test_a_place_in_a_queue_and_a_list_are_the_persons_in_any_case(store: Store):
    People(store).become_first_admin("root")
    queue = Queues(store, "ROOT").make("q", FeatureFilter(ids=[3, 4]), sort="id", overlap=2)
    lent, again = Queues(store, "Bo").claim(queue), Queues(store, "bo").claim(queue)
    assert lent is not None and again is not None and lent.id == again.id
    Queues(store, "bO").submit(lent.id, "lists")
    assert Queues(store, "BO").progress(queue).own_done == 1
    store.bookmark(7, "bo")
    assert store.bookmarks("BO") == [7] and [found.owner for found in store.lists("bO")] == ["Bo"]
    store.add_to_list(store.make_list("mine", "Cy"), 4, by="CY")
    assert [found.size for found in store.lists("cy")] == [1]


@pytest.mark.parametrize("way", ["file", "store"])
def test_what_comes_from_elsewhere_is_spelled_as_here(store: Store, template: Path, tmp_path: Path, way: str):
    People(store).become_first_admin("root")
    Labels(store, "ann").label(3, "lists")
    shutil.copy(template, tmp_path / "other.db")
    with Store.open(tmp_path / "other.db") as other:
        People(other).become_first_admin("root")
        Labels(other, "ANN").label(4, "code")
        Labels(other, "Bo").label(4, "programs")
        for target, source in ((store, other), (other, store)):
            if way == "file":
                export_events(source, tmp_path / "e.jsonl")
                import_events(target, tmp_path / "e.jsonl", "root")
            else:
                merge_store(target, source.path, "root")
        # Known events are known, however the other store spells their author.
        export_events(store, tmp_path / "e.jsonl")
        assert import_events(other, tmp_path / "e.jsonl", "root").new == {}
    assert [e.annotator for e in events(store)] == ["ann", "ann", "Bo"]


# -- stores where they are two -------------------------------------------------------------------------------


@pytest.fixture
def two(unpacked: Path, tmp_path: Path) -> Iterator[Store]:  # noqa: F811
    """A store of the version before in which ann is also Ann, with something of everything twice."""
    path = Path(shutil.copy(unpacked, tmp_path / "old.db"))
    with contextlib.closing(sqlite3.connect(path)) as conn:
        conn.executescript(
            """
            INSERT INTO label_events (uid, feature, annotator, kind, text, verdict, time)
                VALUES ('x1', 1, 'Ann', 'label', 'another view', 1, 9), ('x2', 7, 'Ann', 'label', 'only here', 3, 9);
            INSERT INTO drafts VALUES (6, 'Ann', 'd', '{"text": "older"}', 5), (8, 'Ann', 'e', '{"text": "own"}', 5);
            INSERT INTO people VALUES ('Ann', 'adjudicator', 1), ('ann', 'annotator', 2);
            INSERT INTO lists (name, owner, created) VALUES ('Bookmarks', 'Ann', 1), ('more', 'Ann', 1);
            INSERT INTO list_items SELECT id, 5, '', 1 FROM lists WHERE owner = 'Ann';
            INSERT INTO assignments (queue, feature, annotator, state, leased, expires, finished)
                SELECT queue, feature, 'Ann', 'done', 0, 0, 9 FROM assignments WHERE annotator = 'ann' LIMIT 1;
            """
        )
        conn.commit()
    with Store.open(path) as store:
        store.choose("ann", "evidence", "chat")
        with store.write() as conn:
            conn.execute("INSERT INTO choices VALUES ('ann', 'evidence', 'full'), ('ann', 'other', 'x')")
            conn.execute("INSERT INTO trials VALUES ('t', 1, 'ann', 'names', '{}', 0, 1, 9)")
        sets, item = DataSets(store), ItemRecord("1", "p", 0, 2, 1, 1)
        sets.add("mine", "a" * 64, [item], by="ann")
        Runs(store).keep(RunRecord("find", "t", "d", {}, {}, {}), "ann")
        with store.write() as conn:
            conn.execute("UPDATE datasets SET owner = 'ann'")
            conn.execute("UPDATE runs SET author = 'ann'")
        yield store


def test_two_spellings_become_one_person_and_nothing_is_lost(two: Store, capsys: Any):
    assert People(two).spelling("ANN") == "Ann", "who has a role first"
    (stands, others), *more = spelled_apart(two).items()
    assert (stands, list(others), more) == ("Ann", ["ann"], [])
    labels = {(e.feature, e.text) for e in events(two, "current_labels")}
    n_events = two.value("SELECT count(*) FROM label_events")
    before = list(two.conn.iterdump())
    with pytest.raises(PermissionRefused):
        merge_people(two, "bo")
    assert main(["merge-people", str(two.path), "--as", "root", "--dry-run"]) == 0
    assert "ann would become Ann" in capsys.readouterr().out and list(two.conn.iterdump()) == before
    assert main(["merge-people", str(two.path), "--as", "root"]) == 0
    assert spelled_apart(two) == {} and merge_people(two, "root") == {}
    assert {(e.feature, e.text) for e in events(two, "current_labels")} == labels
    assert two.value("SELECT count(*) FROM label_events") == n_events
    for table, column in (*NAMED, ("people", "name")):
        assert two.value(f"SELECT count(*) FROM {table} WHERE {column} = 'ann'") == 0
        assert two.value(f"SELECT count(*) FROM {table} WHERE {column} = 'Ann'") > 0 or table == "queues"
    ann = Labels(two, "ann")
    assert ann.last_draft(6) == {"text": "unsent ünicode", "verdict": 3} and ann.last_draft(8) == {
        "text": "own"
    }
    assert People(two).role("ann") == "adjudicator"
    assert two.bookmarks("ann") == [3, 5] or two.bookmarks("ann") == [5, 3]
    assert sorted(found.name for found in two.lists("ANN")) == ["Bookmarks", "more"]
    assert (two.choice("ann", "evidence"), two.choice("ann", "other")) == ("chat", "x")
    assert LabelTests(two, "ANN").draw(2).id == LabelTests(two, "ann").draw(2).id
    # One person's several labels: their next one replaces them all.
    ann.label(1, "one view")
    assert [e.text for e in ann.current(1) if e.annotator == "Ann"] == ["one view"]
    for queue, feature, done in two.rows("SELECT queue, feature, done FROM queue_items"):
        counted = two.value(
            "SELECT count(*) FROM assignments WHERE queue = ? AND feature = ? AND state = 'done'",
            (queue, feature),
        )
        assert done == counted
    with pytest.raises(sqlite3.IntegrityError, match="append-only"), two.write() as conn:
        conn.execute("UPDATE label_events SET annotator = 'x'")
    assert two.rows("PRAGMA foreign_key_check") == [] and two.value("PRAGMA integrity_check") == "ok"


def test_a_store_with_one_spelling_each_has_nothing_to_merge(store: Store, capsys: Any):
    People(store).become_first_admin("root")
    assert main(["merge-people", str(store.path), "--as", "Root"]) == 0
    assert "no two names differ in case only" in capsys.readouterr().out
