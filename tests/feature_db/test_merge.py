"""Histories leave and come back without loss, meet without loss, and a dry run tells the truth."""

from __future__ import annotations

import csv
import functools
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_db import FeatureRecord, ModelRecord, RowError, Store, StoreError
from feature_db.__main__ import main
from feature_db.event_files import export_events, export_labels
from feature_db.events import Event, events, insert_event
from feature_db.labels import CheckScore, Labels
from feature_db.merge import import_events, merge_store
from feature_db.roles import People
from tests.feature_db.conftest import MODEL

SUFFIXES = [".jsonl", ".csv"]


@functools.cache
def bare() -> bytes:
    """A store of 40 features and one admin, as bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bare.db"
        with Store.open(path, create=MODEL) as store:
            store.import_harvest(FeatureRecord(i) for i in range(40))
            People(store).set_role(None, "root", "admin")
        return path.read_bytes()


def another(tmp_path: Path, name: str = "other.db") -> Store:
    (tmp_path / name).write_bytes(bare())
    return Store.open(tmp_path / name)


@pytest.fixture
def busy(store: Store) -> Store:
    """A store in which everything happened."""
    People(store).set_role(None, "root", "admin")
    ann, bob, root = (Labels(store, name) for name in ("ann", 'bøb, "the"\n 2nd'.replace("\n", ""), "root"))
    label = ann.label(
        3, "=refusals,\n\"quoted\" \x00\r\n'x' <script>", category="safety", verdict=4, confidence=0.1
    )
    ann.label(3, "@edited", note="'why", check=CheckScore(["h"], [True], [False]))
    ann.undo()
    bob.vote(label, False, "-no")
    bob.label(3, "lists", evidence=["a" * 64])
    bob.skip(4, "")
    ann.flag(3, "look", label)
    root.adjudicate(3, label=label, note="fine")
    ann.draft(5, {"text": "ha\tlf", "verdict": None})
    return store


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_events_make_the_round_trip_byte_for_byte(busy: Store, tmp_path: Path, suffix: str):
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    export_events(busy, first)
    with another(tmp_path) as other:
        report = import_events(other, first, "root")
        assert sum(report.new.values()) == 9 and report.known == 0
        assert events(other) == events(busy)
        for view in (
            "current_labels",
            "current_votes",
            "current_flags",
            "current_adjudications",
            "current_drafts",
        ):
            assert events(other, view) == events(busy, view)
        assert [h.text for h in other.search("lists")] == [h.text for h in busy.search("lists")]
        export_events(other, second)
        assert second.read_bytes() == first.read_bytes()
        again = import_events(other, first, "root")
        assert again.new == {} and again.known == 9 and again.changed == {}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_labels_that_stand_arrive_with_author_text_and_time(busy: Store, tmp_path: Path, suffix: str):
    export_labels(busy, tmp_path / f"l{suffix}")
    with another(tmp_path) as other:
        import_events(other, tmp_path / f"l{suffix}", "root")
        mine, theirs = (events(s, "current_labels") for s in (busy, other))
        assert [(e.uid, e.annotator, e.text, e.time, e.category, e.data) for e in theirs] == [
            (e.uid, e.annotator, e.text, e.time, e.category, e.data) for e in mine
        ]
    assert import_events(busy, tmp_path / f"l{suffix}", "root").new == {}


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(
    st.lists(
        st.builds(
            Event,
            uid=st.uuids(version=4).map(lambda u: u.hex),
            feature=st.integers(0, 39),
            annotator=st.sampled_from(["ann", "Zoë", "=x", "a,b"]),
            kind=st.sampled_from(["label", "skip", "flag", "adjudicate", "draft"]),
            time=st.integers(0, 10**16),
            text=words.map(lambda t: "x" + t) | st.sampled_from(["=1", "'=1", "''", "'"]),
            category=st.none() | words.filter(bool),
            verdict=st.none() | st.integers(1, 5),
            confidence=st.none() | st.floats(0, 1),
            note=words,
            data=st.dictionaries(
                words, st.none() | st.floats(allow_nan=False, allow_infinity=False) | words, max_size=3
            ),
        ),
        max_size=4,
        unique_by=lambda e: e.uid,
    ),
    st.sampled_from(SUFFIXES),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
def test_any_events_make_the_round_trip(tmp_path_factory, found: list[Event], suffix: str):
    folder = tmp_path_factory.mktemp("events")
    with another(folder, "a.db") as one, another(folder, "b.db") as two:
        with one.write():
            for event in found:
                insert_event(one, event)
        export_events(one, folder / f"e{suffix}")
        import_events(two, folder / f"e{suffix}", "root")
        assert events(two) == events(one)


def test_a_dry_run_changes_nothing_and_says_what_the_import_then_does(busy: Store, tmp_path: Path):
    export_events(busy, tmp_path / "e.jsonl")
    with another(tmp_path) as other:
        before = list(other.conn.iterdump())
        dry = import_events(other, tmp_path / "e.jsonl", "root", dry_run=True)
        assert list(other.conn.iterdump()) == before
        done = import_events(other, tmp_path / "e.jsonl", "root")
        assert (dry.new, dry.known, dry.annotators, dry.changed) == (
            done.new,
            done.known,
            done.annotators,
            done.changed,
        )
        assert dry.dry_run and not done.dry_run
        assert dry.changed.keys() == {3} and dry.changed[3][0] == () and len(dry.changed[3][1]) == 2


def test_merging_keeps_both_histories_whichever_way_round(busy: Store, tmp_path: Path):
    with another(tmp_path) as other:
        export_events(busy, tmp_path / "common.jsonl")
        import_events(other, tmp_path / "common.jsonl", "root")
        Labels(busy, "ann").label(3, "here")
        Labels(busy, "root").adjudicate(3, text="settled here")
        Labels(other, "ann").label(7, "there")
        Labels(other, "root").adjudicate(3, text="settled there later")
        here, there = set(map(repr, events(busy))), set(map(repr, events(other)))
        assert here - there and there - here
        merge_store(busy, other.path, "root")
        assert set(map(repr, events(busy))) == here | there
        assert set(map(repr, events(other))) == there, "the other store is only read"
        merge_store(other, busy.path, "root")
        assert events(other) == events(busy)
        for view in ("current_labels", "current_votes", "current_adjudications"):
            assert events(other, view) == events(busy, view)
        settled = Labels(busy, "x").adjudication(3)
        assert settled is not None and settled.text == "settled there later"
        assert other.feature(3).n_labels == busy.feature(3).n_labels
        assert merge_store(busy, other.path, "root").new == {}


def test_stores_and_files_of_another_model_are_refused(busy: Store, tmp_path: Path):
    with Store.open(tmp_path / "foreign.db", create=ModelRecord("0" * 64, "foreign", 40)) as foreign:
        People(foreign).set_role(None, "root", "admin")
        export_events(busy, tmp_path / "e.jsonl")
        with pytest.raises(StoreError, match="another model"):
            import_events(foreign, tmp_path / "e.jsonl", "root")
    with pytest.raises(StoreError, match="not of the model in use"):
        merge_store(busy, tmp_path / "foreign.db", "root")
    with pytest.raises(StoreError, match="with itself"):
        merge_store(busy, busy.path, "root")


GOOD = {
    "uid": "a1",
    "feature": 1,
    "annotator": "ann",
    "kind": "label",
    "time": "2026-01-31T12:00:00+00:00",
    "text": "x",
}
BAD = [
    {"kind": "delete"},
    {"uid": "../x"},
    {"uid": 5},
    {"uid": "a0"},
    {"feature": 40},
    {"feature": 10**30},
    {"feature": "1; DROP TABLE"},
    {"annotator": ""},
    {"annotator": ["ann"]},
    {"text": None},
    {"text": {"a": 1}},
    {"verdict": 6},
    {"verdict": 2.5},
    {"confidence": float("nan")},
    {"confidence": 1.5},
    {"time": "yesterday"},
    {"time": 5},
    {"time": "2026-01-31T12:00:00"},
    {"data": [1]},
    {"data": {"a": float("inf")}},
    {"kind": "vote", "verdict": 1},
    {"kind": "vote", "verdict": 0, "about": "a0"},
    {"kind": "undo"},
    {"kind": "undo", "supersedes": "nowhere"},
    {"about": "a2"},
]


@pytest.mark.parametrize("changes", BAD)
def test_one_bad_event_refuses_the_file_naming_its_line(busy: Store, tmp_path: Path, changes: dict[str, Any]):
    path = tmp_path / "e.jsonl"
    header = {"format": "sarm-label-events/1", "fingerprint": MODEL.fingerprint}
    rows = [header, {**GOOD, "uid": "a0"}, {**GOOD, **changes}, {**GOOD, "uid": "a2", "feature": 2}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    before = list(busy.conn.iterdump())
    with pytest.raises(RowError) as error:
        import_events(busy, path, "root")
    assert str(error.value).startswith(f"{path}, row 3: ") and "\n" not in str(error.value)
    assert list(busy.conn.iterdump()) == before


def test_an_event_changed_by_hand_is_refused(busy: Store, tmp_path: Path):
    path = tmp_path / "e.jsonl"
    export_events(busy, path)
    path.write_text(path.read_text().replace("lists", "forged"))
    with pytest.raises(RowError, match="changed by hand"):
        import_events(busy, path, "root")


@pytest.mark.parametrize("text", ["", "{}\n", "[]\n", '{"format": "x"}\n', "\x00", "uid,text\n1,2\n"])
def test_files_that_hold_no_events_are_refused(busy: Store, tmp_path: Path, text: str):
    for suffix in (*SUFFIXES, ".txt"):
        path = tmp_path / f"e{suffix}"
        path.write_text(text)
        with pytest.raises(StoreError, match=str(path)):
            import_events(busy, path, "root")


def test_no_cell_of_an_event_csv_is_a_formula(busy: Store, tmp_path: Path):
    export_events(busy, tmp_path / "e.csv")
    with open(tmp_path / "e.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    numbers = {"verdict", "confidence"}
    cells = [cell for row in rows for name, cell in row.items() if name not in numbers]
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)


def test_the_command_line_moves_events_and_gives_roles(busy: Store, tmp_path: Path, capsys: Any):
    events_file, here = str(tmp_path / "e.jsonl"), str(busy.path)
    assert main(["export", here, "--format", "events", "--out", events_file]) == 0
    other = str(tmp_path / "new.db")
    with Store.open(other, create=MODEL) as fresh:
        fresh.import_harvest(FeatureRecord(i) for i in range(40))
    assert main(["people", other, "ann", "annotator"]) == 2
    assert main(["people", other, "root", "admin"]) == 0
    assert main(["people", other, "ann", "reader", "--as", "root"]) == 0
    capsys.readouterr()
    assert main(["import", other, events_file, "--as", "ann"]) == 2
    assert "ann is a reader here" in capsys.readouterr().err
    assert main(["import", other, events_file, "--as", "root", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "2 label" in shown and "would be added" in shown and "feature 3: unlabelled -> ann: " in shown
    assert main(["merge", other, here, "--as", "root"]) == 0
    assert main(["import", other, events_file, "--as", "root"]) == 0
    assert "no event added; 9 known already" in capsys.readouterr().out
