"""Undo, back and the way on, on the Label page."""

from __future__ import annotations

from pathlib import Path

import pytest

from feature_db import FeatureFilter, Store
from feature_db.label.events import events
from feature_db.label.labels import Labels
from feature_db.label.queues import Queues
from feature_db.roles import People
from tests.app.conftest import Run
from tests.app.label.label_pages import (
    ANN,
    BO,
    CHIEF,
    choose,
    feature,
    field,
    press,
    run_again,
    shown,
    sign,
)
from tests.app.store_builder import LABELLED


@pytest.mark.slow
def test_undo_gives_the_feature_and_the_words_back(run_page: Run, queue: int, store_path: Path) -> None:
    test = sign(run_page("label.py"), "cy")
    first = feature(test)
    field(test, "text").set_value("too quick").run()
    press(test, "label_submit")
    press(test, "label_undo")
    assert feature(test) == first and field(test, "text").value == "too quick"
    with Store.open(store_path) as store:
        assert not [e for e in Labels(store, "cy").current(first) if e.annotator == "cy"]
        assert Queues(store, "cy").progress(queue).own_done == 0
    press(test, "label_submit")
    with Store.open(store_path) as store:
        assert Queues(store, "cy").progress(queue).own_done == 1


@pytest.mark.slow
def test_undo_is_lent_its_own_feature_again_and_never_another_that_is_free(
    run_page: Run, store_path: Path
) -> None:
    with Store.open(store_path) as store:
        People(store).set_role(None, CHIEF, "admin")
        queue = Queues(store, CHIEF).make("one each", FeatureFilter(ids=[7, 8, 9]), sort="id")
        his = Queues(store, BO).claim(queue)
        assert his is not None and his.feature == 9
    test = sign(run_page("label.py"), "cy")
    assert feature(test) == 8
    field(test, "text").set_value("too quick").run()
    press(test, "label_submit")
    with Store.open(store_path) as store:
        Queues(store, BO).release(his.id)  # now the first free place is of another feature
    press(test, "label_undo")
    assert feature(test) == 8 and "feature" not in test.query_params
    with Store.open(store_path) as store:
        assert Queues(store, "cy").progress(queue).leased == 1, "the feature that was at hand is given back"
        lent = [Queues(store, name).claim(queue) for name in ("dee", "eve", "fay")]
    assert [place and place.feature for place in lent] == [9, 7, None]


@pytest.mark.slow
def test_undo_opens_by_its_number_what_was_lent_to_somebody_else_and_says_so(
    run_page: Run, store_path: Path
) -> None:
    with Store.open(store_path) as store:
        People(store).set_role(None, CHIEF, "admin")
        queue = Queues(store, CHIEF).make("one each", FeatureFilter(ids=[7, 8, 9]), sort="id")
        his = Queues(store, BO).take(8)
    test = sign(run_page("label.py", feature="8"), "cy")
    field(test, "text").set_value("too quick").run()
    press(test, "label_submit")
    assert his is not None and feature(test) == 9
    press(test, "label_undo")
    assert feature(test) == 8 and field(test, "text").value == "too quick"
    assert "Taken back: your label of feature 8" in shown(test)
    assert "somebody else is labelling feature 8 now" in shown(test).replace("\\", "")
    with Store.open(store_path) as store:
        assert Queues(store, CHIEF).progress(queue).done == 0
    press(test, "label_forward")
    assert feature(test) == 9, "what was at hand is still lent"


@pytest.mark.slow
@pytest.mark.parametrize("reported", [True, False], ids=["after a pause", "on leaving the box"])
def test_undo_takes_no_unsent_word_away(run_page: Run, queue: int, store_path: Path, reported: bool) -> None:
    test = sign(run_page("label.py"), "cy")
    first = feature(test)
    field(test, "text").set_value("old").run()
    press(press(test, "label_submit"), "label_back")
    assert feature(test) == first and field(test, "text").value == "old"
    box = field(test, "text").set_value("new wording not sent")
    if reported:
        box.run()
    press(test, "label_undo")
    assert feature(test) == first and field(test, "text").value == "new wording not sent"
    assert "is still in the form" in shown(test) and "“old”" in shown(test)
    with Store.open(store_path) as store:
        draft = Labels(store, "cy").last_draft(first)
        assert draft is not None and draft["text"] == "new wording not sent"


@pytest.mark.slow
def test_undo_of_one_edit_after_another_gives_the_words_of_each(run_page: Run, queue: int) -> None:
    test = sign(run_page("label.py", feature="40"), "cy")
    for words in ("first", "second"):
        field(test, "text").set_value(words).run()
        test = press(test, "label_submit")
        test = run_again(test, feature="40")
    for words in ("second", "first"):
        press(test, "label_undo")
        assert field(test, "text").value == words and "still in the form" not in shown(test)


@pytest.mark.slow
@pytest.mark.parametrize("typed_since", ["", "begun again"])
def test_undo_of_a_skip_gives_back_what_was_typed(
    run_page: Run, queue: int, store_path: Path, typed_since: str
) -> None:
    test = sign(run_page("label.py"), "cy")
    first = feature(test)
    field(test, "note").set_value("a note").run()
    choose(test, "verdict", 2)
    press(test, "label_skip")
    field(test, "text").set_value("half a th")
    press(test, "label_reason_6")
    assert feature(test) != first
    assert "of yours, not sent yet" not in shown(test), "a skipped feature is not unfinished work"
    if typed_since:
        field(press(test, "label_back"), "text").set_value(typed_since).run()
    press(test, "label_undo")
    assert feature(test) == first and field(test, "text").value == (typed_since or "half a th")
    assert ("Taken back was: “half a th”" in shown(test)) == bool(typed_since)
    if not typed_since:
        assert field(test, "note").value == "a note" and "**2**" in shown(test)
    with Store.open(store_path) as store:
        assert Labels(store, "cy").hidden(first) == "lease"


@pytest.mark.slow
def test_what_a_skip_put_away_is_shown_to_nobody_else(run_page: Run, queue: int, store_path: Path) -> None:
    test = sign(run_page("label.py", feature=str(LABELLED)), "cy")
    field(test, "text").set_value("half a thought").run()
    press(press(test, "label_skip"), "label_reason_6")
    for page in ("feature.py", "label.py", "disagreements.py"):
        test = sign(run_page(page, feature=str(LABELLED)), ANN)
        body = shown(test) + "".join(table.value.to_string() for table in test.dataframe)
        assert ("skip" in body or page == "label.py") and "half a thought" not in body


@pytest.mark.slow
def test_undo_of_something_else_leaves_the_form_as_it_is(run_page: Run, queue: int) -> None:
    test = sign(run_page("label.py", feature="40"), "cy")
    press(press(test, "label_flag"), "label_reason_6")
    field(test, "text").set_value("half a th")
    press(test, "label_undo")
    assert feature(test) == 40 and field(test, "text").value == "half a th"


@pytest.mark.slow
def test_back_edits_what_was_labelled_and_the_queue_goes_on(
    run_page: Run, queue: int, store_path: Path
) -> None:
    test = sign(run_page("label.py"), "cy")
    first = feature(test)
    field(test, "text").set_value("first words").run()
    press(test, "label_submit")
    second = feature(test)
    press(test, "label_back")
    assert feature(test) == first and field(test, "text").value == "first words"
    field(test, "text").set_value("better words").run()
    press(test, "label_submit")
    assert feature(test) == second
    with Store.open(store_path) as store:
        own = [e for e in events(store, feature=first, annotator="cy") if e.kind in ("label", "edit")]
        assert [e.text for e in own] == ["first words", "better words"] and own[1].kind == "edit"


@pytest.mark.slow
def test_skip_then_back_then_label_counts_as_labelled(run_page: Run, queue: int, store_path: Path) -> None:
    test = sign(run_page("label.py"), "cy")
    first = feature(test)
    press(press(test, "label_skip"), "label_reason_6")
    press(test, "label_back")
    assert feature(test) == first
    field(test, "text").set_value("after all").run()
    press(test, "label_submit")
    with Store.open(store_path) as store:
        progress = Queues(store, "cy").progress(queue)
    assert (progress.own_done, progress.own_skipped) == (1, 0)
    assert "1 labelled, 0 skipped" in test.get("progress")[0].proto.text
