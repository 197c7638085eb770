"""Histories leave and come back without loss, meet without loss, and a dry run tells the truth."""

from __future__ import annotations

import contextlib
import csv
import functools
import json
import sqlite3
import struct
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_db import FeatureRecord, ModelRecord, RowError, Store, StoreError
from feature_db.__main__ import main
from feature_db.exchange.event_files import export_events, export_labels
from feature_db.exchange.merge import import_events, merge_store
from feature_db.label.events import Event, events, insert_event
from feature_db.label.labels import CheckScore, Labels
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
    bob.skip(4, "\tunclear")
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


@pytest.mark.slow
@given(
    st.lists(
        st.builds(
            Event,
            uid=st.uuids(version=4).map(lambda u: u.hex),
            feature=st.integers(0, 39),
            annotator=st.sampled_from(["ann", "Zoë", "=x", "a,b"]),
            kind=st.sampled_from(["label", "skip", "flag", "adjudicate"]),
            time=st.integers(-(10**16), 10**15),
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
        assert dry.changed.keys() == {3} and dry.changed[3][0] == () and len(dry.changed[3][1]) == 3


@pytest.mark.parametrize("way", ["file", "store"])
def test_a_dry_run_tells_what_changes_beside_the_text(store: Store, tmp_path: Path, capsys: Any, way: str):
    People(store).set_role(None, "root", "admin")
    ann, root = Labels(store, "ann"), Labels(store, "root")
    for feature in range(1, 7):
        ann.label(feature, "lists", category="style", verdict=4)
    root.adjudicate(5, text="settled, then not")
    export_events(store, tmp_path / "common.jsonl")
    with another(tmp_path) as other:
        import_events(other, tmp_path / "common.jsonl", "root")
        ann.label(1, "lists", category="style", verdict=2)
        ann.label(2, "lists", category="safety", verdict=4)
        ann.label(3, "lists", category="style", verdict=4, confidence=0.5)
        root.adjudicate(4, text="settled\x1b[2J", verdict=3)
        root.undo(events(store, feature=5, annotator="root")[0].uid)
        ann.label(6, "lists", category="style", verdict=4)  # says the same as before
        export_events(store, tmp_path / "e.jsonl")
        take = functools.partial(import_events, other, tmp_path / "e.jsonl", "root")
        if way == "store":
            take = functools.partial(merge_store, other, store.path, "root")
        dry = take(dry_run=True)
        assert main(["import", str(other.path), str(tmp_path / "e.jsonl"), "--as", "root", "--dry-run"]) == 0
        said = capsys.readouterr().out
        assert dry.changed == take().changed
    before = "ann: lists (verdict 4, category style)"
    after = {
        1: ("ann: lists (verdict 2, category style)",),
        2: ("ann: lists (verdict 4, category safety)",),
        3: ("ann: lists (verdict 4, category style, confidence 0.5)",),
        4: (before, "settled by root: settled\x1b[2J (verdict 3)"),
        5: (before,),
    }
    stood = dict.fromkeys(after, (before,)) | {5: (before, "settled by root: settled, then not")}
    assert dry.changed == {feature: (stood[feature], after[feature]) for feature in after}
    assert "labels, or what was settled, of 5 features change" in said and "\x1b" not in said
    assert f"feature 2: {before} -> ann: lists (verdict 4, category safety)\n" in said


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


# -- stores that somebody else made -----------------------------------------------------------------------


def hostile(path: Path, *statements: str) -> None:
    """Change a store file behind the program's back."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as conn:
        for statement in statements:
            conn.execute(statement)


def refuses(store: Store, path: Path, message: str) -> None:
    """One line that names the file, nothing changed here or there."""
    before, there = list(store.conn.iterdump()), path.read_bytes()
    with pytest.raises(StoreError, match=message) as error:
        merge_store(store, path, "root")
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)
    assert list(store.conn.iterdump()) == before and path.read_bytes() == there


@pytest.fixture
def far(tmp_path: Path) -> Path:
    """Another store of the same model with a label, closed."""
    with another(tmp_path, "far.db") as store:
        Labels(store, "far").label(7, "there", verdict=3)
    return tmp_path / "far.db"


def test_a_store_in_use_elsewhere_is_merged_with_what_is_in_its_log(busy: Store, far: Path):
    with Store.open(far) as open_there:
        Labels(open_there, "far").label(8, "not in the file yet")
        assert far.with_name("far.db-wal").stat().st_size > 0
        merge_store(busy, far, "root")
    assert [e.text for e in Labels(busy, "x").current(8)] == ["not in the file yet"]


def test_triggers_and_views_of_a_foreign_store_do_nothing(busy: Store, far: Path):
    hostile(
        far,
        "CREATE TABLE heard (what TEXT)",
        "CREATE VIEW current_labels_too AS SELECT * FROM label_events",
        "CREATE TRIGGER listening AFTER INSERT ON label_events BEGIN INSERT INTO heard VALUES ('x'); END",
        "DROP VIEW current_labels",
        "CREATE VIEW current_labels AS SELECT load_extension('/tmp/x.so') AS uid",
        "DELETE FROM people",
    )
    before = far.read_bytes()
    assert merge_store(busy, far, "root").new == {"label": 1}
    assert far.read_bytes() == before and not far.with_name("far.db-wal").exists()
    assert People(busy).role("root") == "admin"


@pytest.mark.parametrize(
    "statements",
    [
        [
            "CREATE TABLE kept AS SELECT * FROM label_events",
            "DROP TABLE label_events",
            "CREATE VIEW label_events AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
            "SELECT i AS seq, * FROM n, kept",
        ],
        ["DROP TABLE label_events"],
        ["DROP TABLE label_events", "CREATE VIRTUAL TABLE label_events USING fts5(uid, feature, text)"],
        ["ALTER TABLE label_events ADD COLUMN more TEXT AS (upper(text))"],
        [
            "DROP TABLE models",
            "CREATE TABLE models (id INTEGER, fingerprint TEXT, name TEXT, n_features INTEGER, info TEXT, created)",
        ],
    ],
    ids=["view", "none", "virtual", "computed", "models"],
)
def test_a_table_that_is_not_ours_is_refused_before_it_is_read(busy: Store, far: Path, statements: list[str]):
    hostile(far, "PRAGMA foreign_keys = OFF", "PRAGMA legacy_alter_table = ON", *statements)
    refuses(busy, far, "not as this version makes it")


def test_a_table_disguised_as_ours_does_not_get_its_rows_in(busy: Store, far: Path):
    """The text of the definition is ours, the rows were written under another one."""
    ours = busy.value("SELECT sql FROM sqlite_master WHERE name = 'label_events'")
    loose = (
        "CREATE TABLE label_events (seq INTEGER PRIMARY KEY, uid, feature, annotator, kind, text, category, "
        "verdict, confidence, note, data, about, supersedes, time, model)"
    )
    with contextlib.closing(sqlite3.connect(far, isolation_level=None)) as conn:
        for kind, name in conn.execute(
            "SELECT type, name FROM sqlite_master WHERE tbl_name = 'label_events' AND type IN ('index', 'trigger') "
            "AND sql IS NOT NULL"
        ).fetchall():
            conn.execute(f"DROP {kind} {name}")
        conn.execute("DROP TABLE label_events")
        conn.execute(loose)
        conn.execute(
            "INSERT INTO label_events VALUES (1, 'u1', 3, 'eve', 'label', x'00ff', NULL, 99, 7.5, 5, '{', NULL, NULL, "
            "9223372036854775807, 1)"
        )
        conn.execute("PRAGMA writable_schema = ON")
        conn.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'label_events'", (ours,))
    refuses(busy, far, "damaged|row 1")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"time": 2**62}, "future"),
        ({"feature": 10**6}, "feature"),
        ({"annotator": "a\nb"}, "printable"),
        ({"uid": "../../etc"}, "uid"),
        ({"data": '{"check": ' + "[" * 900 + "]" * 900 + "}"}, "row 2"),
        ({"data": '{"a": 1e999}'}, "not finite"),
        ({"data": "[1]"}, "object"),
        ({"text": "x" * 100_000}, "characters"),
        ({"text": "x" * (5 * 2**20)}, "damaged"),
        ({"about": "nowhere"}, "neither in this file"),
        ({"supersedes": "nowhere"}, "neither in this file"),
    ],
)
def test_a_row_that_no_page_could_write_refuses_the_store(
    busy: Store, far: Path, columns: dict[str, Any], message: str
):
    row = {"uid": "evil", "feature": 1, "annotator": "eve", "kind": "label", "text": "x", "time": 5} | columns
    with contextlib.closing(sqlite3.connect(far, isolation_level=None)) as conn:
        conn.execute("PRAGMA foreign_keys = OFF")
        conn.execute("DROP TRIGGER label_events_state")
        marks = ", ".join("?" * len(row))
        conn.execute(f"INSERT INTO label_events ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))
    refuses(busy, far, message)


@pytest.mark.slow
def test_what_is_no_store_is_refused_in_one_line(busy: Store, far: Path, tmp_path: Path):
    whole = far.read_bytes()
    for name, content in (
        ("empty.db", b""),
        ("text.db", b"uid,feature\n1,2\n"),
        ("header.db", whole[:16]),
        ("cut.db", whole[: len(whole) // 2 // 4096 * 4096]),
        ("letters.db", whole.replace(b"'skip'", b"'sk\xd6p'")),
        ("scrambled.db", whole[:100] + bytes(b ^ 0x5A for b in whole[100:])),
    ):
        (tmp_path / name).write_bytes(content)
        refuses(busy, tmp_path / name, "no store|damaged|not a SQLite")
    with contextlib.closing(sqlite3.connect(tmp_path / "other.db")) as conn:
        conn.execute("CREATE TABLE label_events (uid)")
    refuses(busy, tmp_path / "other.db", "not a SARM Explorer store")
    with pytest.raises(StoreError, match="no such store"):
        merge_store(busy, tmp_path / "absent.db", "root")
    assert not (tmp_path / "absent.db").exists()


@pytest.mark.slow
@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
def test_a_file_with_bytes_turned_over_is_taken_or_refused_and_never_anything_else(
    busy: Store, far: Path, data: st.DataObject
):
    content = bytearray(far.read_bytes())
    for place in data.draw(
        st.lists(st.integers(0, 4_095) | st.integers(0, len(content) - 1), min_size=1, max_size=40)
    ):
        content[place] ^= data.draw(st.integers(1, 255))
    path = far.with_name("turned.db")
    path.write_bytes(content)
    try:
        merge_store(busy, path, "root", dry_run=True)
    except StoreError as error:
        assert "\n" not in str(error)


def test_a_tree_that_leads_in_circles_ends(busy: Store, far: Path):
    """Interior pages whose every pointer leads to the same leaf: 400 pointers on each of 4 levels."""
    with contextlib.closing(sqlite3.connect(far, isolation_level=None)) as conn:
        conn.execute("PRAGMA journal_mode = DELETE")
        root = conn.execute("SELECT rootpage FROM sqlite_master WHERE name = 'label_events'").fetchone()[0]
        size = conn.execute("PRAGMA page_size").fetchone()[0]
    content = bytearray(far.read_bytes())
    pages = len(content) // size
    leaf = bytes(content[(root - 1) * size : root * size])
    levels = [root, pages + 1, pages + 2, pages + 3]
    for level, page in enumerate(levels):
        child = levels[level + 1] if level < 3 else pages + 4
        cells = 400
        body = bytearray(size)
        body[0:12] = struct.pack(">BHHHBI", 5, 0, cells, size - 5 * cells, 0, child)
        for cell in range(cells):
            at = size - 5 * (cell + 1)
            body[at : at + 5] = struct.pack(">IB", child, min(cell, 127))
            body[12 + 2 * cell : 14 + 2 * cell] = struct.pack(">H", at)
        if page <= pages:
            content[(page - 1) * size : page * size] = body
        else:
            content += body
    content += leaf
    content[28:32] = struct.pack(">I", len(content) // size)
    far.write_bytes(content)
    refuses(busy, far, "damaged")


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
    {"time": "9999-12-31T23:59:59+00:00"},
    {"time": "0001-01-01T00:00:00+00:00"},
    {"text": "x" * 2_001},
    {"note": "x" * 10_001},
    {"data": [1]},
    {"data": {"a": float("inf")}},
    {"kind": "vote", "verdict": 1},
    {"kind": "vote", "verdict": 0, "about": "a0"},
    {"kind": "undo"},
    {"kind": "undo", "supersedes": "nowhere"},
    {"about": "a2"},
]


@pytest.mark.slow
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


@pytest.mark.slow
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
