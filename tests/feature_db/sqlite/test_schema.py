"""The steps of the schema, and stores of the version before: everything is kept, and they end as new ones begin."""

from __future__ import annotations

import contextlib
import lzma
import shutil
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from feature_db import Store, StoreError
from feature_db.exchange.event_files import export_events
from feature_db.exchange.merge import import_events, merge_store
from feature_db.label.events import events
from feature_db.label.labels import Labels
from feature_db.label.queues import Queues
from feature_db.roles import People
from feature_db.sqlite.schema import migrations
from tests.feature_db.conftest import MODEL

PACKED = Path(__file__).with_name("store_0_1.db.xz")
SHIPPED = Path(__file__).parents[3] / "sarm_core/demo/store.db.xz"
OF_SQLITE = "name LIKE 'sqlite_%' OR name LIKE '%_fts_%' OR name = '_sqlite_migrations'"
GONE = {"jobs"}


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("old") / "old.db"
    path.write_bytes(lzma.decompress(PACKED.read_bytes()))
    return path


@pytest.fixture
def old(unpacked: Path, tmp_path: Path) -> Path:
    """A store as version 0.1.0 left it."""
    return Path(shutil.copy(unpacked, tmp_path / "old.db"))


def rows_of(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, by SQLite alone."""
    with contextlib.closing(sqlite3.connect(path)) as conn:
        names = conn.execute(f"SELECT name FROM sqlite_master WHERE type = 'table' AND NOT ({OF_SQLITE})")
        return {name: sorted(conn.execute(f"SELECT * FROM {name}"), key=repr) for (name,) in names.fetchall()}


def definitions_of(path: Path) -> set[tuple[str, str, str, str]]:
    """Everything a store is made of; where lines are broken does not count."""
    with contextlib.closing(sqlite3.connect(path)) as conn:
        found = conn.execute(
            "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_master WHERE name NOT LIKE 'sqlite_stat%'"
        )
        return {(*row[:3], _words(row[3])) for row in found}


def _words(sql: str) -> str:
    for mark in "(),":
        sql = sql.replace(mark, f" {mark} ")
    return " ".join(sql.split())


def steps_of(path: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(path)) as conn:
        return [row[0] for row in conn.execute("SELECT name FROM _sqlite_migrations ORDER BY name")]


def fresh(path: Path) -> Path:
    Store.open(path, create=MODEL).close()
    return path


def test_steps_are_registered_in_the_order_of_their_numbers_and_no_number_is_given_twice():
    numbers = [int(step.name[1:4]) for step in migrations._migrations]
    assert numbers == list(range(1, len(numbers) + 1))
    assert all(step.name.startswith(f"m{n:03}_") for n, step in enumerate(migrations._migrations, 1))


def test_the_store_of_the_version_before_has_something_in_every_table(old: Path):
    assert [name for name, rows in rows_of(old).items() if not rows] == []


def test_a_store_of_the_version_before_keeps_every_row_and_ends_as_a_new_one_begins(
    old: Path, tmp_path: Path
):
    before = rows_of(old)
    for _ in range(2):  # the second time nothing is to be done
        Store.open(old).close()
        after = rows_of(old)
        assert before.keys() - after.keys() == GONE
        for name in before.keys() - GONE:
            assert [row[: len(before[name][0])] for row in after[name]] == before[name], name
        assert definitions_of(old) == definitions_of(fresh(tmp_path / "new.db"))
        assert steps_of(old) == steps_of(tmp_path / "new.db") == [s.name for s in migrations._migrations]
    with Store.open(old) as store:
        assert store.value("PRAGMA integrity_check") == "ok"
        assert store.rows("PRAGMA foreign_key_check") == []


def test_a_store_of_the_version_before_goes_on_working(old: Path, tmp_path: Path):
    with Store.open(old) as store:
        ann, bo = Labels(store, "ann"), Labels(store, "bo")
        assert ann.last_draft(6) == {"text": "unsent ünicode", "verdict": 3}
        assert [event.text for event in ann.current(1)] == ["lists of things", "enumerations"]
        assert ann.undo() and [event.text for event in ann.current(1)] == ["lists of things", "enumerations"]
        ann.label(6, "was a draft")
        assert ann.last_draft(6) is None and bo.last_draft(6) == {"text": "other"}
        queue = {queue.name: queue for queue in Queues(store, "judge").queues()}
        assert queue["second"].closed and not queue["first"].closed
        assert Queues(store, "ann").claim(queue["first"].id) is not None
        assert store.search("a draft")[0].feature == 6
        assert store.steering("calm").version == 2 and store.save_steering("calm", "{}") == 3
        assert store.bookmarks("ann") == [3]
        assert [len(store.examples(0, purpose=purpose)) for purpose in ("label", "check")] == [10, 14]
        assert store.feature(1).record.cofiring_of == 3
        with pytest.raises(sqlite3.IntegrityError, match="append-only"), store.write() as conn:
            conn.execute("DELETE FROM label_events")


def test_the_labels_of_a_store_of_the_version_before_are_merged_from_it_as_it_is(old: Path, tmp_path: Path):
    content = old.read_bytes()
    other = Path(shutil.copy(old, tmp_path / "other.db"))
    with contextlib.closing(sqlite3.connect(other)) as conn:
        conn.execute("DROP TRIGGER label_events_no_delete")
        conn.execute("DELETE FROM label_events")
        conn.execute("DELETE FROM drafts")
        conn.execute(
            "CREATE TRIGGER label_events_no_delete BEFORE DELETE ON label_events BEGIN SELECT 1; END"
        )
        conn.commit()
    with Store.open(other) as store:
        merge_store(store, old, "root")
        assert old.read_bytes() == content
        with Store.open(old) as before:
            assert events(store) == events(before)
            assert events(store, "current_drafts") == events(before, "current_drafts")
            export_events(before, tmp_path / "e.jsonl")
        assert import_events(store, tmp_path / "e.jsonl", "root").new == {}
        assert People(store).role("judge") == "adjudicator"


def test_many_may_open_a_store_of_the_version_before_at_once(old: Path, tmp_path: Path):
    failed: list[BaseException] = []

    def open_it() -> None:
        try:
            Store.open(old).close()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert definitions_of(old) == definitions_of(fresh(tmp_path / "new.db"))


def test_a_step_that_fails_leaves_the_store_as_it_was(old: Path, monkeypatch: pytest.MonkeyPatch):
    before = rows_of(old)
    with contextlib.closing(sqlite3.connect(old)) as conn:
        steps = conn.execute("SELECT * FROM _sqlite_migrations").fetchall()

    def fails(db: Any) -> None:
        db.execute("DELETE FROM people")
        raise RuntimeError

    with monkeypatch.context() as patched:
        patched.setattr(migrations._migrations[1], "fn", fails)
        with pytest.raises(RuntimeError):
            Store.open(old)
    with contextlib.closing(sqlite3.connect(old)) as conn:
        assert conn.execute("SELECT * FROM _sqlite_migrations").fetchall() == steps
    assert rows_of(old) == before
    Store.open(old).close()


def test_a_store_of_an_early_version_is_refused_in_one_line_and_left_as_it_was(old: Path):
    with contextlib.closing(sqlite3.connect(old)) as conn:
        conn.execute("DELETE FROM _sqlite_migrations WHERE name = 'm007_drafts'")
        conn.commit()
    content = old.read_bytes()
    with pytest.raises(StoreError, match=r"old\.db: was made by an early version") as refused:
        Store.open(old)
    assert "\n" not in str(refused.value) and old.read_bytes() == content


@pytest.mark.slow
def test_the_store_that_ships_opens_and_ends_as_a_new_one_begins(tmp_path: Path):
    path = tmp_path / "demo.db"
    path.write_bytes(lzma.decompress(SHIPPED.read_bytes()))
    with contextlib.closing(sqlite3.connect(path)) as conn:
        count = {
            name: conn.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
            for name in ("features", "texts", "encodings", "examples", "suggestions", "imports")
        }
    with Store.open(path) as store:
        assert {name: store.value(f"SELECT count(*) FROM {name}") for name in count} == count
        assert store.features_page(limit=1).rows
    assert definitions_of(path) == definitions_of(fresh(tmp_path / "new.db"))
