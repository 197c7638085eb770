"""Runs in the store: kept once, opened whole, deleted by whom they belong to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from feature_db import ModelRecord, PermissionRefused, Store, StoreError
from feature_db.roles import People
from feature_db.runs import Decided, RunRecord, Runs


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "s.db", create=ModelRecord("f" * 64, "tiny", 4)) as store:
        yield store


def record(**also: object) -> RunRecord:
    made = {
        "kind": "find", "title": "a against b", "data": "mine.jsonl", "recipe": {"source": "files"},
        "figures": {"pairs": 3, "share": None}, "result": {"sentences": ["<b>"]},
    }  # fmt: skip
    return RunRecord(**{**made, **also})  # type: ignore[arg-type]


def test_a_run_comes_back_as_it_was_kept_and_the_same_again_is_the_same(fresh: Store) -> None:
    runs = Runs(fresh)
    files = [("a.jsonl", b"\x00\xff"), ("b", b"")]
    uid = runs.keep(record(files=files, steering='{"scale": {"1": 0}}'), "Ann")
    found = runs.get(uid)
    assert (found.kind, found.author, found.figures, found.result) == (
        "find", "Ann", {"pairs": 3, "share": None}, {"sentences": ["<b>"]},
    )  # fmt: skip
    assert runs.files(uid) == files and runs.decided(uid) is None
    assert runs.keep(record(files=files, steering='{ "scale": {"1": 0} }'), "bob") == uid
    assert runs.keep(record(files=files)) != uid and runs.keep(record(files=files[:1])) != uid
    assert runs.count() == 3 == runs.count("find") and runs.count("learned") == 0
    assert [run.result for run in runs.all(limit=2)] == [{}, {}] and runs.all(offset=2)[0].uid == uid


def test_it_is_named_by_the_steering_version_that_is_the_same(fresh: Store) -> None:
    fresh.save_steering("calm", '{"scale": {"2": 0.5}}')
    version = fresh.save_steering("calm", '{"scale":{"1":0}}')
    uid = Runs(fresh).keep(record(steering='{"scale": {"1": 0}}'))
    assert Runs(fresh).get(uid).saved_as == f"calm, version {version}"
    assert Runs(fresh).get(Runs(fresh).keep(record())).saved_as == ""


def test_decisions_come_back_in_the_order_of_their_keys(fresh: Store) -> None:
    rng = np.random.default_rng(0)
    keys = rng.integers(-(2**63), 2**63 - 1, 500, dtype=np.int64)
    given = Decided(keys, np.arange(500, dtype=np.int32), *rng.random((2, 500)).astype(np.float32))
    found = Runs(fresh).decided(Runs(fresh).keep(record(decided=given)))
    assert found is not None
    order = np.argsort(keys)
    for name in ("keys", "units", "before", "after"):
        assert np.array_equal(getattr(found, name), getattr(given, name)[order])


def test_only_who_made_it_or_an_admin_deletes_it_and_its_files_go_when_no_run_needs_them(
    fresh: Store,
) -> None:
    People(fresh).become_first_admin("root")
    runs, files = Runs(fresh), [("a", b"1")]
    one, two = (
        runs.keep(record(files=files), "ann"),
        runs.keep(record(title="t", recipe={}, files=files), "ann"),
    )
    for by in ("", "bob"):
        with pytest.raises(PermissionRefused, match="a run of ann"):
            runs.delete(one, by)
    runs.delete(one, "ANN")
    assert runs.files(two) == files
    runs.delete(two, "root")
    assert fresh.value("SELECT count(*) FROM run_contents") == 0
    with pytest.raises(StoreError, match="deleted, or is another store's"):
        runs.get(one)
    with pytest.raises(StoreError, match="no kind of run"):
        runs.keep(record(kind="party"))
