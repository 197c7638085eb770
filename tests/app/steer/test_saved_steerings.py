"""Saved steerings: their tables, and the dialog as a whole on a tiny model with a real store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app.session.engine import FeatureNote
from app.session.steering_state import SteeringState
from app.steer.saved import composition_table, difference_table, groups_table, summary, versions_table
from feature_db import Store
from feature_db.saved_work import SteeringVersion
from sarm_core.steering import Group, Steering
from tests.app.conftest import Run
from tests.app.demo_pages import checked, submit

HOSTILE = "<img src=x onerror=alert(1)> $\\frac{1}{2}$ **b** [a](http://x) :red[c] \\"
NOTES = {1: FeatureNote("refusal wording")}


# -- tables ------------------------------------------------------------------------------------------------


def test_a_summary_counts_each_kind_of_change() -> None:
    assert summary(Steering()) == "0 features changed"
    assert summary(Steering(scale={1: 0.5, 2: 1.0})) == "1 feature scaled"
    steering = Steering(
        scale={1: 0.5, 2: 3.0}, set={2: 1.0}, offset={3: 1.0}, groups={"g": Group((4, 5), 0.0)}
    )
    assert summary(steering) == "5 features changed: 3 scaled, 1 set, 1 offset; 1 group"


@pytest.mark.slow
def test_the_difference_says_what_each_side_does_to_a_feature() -> None:
    table = difference_table(Steering(scale={1: 0.5}), Steering(scale={1: -2.0}, offset={7: 1.5}), NOTES)
    assert table.to_dict("records") == [
        {"feature": 1, "name": "refusal wording", "before": "×0.5", "after": "×−2"},
        {"feature": 7, "name": "unlabelled", "before": "unchanged", "after": "+ 1.5"},
    ]
    assert difference_table(Steering(), Steering(groups={"g": Group((1,))}), NOTES).empty
    assert groups_table(Steering(), Steering(groups={"g": Group((1,))})).to_dict("records") == [
        {"group": "g", "before": "none", "after": "×1 on #1"}
    ]


@pytest.mark.slow
def test_composing_is_shown_for_every_feature_of_the_saved_one_those_changed_twice_first() -> None:
    first, second = Steering(scale={1: 0.5, 2: 2.0, 3: 2.0}), Steering(scale={0: 0.0, 1: 2.0}, set={2: 4.0})
    table = composition_table(first, second, first.then(second), NOTES)
    assert table[["feature", "in force", "saved", "together"]].to_numpy().tolist() == [
        [1, "×0.5", "×2", "unchanged"],
        [2, "×2", "= 4", "= 4"],
        [0, "unchanged", "×0", "×0"],
    ]


@pytest.mark.slow
def test_a_version_that_cannot_be_read_is_said_in_its_row() -> None:
    rows = [
        SteeringVersion("x", 2, '{"a": 1}', HOSTILE, "", 0),
        SteeringVersion("x", 1, "{}", "", "ann", 10**15),
    ]
    table = versions_table(rows)
    assert table["changes"].tolist() == ["cannot be read", "0 features changed"]
    assert table["version"].tolist() == [2, 1]


# -- the dialog --------------------------------------------------------------------------------------------


@pytest.fixture
def page(run_page: Run, store_path: Path) -> AppTest:
    """Compare and steer, with the dialog open and nothing steered."""
    test = run_page("compare.py")
    return checked(test.button("steerings_button").click().run())


def state(test: AppTest) -> SteeringState:
    return test.session_state["steering_state"]


def steer(test: AppTest, steering: Steering) -> AppTest:
    state(test).load(steering)
    return checked(test.run())


def save(test: AppTest, name: str, note: str = "", author: str = "ann") -> AppTest:
    test.text_input("steering_name").set_value(name)
    test.text_input("steering_note").set_value(note)
    test.text_input("steering_author").set_value(author)
    return submit(test, "keep_steering", "Save")


def said(test: AppTest) -> list[str]:
    return [
        part.value.replace("\\", "") for kind in ("success", "info", "error") for part in getattr(test, kind)
    ]


def saved(path: Path, name: str) -> list[SteeringVersion]:
    with Store.open(path) as store:
        return store.steerings(name)


@pytest.mark.slow
def test_an_empty_store_says_what_to_do_first(page: AppTest) -> None:
    assert any("No steering is saved" in text for text in said(page))
    assert any("nothing to save" in text for text in said(page))
    assert not [box for box in page.text_input if box.key == "steering_name"]


@pytest.mark.slow
def test_saving_makes_versions_and_saying_the_same_again_makes_none(page: AppTest, store_path: Path) -> None:
    page = steer(page, Steering(scale={3: 0.5}))
    page = save(page, "calm", "half of it")
    assert any("Saved as version 1 of *calm*" in text for text in said(page))
    page = save(page, "calm", "again")
    assert any("Nothing new to save: version 1 of *calm*" in text for text in said(page))
    page = steer(page, Steering(set={3: 2.0}, offset={5: 1.0}))
    page = save(page, "calm", "set", author="")
    found = saved(store_path, "calm")
    assert [(v.version, v.note, v.author) for v in found] == [(2, "set", ""), (1, "half of it", "ann")]
    assert Steering.from_json(found[0].body) == state(page).current
    for name, author, words in (("  ", "ann", "needs a name"), ("x", "a\x00b", "printable")):
        page = save(page, name, author=author)
        assert any(words in text for text in said(page))
    assert len(saved(store_path, "calm")) == 2


@pytest.mark.slow
def test_the_name_typed_for_one_version_stands_there_for_the_next(page: AppTest, store_path: Path) -> None:
    page = save(steer(page, Steering(scale={3: 0.5})), "calm", author="ann")
    page.session_state["steerings_open"] = False
    page = checked(checked(page.run()).button("steerings_button").click().run())
    page = steer(page, Steering(scale={3: 0.2}))
    page.text_input("steering_name").set_value("calm")
    submit(page, "keep_steering", "Save")
    assert [version.author for version in saved(store_path, "calm")] == ["ann", "ann"]


@pytest.mark.slow
def test_an_older_version_is_compared_opened_and_undone(page: AppTest) -> None:
    first, second = Steering(scale={3: 0.5}, groups={"g": Group((7, 8), 2.0)}), Steering(scale={3: -1.0})
    for steering in (first, second):
        page = save(steer(page, steering), "calm")
    page.selectbox("steerings_version").set_value(1).run()
    table = next(
        frame.value for frame in page.dataframe if "before" in frame.value and "feature" in frame.value
    )
    assert table[["feature", "before", "after"]].to_numpy().tolist() == [
        [3, "×−1", "×0.5"],
        [7, "unchanged", "×2"],
        [8, "unchanged", "×2"],
    ]
    page.selectbox("steerings_against").set_value(2).run()
    assert checked(page)
    page.button("steerings_take").click().run()
    assert state(checked(page)).current == first
    assert not page.session_state["steerings_open"]
    assert any("Undo brings back" in text for text in said(page))
    state(page).undo()
    assert state(page).current == second


@pytest.mark.slow
def test_composing_multiplies_and_a_conflict_is_said(page: AppTest) -> None:
    page = save(steer(page, Steering(scale={3: 0.5}, set={9: 1.0})), "calm")
    page = steer(page, Steering(scale={3: 4.0, 6: 2.0}))
    page.segmented_control("steerings_show").set_value("Composed").run()
    page.button("steerings_compose").click().run()
    assert state(checked(page)).current == Steering(scale={3: 2.0, 6: 2.0}, set={9: 1.0})
    state(page).undo()
    page = steer(page, Steering(offset={9: 1.0}))
    page.button("steerings_button").click().run()
    page.segmented_control("steerings_show").set_value("Composed").run()
    assert any("cannot be composed" in text and "feature 9" in text for text in said(page))
    assert state(page).current == Steering(offset={9: 1.0})


@pytest.mark.slow
def test_a_version_with_too_many_features_is_refused_in_the_dialog(page: AppTest, store_path: Path) -> None:
    with Store.open(store_path) as store:
        store.save_steering("large", json.dumps({str(i): ["*", 2.0] for i in range(40)}))
    page = checked(page.run())
    page.button("steerings_take").click().run()
    assert any("holds 32" in text for text in said(checked(page)))
    assert page.session_state["steerings_open"] and not state(page).current


@pytest.mark.slow
def test_hostile_and_many_versions_are_listed_as_they_are(page: AppTest, store_path: Path) -> None:
    with Store.open(store_path) as store:
        for i in range(200):
            store.save_steering(
                HOSTILE * 20, json.dumps({"3": ["*", i / 100]}), note=HOSTILE, author=HOSTILE[:90]
            )
        store.save_steering("broken", '{"3": ["/", 1]}')
        store.save_steering("foreign", '{"64000": ["*", 2]}')
    page = checked(page.run())
    for name, words in ((HOSTILE * 20, ""), ("broken", "expected"), ("foreign", "does not exist")):
        page.selectbox("steerings_name").set_value(name.strip()).run()
        assert len(checked(page).error) == bool(words)
        assert all(words in error.value.replace("\\", "") for error in page.error)
        if not words:
            assert len(page.selectbox("steerings_version").options) == 200
    for part in [*page.markdown, *page.caption, *page.error, *page.success, *page.info]:
        assert "onerror" not in part.value or "\\<img" in part.value


@pytest.mark.slow
def test_a_store_that_is_no_longer_one_is_one_line_with_the_dialog_open(
    page: AppTest, store_path: Path
) -> None:
    for path in store_path.parent.glob(f"{store_path.name}*"):
        path.unlink()
    store_path.write_text("not a database, and long enough to be seen as none" * 20)
    page.run()
    assert not page.exception
    assert page.error and all("\n" not in error.value for error in page.error)
