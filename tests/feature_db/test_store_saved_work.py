"""Lists, steering versions and sessions."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from feature_db import PermissionRefused, Store, StoreError
from feature_db.roles import People


def test_bookmarks_belong_to_their_owner_and_go_when_taken_off(store: Store):
    for feature in (3, 1, 2):
        store.bookmark(feature, "ann")
    store.bookmark(9, "bob")
    store.bookmark(1, "ann", on=False)
    store.bookmark(3, "ann")
    assert store.bookmarks("ann") == [3, 2] and store.bookmarks("bob") == [9]
    assert [(found.name, found.size) for found in store.lists("ann")] == [("Bookmarks", 2)]


def test_a_deleted_list_takes_its_items_and_no_feature_with_it(store: Store):
    mine = store.make_list("mine")
    store.add_to_list(mine, 4, "why", by="")
    assert store.list_items(mine) == [(4, "why")]
    store.delete_list(mine, "")
    assert store.lists() == [] and store.value("SELECT count(*) FROM list_items") == 0
    assert store.feature(4).record.id == 4
    with pytest.raises(StoreError, match="no list"):
        store.add_to_list(mine, 4, by="")


def test_only_its_owner_or_an_admin_changes_a_list(store: Store):
    People(store).become_first_admin("root")
    People(store).set_role("root", "judge", "adjudicator")
    anns, nobodys = store.make_list("safety", "ann"), store.make_list("safety")
    store.add_to_list(anns, 4, by="ann")
    changes = (
        lambda number, by: store.add_to_list(number, 5, by=by),
        lambda number, by: store.remove_from_list(number, 4, by=by),
        lambda number, by: store.rename_list(number, "harm", by),
        lambda number, by: store.delete_list(number, by),
    )
    for number, others in ((anns, ("", "bob", "judge", "anna", "*")), (nobodys, ("ann", "judge"))):
        for by in others:
            assert not store.may_change_list(number, by)
            for change in changes:
                with pytest.raises(PermissionRefused, match="or an admin change it"):
                    change(number, by)
    assert store.list_items(anns) == [(4, "")] and [found.name for found in store.lists()] == ["safety"] * 2
    for number, by in ((anns, "ann"), (store.make_list("other", "ann"), "root"), (nobodys, "")):
        assert store.may_change_list(number, by)
        for change in changes:
            change(number, by)
    assert store.lists() == []
    with pytest.raises(StoreError, match="no list"):
        store.delete_list(anns, "root")


def test_a_list_is_renamed_but_never_over_another_or_into_bookmarks(store: Store):
    first, _ = store.make_list("first", "ann"), store.make_list("second", "ann")
    store.make_list("third", "bob")
    store.rename_list(first, " third ", "ann")
    assert [found.name for found in store.lists("ann")] == ["second", "third"]
    store.bookmark(3, "ann")
    bookmarks = store.make_list("Bookmarks", "ann")
    for number, name in (
        (first, "second"),
        (first, "Bookmarks"),
        (first, " "),
        (first, "x" * 101),
        (bookmarks, "b"),
    ):
        with pytest.raises(StoreError, match="name"):
            store.rename_list(number, name, "ann")
    assert store.bookmarks("ann") == [3]


def test_saving_a_steering_again_keeps_every_version(store: Store):
    bodies = [json.dumps({"7": ["*", factor]}) for factor in (0.5, 2.0, -1.0)]
    assert [store.save_steering("calm", body, author="ann") for body in bodies] == [1, 2, 3]
    assert store.save_steering("other", "{}") == 1
    assert store.steering("calm").body == bodies[2]
    assert store.steering("calm", 1).body == bodies[0]
    assert [s.version for s in store.steerings("calm")] == [3, 2, 1]
    assert [(s.name, s.version) for s in store.steerings()] == [("calm", 3), ("other", 1)]
    for name, version in (("calm", 4), ("none", None)):
        with pytest.raises(StoreError, match="no saved steering"):
            store.steering(name, version)
    with pytest.raises(StoreError, match="not valid JSON"):
        store.save_steering("calm", "{")


def test_keeping_the_same_steering_again_makes_no_version_however_it_is_written(store: Store):
    assert store.keep_steering("calm", '{"7": ["*", 0.5], "9": ["=", 1]}', note="first") == (1, True)
    assert store.keep_steering(" calm ", '{ "9": ["=", 1.0],\n"7": ["*", 5e-1]}', note="again") == (1, False)
    assert store.keep_steering("calm", '{"7": ["*", 0.25]}') == (2, True)
    assert store.keep_steering("calm", '{"7": ["*", 0.5], "9": ["=", 1]}') == (3, True), (
        "going back is a version"
    )
    assert store.keep_steering("other", '{"7": ["*", 0.25]}') == (1, True)
    assert [s.note for s in store.steerings("calm")] == ["", "", "first"]
    for name, body in (("", "{}"), ("calm", "{")):
        with pytest.raises(StoreError):
            store.keep_steering(name, body)


def test_the_same_steering_kept_by_several_at_once_is_one_version(store: Store, path: Path):
    def keep() -> None:
        with Store.open(path) as own:
            for _ in range(5):
                own.keep_steering("calm", '{"7": ["*", 0.5]}')

    threads = [threading.Thread(target=keep) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [s.version for s in store.steerings("calm")] == [1]


def test_versions_saved_at_once_get_different_numbers(store: Store, path: Path):
    def save() -> None:
        with Store.open(path) as own:
            for _ in range(10):
                own.save_steering("calm", "{}")

    threads = [threading.Thread(target=save) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [s.version for s in store.steerings("calm")] == list(range(40, 0, -1))


def test_a_session_is_reopened_by_its_id_only(store: Store):
    body = {"answers": ["a <b>", "ü"], "scale": {"7": 0.5}}
    session = store.save_session(body)
    assert store.open_session(session) == body
    assert session.isalnum() and len(session) == 10
    for unknown in ("", "' OR 1=1 --", session[:-1], "\ud800"):
        with pytest.raises(StoreError, match="not in this store"):
            store.open_session(unknown)
    with pytest.raises(StoreError, match="too large"):
        store.save_session({"text": "x" * 6_000_000})


def test_a_session_of_another_store_opens_under_its_own_id_and_replaces_none(store: Store):
    body, session = {"prompt": []}, "23456789ab"
    assert store.restore_session(session, body) and store.restore_session(session, body)
    assert store.open_session(session) == body
    assert not store.restore_session(session, {"prompt": ["another"]})
    for no_id in ("", "short", "0" * 10, "23456789a\n", "' OR 1=1 -"):
        assert not store.restore_session(no_id, body)
    assert store.value("SELECT count(*) FROM sessions") == 1 and store.open_session(session) == body


def test_a_choice_is_the_persons_in_any_case_and_the_last_one_counts(store: Store):
    assert store.choice("ann", "evidence") is None
    store.choose("Ann", "evidence", "chat")
    store.choose("ANN", "evidence", "long")
    assert store.choice("ann", "evidence") == "long" and store.choice("ann", "other") is None
    with pytest.raises(PermissionRefused, match="give a name"):
        store.choose("", "evidence", "chat")
    People(store).set_role(None, "root", "admin")
    People(store).set_role("root", "reed", "reader")
    with pytest.raises(PermissionRefused, match="reader"):
        store.choose("reed", "evidence", "chat")
    assert store.choice("reed", "evidence") is None
