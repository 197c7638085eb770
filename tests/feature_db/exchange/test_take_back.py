"""An import of events is undone by undo events: what stood before stands again, and no event is lost."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_db import Store, StoreError
from feature_db.__main__ import main
from feature_db.errors import PermissionRefused
from feature_db.exchange import formats
from feature_db.exchange.merge import import_events, merge_store
from feature_db.exchange.take_back import take_back
from feature_db.harvest.undo import last_undoable, undo_import
from feature_db.label.labels import Labels
from feature_db.roles import People

VIEWS = ("current_labels", "current_votes", "current_flags", "current_adjudications")


def standing(store: Store) -> Any:
    views = [sorted(tuple(row) for row in store.rows(f"SELECT uid FROM {view}")) for view in VIEWS]
    counts = [tuple(row) for row in store.rows("SELECT id, n_labels FROM features ORDER BY id")]
    found = [tuple(row) for row in store.rows("SELECT rowid, text FROM labels_fts ORDER BY rowid")]
    return views, counts, found


def uids(store: Store) -> set[str]:
    return {row[0] for row in store.rows("SELECT uid FROM label_events")}


def twin(store: Store, tmp_path: Path) -> Store:
    """A copy in which people go on by themselves."""
    path = tmp_path / "twin.db"
    with store.snapshot():
        store.conn.execute("SELECT 1")
    store.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(store.path, path)
    return Store.open(path)


def work(store: Store, acts: list[tuple[str, str, int]]) -> None:
    for who, act, feature in acts:
        labels = Labels(store, who)
        try:
            if act == "label":
                labels.label(feature, f"{who} says {len(uids(store))}", verdict=3)
            elif act == "undo":
                labels.undo()
            elif act == "skip":
                labels.skip(feature, "unclear")
            else:
                ours = store.rows("SELECT uid FROM current_labels WHERE feature = ?", (feature,))
                if ours and act == "vote":
                    labels.vote(ours[0][0], who == "bob", "why")
                elif ours:
                    labels.flag(feature, "look", ours[0][0])
        except StoreError:
            continue  # nothing to undo, or not theirs to vote on


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob"]),
        st.sampled_from(["label", "label", "undo", "skip", "vote", "flag"]),
        st.sampled_from([3, 4]),
    ),
    max_size=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=12)
@given(before=ACTS, there=ACTS)
@pytest.mark.slow
def test_what_stood_before_stands_again_or_the_undo_says_why_not(template, tmp_path_factory, before, there):
    folder = tmp_path_factory.mktemp("stores")
    shutil.copy(template, folder / "a.db")
    with Store.open(folder / "a.db") as store:
        People(store).set_role(None, "root", "admin")
        work(store, before)
        with twin(store, folder) as other:
            work(other, there)
            formats.named("events").write(other, folder / "e.jsonl")
        wanted, known = standing(store), uids(store)
        report = import_events(store, folder / "e.jsonl", "root")
        if not sum(report.new.values()) - report.new.get("draft", 0):
            return
        came = uids(store)
        try:
            _, took = take_back(store, "root")
        except StoreError as error:
            assert "took back" in str(error) and report.new.get("undo")
            assert uids(store) == came
            return
        assert standing(store) == wanted
        assert uids(store) >= came > known and len(uids(store)) == len(came) + took.counts["events"]
        # The file of both histories is one that any store takes.
        formats.named("events").write(store, folder / "again.jsonl")
        shutil.copy(template, folder / "c.db")
        with Store.open(folder / "c.db") as third:
            People(third).set_role(None, "root", "admin")
            import_events(third, folder / "again.jsonl", "root")
            assert standing(third)[0] == wanted[0]


def test_a_merge_is_taken_back_by_an_admin_once_and_not_over_what_people_did_since(store, tmp_path, capsys):
    People(store).set_role(None, "root", "admin")
    Labels(store, "ann").label(3, "lists")
    with twin(store, tmp_path) as other:
        label = Labels(other, "bob").label(4, "numbers")
    wanted = standing(store)
    merge_store(store, tmp_path / "twin.db", "root")
    with pytest.raises(PermissionRefused):
        take_back(store, "ann")
    with pytest.raises(StoreError, match="nothing to undo"):
        undo_import(store)
    Labels(store, "ann").vote(label, False, "no")
    with pytest.raises(StoreError, match=r"people went on from what came in \(1 edits"):
        take_back(store, "root")
    Labels(store, "ann").undo()
    assert main(["undo-import", str(store.path), "--as", "root"]) == 0
    assert "1 events taken back" in capsys.readouterr().out
    assert standing(store) == wanted and last_undoable(store) is None
    with pytest.raises(StoreError, match="nothing to undo"):
        take_back(store, "root")
    # It comes in again as known: nothing of it stands by that.
    assert sum(merge_store(store, tmp_path / "twin.db", "root").new.values()) == 0
    assert standing(store) == wanted
