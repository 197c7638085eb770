"""Testing a label on unseen texts, on the Label page."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.label import label_check
from app.label.standing_labels import score_words
from app.session.engine import Engine
from feature_db import Store
from feature_db.label.labels import Labels
from tests.app.conftest import Run
from tests.app.label.label_pages import (
    add_check_texts,
    field,
    press,
    shown,
    sign,
)


@pytest.mark.slow
def test_a_label_is_tested_on_unseen_texts_and_the_score_stands_beside_it(
    run_page: Run, queue: int, store_path: Path
) -> None:
    add_check_texts(store_path, 7)
    test = sign(run_page("label.py", feature="7"), "cy")
    field(test, "text").set_value("always").run()
    press(test, "label_test")
    boxes = test.checkbox
    assert len(boxes) == 10
    for box in boxes:
        box.check()
    press(test, "label_check_score")
    assert "**5 of 10 right**" in shown(test)
    press(test, "label_submit")
    with Store.open(store_path) as store:
        (event,) = [e for e in Labels(store, "cy").current(7) if e.annotator == "cy"]
        check = event.data["check"]
        seen = {example.text.hash for example in store.examples(7)}
        assert check["correct"] == 5 and check["said"] == [True] * 10 and sum(check["fires"]) == 5
        assert not seen & {h for h, fires in zip(check["texts"], check["fires"], strict=True) if fires}


@pytest.mark.slow
def test_no_further_test_is_offered_when_the_unseen_texts_ran_out(
    run_page: Run, queue: int, store_path: Path
) -> None:
    add_check_texts(store_path, 7)  # eight silent ones: enough for one test
    test = sign(run_page("label.py", feature="7"), "cy")
    field(test, "text").set_value("always").run()
    press(press(press(test, "label_test"), "label_check_score"), "label_check_stop")
    for _ in range(2):  # nor in a new session
        assert not [b for b in test.button if b.key == "label_test"]
        (why,) = [caption.proto.help for caption in test.caption if "No test of it" in caption.value]
        assert "in earlier tests" in why
        assert "Test 5 of 10; kept beside the label" in shown(test)
        test = sign(run_page("label.py", feature="7"), "cy")
    assert [b for b in sign(run_page("label.py", feature="7"), "dee").button if b.key == "label_test"]


@pytest.mark.slow
def test_a_second_press_of_score_loses_no_result(
    run_page: Run, queue: int, store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_check_texts(store_path, 7)
    score = label_check._score

    def twice(engine: Engine, stem: str) -> None:
        score(engine, stem)
        score(engine, stem)

    monkeypatch.setattr(label_check, "_score", twice)
    test = sign(run_page("label.py", feature="7"), "cy")
    field(test, "text").set_value("always").run()
    press(press(test, "label_test"), "label_check_score")
    assert "**5 of 10 right**" in shown(test) and not test.error


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({}, "test 2 of 2"),
        ({"attempt": 1, "attempts": [{"correct": 2, "of": 2}]}, "test 2 of 2"),
        ({"attempt": 1, "attempts": [{"correct": 2, "of": 2}, {}]}, "test 2 of 2, the first of 2 attempts"),
        (
            {"attempt": 2, "attempts": [{"correct": 0, "of": 2}, {}, {}]},
            "test 0 of 2 at first; 2 of 2 in this wording, attempt 2 of 3",
        ),
        ({"attempt": "[x](y)", "attempts": ["a", 5]}, "test 2 of 2"),
        ({"attempt": 2, "attempts": [{"correct": "[x](y)", "of": 2}, {}]}, "test 2 of 2"),
    ],
)
def test_the_first_of_several_tests_stands_in_front(extra: dict[str, object], words: str) -> None:
    check = {"said": [True, False], "fires": [True, False], **extra}
    assert score_words(check) == words


@pytest.mark.slow
def test_the_score_of_another_wording_is_not_kept(run_page: Run, queue: int, store_path: Path) -> None:
    add_check_texts(store_path, 7)
    test = sign(run_page("label.py", feature="7"), "cy")
    field(test, "text").set_value("always").run()
    press(press(test, "label_test"), "label_check_score")
    field(test, "text").set_value("never").run()
    assert "another wording" in shown(test)
    press(test, "label_submit")
    with Store.open(store_path) as store:
        (event,) = [e for e in Labels(store, "cy").current(7) if e.annotator == "cy"]
    assert "check" not in event.data
