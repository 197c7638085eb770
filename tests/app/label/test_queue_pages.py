"""Queues on the Label page: made, closed, and what a link takes from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from feature_db import Store
from feature_db.label.labels import Labels
from feature_db.label.queues import Queues
from feature_db.roles import People
from tests.app.conftest import Run
from tests.app.label.label_pages import (
    ANN,
    CHIEF,
    QUEUED,
    feature,
    field,
    press,
    run_again,
    shown,
    sign,
)


@pytest.mark.slow
def test_a_link_to_one_feature_lends_it_from_its_queue(run_page: Run, queue: int, store_path: Path) -> None:
    test = sign(run_page("label.py", take="8"), "cy")
    assert feature(test) == 8 and "take" not in test.query_params
    with Store.open(store_path) as store:
        assert Queues(store, "cy").progress(queue).leased == 1
    field(test, "text").set_value("from a link").run()
    press(test, "label_submit")
    with Store.open(store_path) as store:
        assert Queues(store, "cy").progress(queue).own_done == 1
    # No queue has this one: it is opened by its number.
    assert feature(run_again(test, take="20")) == 20
    assert "a feature is a number" in shown(run_again(test, take="x"))


@pytest.mark.slow
def test_a_queue_is_closed_and_opened_again_by_who_may(run_page: Run, queue: int, store_path: Path) -> None:
    test = sign(run_page("label.py", queue="9" * 5_000), ANN)
    assert not [button for button in test.button if button.key == "queue_switch"]
    assert test.selectbox(key="label_queue").value == queue
    test = press(sign(run_page("label.py"), CHIEF), "queue_switch")
    assert "The queue is closed." in shown(test) and "No queue yet" in test.header[0].value
    with Store.open(store_path) as store:
        assert Labels(store, ANN).hidden(7) is None
    press(test, "queue_switch")
    assert feature(test) in QUEUED
    with Store.open(store_path) as store:
        assert Labels(store, "cy").hidden(7) == "queue"


@pytest.mark.slow
def test_lists_of_one_name_are_told_apart_by_their_owners(
    run_page: Run, queue: int, store_path: Path
) -> None:
    with Store.open(store_path) as store:
        for owner in (ANN, CHIEF, ""):
            store.bookmark(7, owner)
    test = sign(run_page("label.py"), CHIEF)
    test.selectbox(key="queue_kind").select("A named list").run()
    assert set(test.selectbox(key="queue_list").options) == {
        "Bookmarks (1)",
        "Bookmarks of ann (1)",
        "Bookmarks of no name (1)",
    }


@pytest.mark.slow
def test_a_queue_of_all_features_has_those_without_counts_and_no_dead_ones(
    run_page: Run, store_path: Path
) -> None:
    with Store.open(store_path) as store:
        People(store).set_role(None, CHIEF, "admin")
        with store.write() as conn:
            conn.execute("UPDATE features SET firing_count = NULL, denominator = NULL")
        n_features = store.features_page(limit=0).total
        dead = store.value("SELECT count(*) FROM features WHERE density = 0")
    test = sign(run_page("label.py"), CHIEF)
    test.selectbox(key="queue_kind").select("All features that fire").run()
    press(test, "queue_make")
    with Store.open(store_path) as store:
        (queue,) = Queues(store, CHIEF).queues()
        assert dead and 0 < queue.size == n_features - dead
    assert not test.error


@pytest.mark.slow
def test_a_queue_without_a_name_is_called_what_is_in_it(run_page: Run, store_path: Path) -> None:
    with Store.open(store_path) as store:
        People(store).set_role(None, CHIEF, "admin")
    test = sign(run_page("label.py"), CHIEF)
    press(test, "queue_make")
    with Store.open(store_path) as store:
        assert [queue.name for queue in Queues(store, CHIEF).queues()] == [
            test.selectbox(key="queue_kind").value
        ]
    assert not test.error
