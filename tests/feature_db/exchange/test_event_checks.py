"""What comes from elsewhere fits what is here, or is refused with its row; queues count it; nobody waits for it."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from feature_db import FeatureFilter, RowError, Store, StoreError
from feature_db.exchange.event_files import export_events, export_labels
from feature_db.exchange.merge import import_events, merge_store
from feature_db.label.events import events
from feature_db.label.labels import CheckScore, Labels
from feature_db.label.queues import Queues
from feature_db.roles import People


@pytest.fixture
def root(store: Store) -> Queues:
    People(store).set_role(None, "root", "admin")
    return Queues(store, "root")


def written(store: Store, path: Path, *rows: dict[str, Any]) -> Path:
    """A file of the store's events with `rows` after them."""
    export_events(store, path)
    with path.open("a", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")
    return path


def refused(store: Store, path: Path, message: str) -> RowError:
    """Refused alike by a dry run and by the import, naming file and row; nothing is added."""
    before = list(store.conn.iterdump())
    said = []
    for dry_run in (True, False):
        with pytest.raises(RowError, match=message) as error:
            import_events(store, path, "root", dry_run=dry_run)
        assert error.value.source == str(path) and isinstance(error.value.row, int)
        said.append(str(error.value))
    assert said[0] == said[1] and list(store.conn.iterdump()) == before
    return error.value


# -- the same uid ---------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["events", "labels"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("text", "forged"),
        ("category", "style"),
        ("verdict", 1),
        ("confidence", 0.25),
        ("note", "forged"),
        ("data", {"check": {"texts": ["h"], "said": [True], "fires": [True], "correct": 1}}),
        ("annotator", "eve"),
        ("feature", 4),
        ("time", "2020-01-01T00:00:00+00:00"),
    ],
)
def test_an_event_of_a_known_uid_that_differs_in_anything_is_refused(
    store: Store, root: Queues, tmp_path: Path, kind: str, name: str, value: Any
) -> None:
    Labels(store, "ann").label(
        3,
        "a",
        category="safety",
        verdict=4,
        confidence=0.5,
        note="n",
        check=CheckScore(["h"], [True], [False]),
    )
    path = tmp_path / "e.jsonl"
    (export_events if kind == "events" else export_labels)(store, path)
    head, row = path.read_text().splitlines()
    assert import_events(store, path, "root").known == 1
    path.write_text(f"{head}\n{json.dumps({**json.loads(row), name: value})}\n")
    assert name in str(refused(store, path, "other content"))


def test_a_file_of_labels_knows_edits_and_settlements_again(
    store: Store, root: Queues, tmp_path: Path
) -> None:
    ann = Labels(store, "ann")
    ann.label(3, "a")
    chosen = ann.label(3, "b", verdict=2)
    root.labels.adjudicate(3, text="first")
    root.labels.adjudicate(3, label=chosen)
    export_labels(store, tmp_path / "l.jsonl")
    report = import_events(store, tmp_path / "l.jsonl", "root")
    assert (report.new, report.known) == ({}, 2)


def test_a_history_behind_its_own_standing_labels_is_refused_in_words(
    store: Store, root: Queues, template: Path, tmp_path: Path
) -> None:
    ann = Labels(store, "ann")
    ann.label(3, "a")
    ann.label(3, "b")
    export_labels(store, tmp_path / "l.jsonl")
    export_events(store, tmp_path / "e.jsonl")
    shutil.copy(template, tmp_path / "other.db")
    with Store.open(tmp_path / "other.db") as other:
        People(other).set_role(None, "root", "admin")
        import_events(other, tmp_path / "l.jsonl", "root")
        refused(other, tmp_path / "e.jsonl", "from a file of standing labels")


# -- references ------------------------------------------------------------------------------------------------

NEW = {"uid": "new", "feature": 3, "annotator": "eve", "time": "2019-01-01T12:00:00+00:00", "text": "x"}


def known(store: Store) -> dict[str, str]:
    """uids of one event of each kind on feature 3."""
    ann, bo, root = (Labels(store, name) for name in ("ann", "bo", "root"))
    found = {"label": ann.label(3, "a"), "skip": bo.skip(3, "unclear")}
    found["vote"] = bo.vote(found["label"], True)
    found["flag"] = bo.flag(3, "look", found["label"])
    found["other"] = bo.label(3, "his")
    found["adjudicate"] = root.adjudicate(3, label=found["label"])
    return found


LATER, EARLIER = "2019-01-01T12:00:00+00:00", "2010-01-01T12:00:00+00:00"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "undo", "supersedes": "{label}"}, "is by ann: an undo is of one's own only"),
        ({"kind": "edit", "supersedes": "{label}"}, "is by ann: an edit is of one's own only"),
        ({"kind": "vote", "verdict": -1, "about": "{label}", "supersedes": "{vote}"}, "is by bo"),
        ({"kind": "edit", "supersedes": "{skip}", "annotator": "bo"}, "an edit cannot replace a skip"),
        ({"kind": "undo", "supersedes": "new"}, "not earlier"),
        ({"kind": "label", "supersedes": "{label}", "annotator": "ann"}, "a label cannot replace a label"),
        ({"kind": "vote", "verdict": 1, "about": "{skip}"}, "is a skip, not a label"),
        ({"kind": "adjudicate", "about": "{vote}"}, "is a vote, not a label"),
        ({"kind": "label", "about": "{label}"}, "a label is about no other event"),
        ({"kind": "adjudicate", "supersedes": "{label}"}, "an adjudication cannot replace a label"),
        (
            {"kind": "vote", "verdict": 1, "about": "{other}", "supersedes": "{vote}", "annotator": "bo"},
            "a vote on another label",
        ),
        ({"kind": "edit", "supersedes": "{label}", "annotator": "ann", "feature": 4}, "of another feature"),
        ({"kind": "edit", "supersedes": "{label}", "annotator": "ann", "time": EARLIER}, "not earlier"),
    ],
)  # fmt: skip
def test_an_event_that_refers_to_what_it_cannot_is_refused(
    store: Store, root: Queues, tmp_path: Path, fields: dict[str, Any], message: str, monkeypatch: Any
) -> None:
    monkeypatch.setattr(
        "feature_db.label.labels.microseconds", lambda: 1_500_000_000_000_000
    )  # between the two
    uids = known(store)
    row = {name: value.format(**uids) if isinstance(value, str) else value for name, value in fields.items()}
    path = written(store, tmp_path / "e.jsonl", {**NEW, "time": LATER, **row})
    assert refused(store, path, message).row == 2 + len(events(store))


def test_two_edits_that_replace_each_other_are_refused(store: Store, root: Queues, tmp_path: Path) -> None:
    for one, other in (("11", "12"), ("12", "12")):
        rows = [
            {**NEW, "uid": "e1", "kind": "edit", "supersedes": "e2", "time": f"2019-01-01T{one}:00:00+00:00"},
            {
                **NEW,
                "uid": "e2",
                "kind": "edit",
                "supersedes": "e1",
                "time": f"2019-01-01T{other}:00:00+00:00",
            },
        ]
        refused(store, written(store, tmp_path / "e.jsonl", *rows), "not earlier")


def test_what_a_page_writes_is_taken_whatever_it_refers_to(
    store: Store, root: Queues, template: Path, tmp_path: Path
) -> None:
    known(store)
    for name in ("bo", "bo", "ann", "root"):
        Labels(store, name).undo()
    Labels(store, "bo").vote(Labels(store, "ann").label(3, "again"), False, "no")
    shutil.copy(template, tmp_path / "other.db")
    with Store.open(tmp_path / "other.db") as other:
        People(other).set_role(None, "root", "admin")
        merge_store(other, store.path, "root")
        assert events(other) == events(store)


# -- queues ----------------------------------------------------------------------------------------------------


def test_queues_count_labels_and_undos_that_come_in(
    store: Store, root: Queues, template: Path, tmp_path: Path
) -> None:
    queue = root.make("q", FeatureFilter(ids=[3, 4]), sort="id")
    shutil.copy(template, tmp_path / "far.db")
    ann, bo = Queues(store, "ann"), Queues(store, "bo")
    with Store.open(tmp_path / "far.db") as far:
        Labels(far, "ann").label(4, "from afar")
        Labels(far, "bo").skip(3, "unclear")
        merge_store(store, far.path, "root", dry_run=True)
        assert root.progress(queue).done == 0
        merge_store(store, far.path, "root")
        assert root.progress(queue).done == 1 and bo.progress(queue).own_skipped == 1
        assert bo.claim(queue) is None, "one is labelled, the other he skipped"
        offered = ann.claim(queue)
        assert offered is not None and offered.feature == 3
        Labels(far, "ann").undo()
        merge_store(store, far.path, "root")
    assert root.progress(queue).done == 0
    again = bo.claim(queue)
    assert again is not None and again.feature == 4, "what was taken back is offered again"


def test_names_and_counts_follow_an_import(
    store: Store, root: Queues, template: Path, tmp_path: Path
) -> None:
    ann, bo = Labels(store, "ann"), Labels(store, "bo")
    for feature in range(6):
        ann.label(feature, f"first{feature}")
        ann.label(feature, f"second{feature}")
    ann.undo()
    bo.label(2, "bos2")
    root.labels.adjudicate(1, text="settled1")
    bo.skip(2, "last of feature 2, and no change of its names")
    shutil.copy(template, tmp_path / "other.db")
    with Store.open(tmp_path / "other.db") as other:
        People(other).set_role(None, "root", "admin")
        merge_store(other, store.path, "root")
        for sql in (
            "SELECT text, feature FROM labels_fts ORDER BY text",
            "SELECT id, n_labels FROM features ORDER BY id",
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name",
        ):
            assert list(map(tuple, other.rows(sql))) == list(map(tuple, store.rows(sql)))


# -- the write lock --------------------------------------------------------------------------------------------


def test_dry_runs_and_refusals_do_not_wait_for_a_writer(store: Store, root: Queues, tmp_path: Path) -> None:
    Labels(store, "ann").label(3, "a")
    good = written(store, tmp_path / "good.jsonl", {**NEW, "kind": "label"})
    bad = written(store, tmp_path / "bad.jsonl", {**NEW, "kind": "nonsense"})
    with Store.open(store.path, busy_seconds=0.05) as other, store.write():
        report = import_events(other, good, "root", dry_run=True)
        assert report.new == {"label": 1} and report.changed == {3: (("ann: a",), ("eve: x", "ann: a"))}
        with pytest.raises(RowError, match="kind must be"):
            import_events(other, bad, "root")
        with pytest.raises(StoreError, match="busy"):
            import_events(other, good, "root")
    assert import_events(store, good, "root").new == {"label": 1}


@pytest.mark.slow
def test_of_several_who_import_one_file_at_once_each_event_comes_in_once(
    store: Store, root: Queues, tmp_path: Path
) -> None:
    rows = [
        {**NEW, "uid": f"u{i}", "kind": "label", "feature": i % 40, "annotator": f"p{i}"} for i in range(400)
    ]
    path = written(store, tmp_path / "e.jsonl", *rows)
    reports, start = [], threading.Barrier(4)

    def take() -> None:
        with Store.open(store.path) as opened:
            start.wait()
            reports.append(import_events(opened, path, "root"))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted((sum(report.new.values()), report.known) for report in reports) == [(0, 400)] * 3 + [
        (400, 0)
    ]
    assert store.value("SELECT count(*) FROM label_events") == 400
