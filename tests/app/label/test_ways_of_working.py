"""What a queue requires, how far it is, and the ways of working beside the form."""

from __future__ import annotations

from pathlib import Path

import pytest

from feature_db import FeatureFilter, Store, SuggestionRecord
from feature_db.label.labels import Labels
from feature_db.label.queues import Queues
from feature_db.label.trials import Trials
from feature_db.roles import People
from tests.app.conftest import Run
from tests.app.label.label_pages import CHIEF, choose, feature, field, press, shown, sign


@pytest.mark.slow
def test_what_the_queue_requires_is_said_and_asked_for(run_page: Run, store_path: Path) -> None:
    with Store.open(store_path) as store:
        People(store).set_role(None, CHIEF, "admin")
    test = sign(run_page("label.py"), CHIEF)
    assert test.selectbox(key="queue_kind").value == "What can be named"
    press(test, "queue_make")
    with Store.open(store_path) as store:
        (queue,) = Queues(store, CHIEF).queues()
        assert queue.required == ("verdict",) and queue.made_from["sort"] == "nameable"
        assert all(
            0.001 <= d <= 0.05 for d in store.densities_of([int(i) for i in items(store, queue.id)]).values()
        )
    test = sign(run_page("label.py"), "cy")
    at = feature(test)
    assert "required" in field(test, "verdict").label and "required" not in field(test, "category").label
    field(test, "text").set_value("says sorry").run()
    press(test, "label_submit")
    assert feature(test) == at and "This queue asks for more: verdict." in shown(test)
    choose(test, "verdict", 4)
    press(test, "label_submit")
    assert feature(test) != at and "asks for more" not in shown(test)


def items(store: Store, queue: int) -> list[int]:
    return [row[0] for row in store.rows("SELECT feature FROM queue_items WHERE queue = ?", (queue,))]


@pytest.mark.slow
def test_a_queue_is_listed_by_state_and_the_lead_sees_everybody(
    run_page: Run, queue: int, store_path: Path
) -> None:
    with Store.open(store_path) as store:
        cy = Queues(store, "cy")
        place = cy.claim(queue)
        assert place is not None
        cy.submit(place.id, "one in")
        skipped = cy.claim(queue)
        assert skipped is not None
        cy.skip(skipped.id, "unclear")
    test = press(sign(run_page("label.py"), "cy"), "label_my_work")
    states = next(group for group in test.button_group if group.key == "queue_state")
    assert [option.content for option in states.proto.options] == [
        "Pending (2)",
        "Draft (0)",
        "Skipped (1)",
        "Done (1)",
    ]
    assert not [table for table in test.dataframe if "labels per hour" in table.value]
    test = press(sign(run_page("label.py"), CHIEF), "label_my_work")
    (table,) = [table.value for table in test.dataframe if "labels per hour" in table.value]
    (row,) = table[table["who"] == "cy"].to_dict("records")
    assert (row["done"], row["skipped"], row["left"], row["labels per hour"]) == (1, 1, 2, "too few to say")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["names", "odd one out"])
def test_questions_follow_each_other_and_the_score_is_said_in_words(
    run_page: Run, store_path: Path, kind: str
) -> None:
    with Store.open(store_path) as store:
        store.replace_suggestions("pairs", [SuggestionRecord(i, "pairs", f"name {i}") for i in range(6, 40)])
    test = sign(run_page("label.py", way=kind), "cy")
    assert "none answered yet" in shown(test)
    asked = []
    for _ in range(3):
        with Store.open(store_path) as store:
            trial = Trials(store, "cy").next(kind)
        assert trial is not None
        press(test, f"trial_{trial.feature}_{trial.answer}")
        assert "**Right**" in shown(test)
        asked.append(trial.feature)
    assert len(set(asked)) == 3 and "3 of 3 right (100%, 95 % interval 44% to 100%)" in shown(test)
    told = "not yet told from guessing" if kind == "names" else "found more often than by guessing"
    assert told in shown(test), "44 % is above the 20 % of five, not above the 50 % of two"


@pytest.mark.slow
def test_many_names_are_accepted_marked_and_taken_back(run_page: Run, store_path: Path) -> None:
    holds = {"auc": 0.8, "low": 0.7, "high": 0.9, "pairs": 50}
    with Store.open(store_path) as store:
        store.replace_suggestions("pairs", [SuggestionRecord(i, "pairs", f"name {i}", holds) for i in (7, 8)])
    test = sign(run_page("label.py", way="accept"), "cy")
    assert "**2 of 2 names that hold**" in shown(test)
    press(test, "accept_go")
    with Store.open(store_path) as store:
        (event,) = Labels(store, "cy").current(8)
        assert event.text == "name 8" and store.titles([8])[8].text == "name 8"
    assert "accepted with others by pairs" in shown(sign(run_page("feature.py", feature="8"), "cy"))
    (undo,) = [button.key for button in test.button if str(button.key).startswith("accept_undo_")]
    press(test, undo)
    assert "2 names taken back" in shown(test)
    with Store.open(store_path) as store:
        assert Labels(store, "cy").current(7) == Labels(store, "cy").current(8) == []
        assert store.features_page(filters=FeatureFilter(ids=[8])).rows[0].n_labels == 0
