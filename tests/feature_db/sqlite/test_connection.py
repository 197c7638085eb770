"""Opening, the one-model rule, and writers that meet."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from feature_db import ModelRecord, Store, StoreError
from feature_db.label.labels import Labels
from feature_db.sqlite.schema import migrations
from tests.feature_db.conftest import MODEL
from tests.processes import forks


def test_another_models_store_is_refused_and_left_as_it_was(store: Store, path: Path):
    before = store.stats()
    with pytest.raises(StoreError, match="holds features of 'tiny'"):
        Store.open(path, fingerprint="0" * 64)
    with pytest.raises(StoreError, match="not of the model in use"):
        Store.open(path, create=ModelRecord("0" * 64, "other", 40))
    assert store.stats() == before
    with Store.open(path, fingerprint=MODEL.fingerprint) as again:
        assert again.model == MODEL


def test_what_a_store_did_not_know_of_its_model_is_added_when_it_is_opened(path: Path, store: Store):
    store.conn.execute("""UPDATE models SET info = '{"source": "demo", "note": "kept"}'""")
    whole = replace(store.model, info={"source": "demo", "layer": 15, "k": None})
    Store.open(path, create=whole).close()
    with Store.open(path) as opened:
        assert opened.model.info == {"source": "demo", "note": "kept", "layer": 15, "k": None}
    with pytest.raises(StoreError, match="not of the model in use"):
        Store.open(path, create=replace(whole, fingerprint="other", info={"layer": 1}))
    with Store.open(path) as opened:
        assert opened.model.info["layer"] == 15


def test_rows_of_a_second_model_cannot_enter_the_file(store: Store):
    with pytest.raises(sqlite3.IntegrityError), store.write() as conn:
        conn.execute("INSERT INTO models SELECT 2, 'x', 'x', n_features, info, created FROM models")
    with pytest.raises(sqlite3.IntegrityError), store.write() as conn:
        conn.execute("UPDATE features SET model = 2 WHERE id = 1")
    # Every table that holds what a model produced names the model.
    for table in (
        "texts",
        "encodings",
        "features",
        "examples",
        "suggestions",
        "steerings",
        "sessions",
    ):
        assert any(row["name"] == "model" for row in store.rows(f"PRAGMA table_info({table})")), table


def test_every_table_is_strict_and_the_promised_modes_are_on(store: Store):
    tables = store.rows("PRAGMA table_list")
    loose = {
        row["name"]
        for row in tables
        if row["type"] == "table" and not row["strict"] and not row["name"].startswith(("sqlite_", "_sqlite"))
    }
    assert loose == set()
    assert store.value("PRAGMA journal_mode") == "wal"
    assert store.value("PRAGMA foreign_keys") == 1


@pytest.mark.parametrize("content", [b"", b"not a database" * 100, b"SQLite format 3\x00" + b"\xff" * 2000])
def test_a_file_that_is_no_store_is_refused_in_one_line(tmp_path: Path, content: bytes):
    path = tmp_path / "x.db"
    path.write_bytes(content)
    with pytest.raises(StoreError) as error:
        Store.open(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    assert path.read_bytes() == content


def test_a_foreign_database_is_not_taken_over(tmp_path: Path):
    path = tmp_path / "x.db"
    conn = sqlite3.connect(path)
    conn.execute("CREATE TABLE mine (a)")
    conn.commit()
    conn.close()
    content = path.read_bytes()
    with pytest.raises(StoreError, match="not a SARM Explorer store"):
        Store.open(path, create=MODEL)
    assert path.read_bytes() == content


def test_a_store_of_a_newer_version_is_refused(store: Store, path: Path):
    with store.write() as conn:
        conn.execute(
            f"INSERT INTO {migrations.migrations_table} (migration_set, name, applied_at) "
            "VALUES (?, 'm999', '')",
            (migrations.name,),
        )
    with pytest.raises(StoreError, match="newer version"):
        Store.open(path)


def test_a_missing_store_is_refused_and_not_made(tmp_path: Path):
    with pytest.raises(StoreError, match="no such store"):
        Store.open(tmp_path / "none.db")
    assert list(tmp_path.iterdir()) == []


def test_a_store_refuses_another_thread(store: Store):
    errors: list[BaseException] = []

    def use() -> None:
        try:
            store.stats()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert len(errors) == 1 and "Store.open in each thread" in str(errors[0])


def test_an_error_in_an_inner_write_undoes_the_inner_part_only(store: Store):
    with store.write():
        store.save_steering("a", "{}")
        with pytest.raises(RuntimeError), store.write():
            store.save_steering("b", "{}")
            raise RuntimeError
    assert [s.name for s in store.steerings()] == ["a"]
    with pytest.raises(RuntimeError), store.write():
        store.save_steering("c", "{}")
        raise RuntimeError
    assert [s.name for s in store.steerings()] == ["a"]


def _add_one(path: str, times: int) -> None:
    with Store.open(path) as store:
        for _ in range(times):
            with store.write() as conn:
                n = store.value("SELECT n_labels FROM features WHERE id = 1")
                conn.execute("UPDATE features SET n_labels = ? WHERE id = 1", (n + 1,))


@pytest.mark.slow
def test_read_modify_writes_of_threads_and_processes_are_never_lost(store: Store, path: Path):
    context = forks()
    workers = [threading.Thread(target=_add_one, args=(str(path), 25)) for _ in range(4)] + [
        context.Process(target=_add_one, args=(str(path), 25)) for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert store.value("SELECT n_labels FROM features WHERE id = 1") == 150


def _create(path: str) -> None:
    Store.open(path, create=MODEL).close()


def test_many_may_create_one_store_at_once(path: Path):
    workers = [threading.Thread(target=_create, args=(str(path),)) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    with Store.open(path) as store:
        assert store.value("SELECT count(*) FROM models") == 1


def test_a_kept_lock_is_reported_not_raised_as_sqlite_error(store: Store, path: Path):
    with Store.open(path, busy_seconds=0.05) as other, store.write(), pytest.raises(StoreError, match="busy"):
        other.save_steering("a", "{}")


def test_writers_of_one_process_wait_in_turn_and_give_up_in_words(store: Store, path: Path):
    started, done = threading.Event(), threading.Event()

    def hold() -> None:
        with Store.open(path) as other, other.write():
            started.set()
            done.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    assert started.wait(30)
    try:
        with (
            Store.open(path, busy_seconds=0.05) as hasty,
            pytest.raises(StoreError, match="busy, another writer"),
        ):
            hasty.save_steering("a", "{}")
    finally:
        done.set()
        holder.join()
    with Store.open(path, busy_seconds=0.05) as after, after.write(), after.write():
        after.save_steering("a", "{}")


def test_a_full_disk_is_said_in_one_line_and_loses_nothing(store: Store, path: Path):
    labels = Labels(store, "ann")
    labels.label(3, "before")
    store.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    pages = store.value("PRAGMA page_count")
    store.conn.execute(f"PRAGMA max_page_count = {pages}")  # SQLite's own quota: a real SQLITE_FULL
    sent = []
    with pytest.raises(StoreError, match=r"the disk is full.*free some space") as refused:
        for number in range(2_000):
            labels.label(4, f"{number} " + "x" * 1_900)
            sent.append(number)
    assert str(refused.value).startswith(str(path)) and "\n" not in str(refused.value)
    with pytest.raises(StoreError, match="the disk is full"), store.write():
        labels.label(3, "outer")
        for _ in range(2_000):
            labels.label(5, "y" * 1_900)
    store.conn.execute("PRAGMA max_page_count = 1000000")
    kept = store.rows("SELECT text FROM label_events WHERE feature = 4 ORDER BY time")
    assert [int(row["text"].split()[0]) for row in kept] == sent
    assert [event.text for event in labels.current(3)] == ["before"] and labels.current(5) == []
    labels.label(5, "there is room again")
    assert store.value("PRAGMA integrity_check") == "ok"


def test_a_damaged_file_is_said_in_one_line_when_it_is_read(store: Store, path: Path):
    Labels(store, "ann").label(3, "before")
    store.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    root = store.value("SELECT rootpage FROM sqlite_master WHERE name = 'label_events'")
    size = store.value("PRAGMA page_size")
    with path.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xff" * size)
    with Store.open(path) as other, pytest.raises(StoreError, match="is damaged; put a copy of it back"):
        Labels(other, "ann").current(3)


def test_a_mistake_in_a_query_is_no_failure_of_the_disk(store: Store):
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        store.rows("SELECT * FROM nowhere")
    with pytest.raises(sqlite3.OperationalError, match="no such table"), store.write() as conn:
        conn.execute("DELETE FROM nowhere")
