"""The Label and Disagreements pages, run as scripts on a real model and a real store."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app.label import label_check
from app.label.standing_labels import score_words
from app.session.engine import Choice, Engine
from feature_db import FeatureFilter, ModelRecord, Store, SuggestionRecord
from feature_db.label.events import events
from feature_db.label.labels import CheckScore, Labels
from feature_db.label.queues import Queues
from feature_db.records import LABEL_METHOD
from feature_db.roles import People
from tests.app.conftest import MAIN, Run
from tests.app.store_builder import LABELLED
from tests.sarm_core.tiny_models import chatml, reference_checkpoint

ANN, BO, CHIEF = "ann", "bo", "chief"
QUEUED = [LABELLED, 7, 8, 9]


@pytest.fixture
def queue(store_path: Path) -> int:
    with Store.open(store_path) as store:
        People(store).set_role(None, CHIEF, "admin")
        return Queues(store, CHIEF).make("first", FeatureFilter(ids=QUEUED), sort="id", overlap=2)


def sign(test: AppTest, name: str) -> AppTest:
    test.text_input(key="person").set_value(name).run()
    assert not test.exception, test.exception[0].value
    return test


def feature(test: AppTest) -> int:
    return int(test.header[0].value.split()[1])


def field(test: AppTest, name: str) -> object:
    kinds = (test.text_area, test.text_input, test.button_group)
    return next(w for kind in kinds for w in kind if w.key and w.key.endswith(f"_{name}"))


def press(test: AppTest, key: str) -> AppTest:
    test.button(key=key).click().run()
    assert not test.exception, test.exception[0].value
    return test


def shown(test: AppTest) -> str:
    kinds = ("markdown", "caption", "warning", "error", "info", "success")
    body = "\n".join(str(element.value) for kind in kinds for element in test.get(kind))
    return body + "".join(element.proto.body for element in test.get("html"))


def test_without_a_name_nothing_is_asked_and_it_says_what_a_name_proves(run_page: Run, queue: int) -> None:
    test = run_page("label.py")
    assert not test.text_area and "no proof of identity" in shown(test)


@pytest.mark.slow
def test_an_empty_box_on_the_page_takes_no_name_away(run_page: Run, queue: int) -> None:
    # The browser may report the empty box after the sidebar's name made it leave the page.
    test = run_page("label.py")
    test.text_input(key="person_here").set_value(" ")
    assert feature(sign(test, "cy")) and "Role: annotator" in shown(test)
    test = run_page("label.py")
    test.text_input(key="person_here").set_value(" cy ").run()
    assert feature(test) and test.text_input(key="person").value == "cy"


@pytest.mark.slow
def test_a_label_goes_in_with_all_its_fields_and_the_next_feature_comes(
    run_page: Run, queue: int, store_path: Path
) -> None:
    test = sign(run_page("label.py"), "cy")
    first = feature(test)
    field(test, "text").set_value("says sorry").run()
    press(test, "label_verdict_4")
    field(test, "category").set_value("style").run()
    field(test, "note").set_value("bands agree").run()
    press(test, "label_submit")
    assert feature(test) != first and field(test, "text").value == ""
    with Store.open(store_path) as store:
        (event,) = [e for e in Labels(store, "cy").current(first) if e.annotator == "cy"]
        assert (event.text, event.verdict, event.category, event.note) == (
            "says sorry",
            4,
            "style",
            "bands agree",
        )
        assert Queues(store, "cy").progress(queue).own_done == 1


@pytest.mark.slow
def test_two_people_get_the_same_feature_only_as_often_as_overlap_says(
    run_page: Run, queue: int, store_path: Path
) -> None:
    # Overlap is 2: the third person must be offered something else.
    firsts = [feature(sign(run_page("label.py"), name)) for name in ("cy", "dee", "eve")]
    assert firsts[0] == firsts[1] != firsts[2]


@pytest.mark.slow
def test_others_labels_appear_after_ones_own_and_not_before(run_page: Run, queue: int) -> None:
    test = sign(run_page("label.py", feature=str(LABELLED)), "cy")
    assert "refusal wording" not in shown(test) and "apologies" not in shown(test)
    assert "suggested" in shown(test) and "sorry, professional; refusal" in shown(test)
    field(test, "text").set_value("my own").run()
    press(test, "label_submit")
    assert "refusal wording" in shown(test) and "apologies" in shown(test)


@pytest.mark.slow
def test_a_suggestion_is_taken_over_edited_and_told_from_an_opinion_of_ones_own(
    run_page: Run, queue: int, store_path: Path
) -> None:
    suggested = "Python, sorted; has code"
    for name, added, changed in (("cy", "", False), ("dee", " in answers", True)):
        test = press(sign(run_page("label.py", feature="7"), name), "label_use_0")
        assert field(test, "text").value == suggested
        # What was taken over is a draft at once, with where it came from.
        test = sign(run_page("label.py", feature="7"), name)
        field(test, "text").set_value(suggested + added).run()
        press(test, "label_submit")
        with Store.open(store_path) as store:
            (event,) = [e for e in Labels(store, name).current(7) if e.annotator == name]
        assert event.text == suggested + added
        assert event.data["from_suggestion"] == {"method": "log-odds", "text": suggested, "changed": changed}
    assert "a suggestion, taken as it is" in shown(test) and "a suggestion, reworded" in shown(test)
    test = sign(run_page("label.py", feature="7"), "eve")
    field(test, "text").set_value(suggested).run()
    press(test, "label_submit")
    with Store.open(store_path) as store:
        (event,) = [e for e in Labels(store, "eve").current(7) if e.annotator == "eve"]
    assert "from_suggestion" not in event.data


@pytest.mark.slow
def test_taking_a_suggestion_over_loses_no_typed_word(run_page: Run, queue: int) -> None:
    test = sign(run_page("label.py", feature="7"), "cy")
    field(test, "text").set_value("my own words").run()
    press(test, "label_use_0")
    assert field(test, "text").value == "my own words; Python, sorted; has code"


@pytest.mark.slow
def test_a_draft_is_there_again_in_another_session_and_for_nobody_else(run_page: Run, queue: int) -> None:
    test = sign(run_page("label.py"), "cy")
    at = feature(test)
    field(test, "text").set_value("half a th").run()
    press(test, "label_verdict_2")
    again = sign(run_page("label.py"), "cy")
    assert feature(again) == at and field(again, "text").value == "half a th"
    assert "**2**" in shown(again) and "draft is back" in shown(again)
    assert field(sign(run_page("label.py", feature=str(at)), "dee"), "text").value == ""


@pytest.mark.slow
def test_drafts_left_behind_are_offered_back_and_ones_own_labels_are_listed(
    run_page: Run, queue: int, store_path: Path
) -> None:
    with Store.open(store_path) as store:
        ann = Queues(store, "cy")
        for at in (8, 9):
            ann.labels.draft(at, {"text": f"half of {at}", "verdict": None})
        ann.labels.draft(7, {"text": "", "verdict": None})  # typed and taken out again: nothing to offer
        ann.labels.label(11, "done before")
    test = sign(run_page("label.py", feature="12"), "cy")
    assert "2 drafts of yours" in shown(test)
    links = {link.proto.query_string: link.proto.label for link in test.get("page_link")}
    assert links["take=8"] == "\\#8" and links["take=9"] == "\\#9" and "take=7" not in links
    assert feature(run_again(test, take="8")) == 8 and field(test, "text").value == "half of 8"
    assert "1 draft of yours" in shown(test), "the one at hand is not offered as well"
    press(test, "label_my_work")
    assert any("half of 9" in link.proto.label for link in test.get("page_link"))
    assert any(
        "done before" in table.value["text"].tolist() for table in test.dataframe if "text" in table.value
    )
    assert "drafts of yours" not in shown(sign(run_page("label.py", feature="12"), "dee"))


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
    press(test, "label_verdict_2")
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
def test_a_skip_keeps_its_reason_and_a_flag_stays_on_the_feature(
    run_page: Run, queue: int, store_path: Path
) -> None:
    test = sign(run_page("label.py"), "cy")
    first = feature(test)
    press(press(test, "label_flag"), "label_reason_6")
    assert feature(test) == first
    press(press(test, "label_skip"), "label_reason_7")
    assert feature(test) != first
    with Store.open(store_path) as store:
        kinds = {e.kind: e.note for e in events(store, feature=first, annotator="cy")}
    assert kinds == {"flag": "Two features in one", "skip": "Too few texts"}


def test_an_empty_label_is_refused_in_words(run_page: Run, queue: int, store_path: Path) -> None:
    test = sign(run_page("label.py"), "cy")
    first = feature(test)
    press(test, "label_submit")
    assert feature(test) == first and "Write what the feature means first" in shown(test)


def test_a_reader_reads(run_page: Run, queue: int, store_path: Path) -> None:
    with Store.open(store_path) as store:
        People(store).set_role(CHIEF, "rae", "reader")
    test = sign(run_page("label.py"), "rae")
    assert not test.text_area and "is a reader here" in shown(test)


def add_check_texts(path: Path, of: int) -> None:
    """Six more silent texts of the checking part, so that a test of a label is possible."""
    with Store.open(path) as store, store.write() as conn:
        used = {row[0] for row in store.rows("SELECT text FROM examples WHERE feature = ?", (of,))}
        free = [row[0] for row in store.rows("SELECT id FROM texts ORDER BY id") if row[0] not in used][:6]
        conn.executemany(
            "INSERT INTO examples (feature, text, kind, rank, purpose, activation) "
            "VALUES (?, ?, 'silent', ?, 'check', 0.0)",
            [(of, text, 100 + place) for place, text in enumerate(free)],
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
        assert "No test" in shown(test) and "in earlier tests" in shown(test)
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


@pytest.mark.slow
def test_drafts_of_a_strange_file_do_not_break_the_form(run_page: Run, queue: int, store_path: Path) -> None:
    odd = {
        "text": 5,
        "category": ["x"],
        "verdict": "high",
        "confidence": {},
        "note": None,
        "evidence": [["a"], 2],
    }
    with Store.open(store_path) as store:
        Labels(store, "cy").draft(7, odd)
    test = sign(run_page("label.py", feature="7"), "cy")
    assert field(test, "text").value == ""


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


def run_again(test: AppTest, **query: str) -> AppTest:
    test.query_params.clear()
    for name, value in query.items():
        test.query_params[name] = value
    test.run()
    assert not test.exception, test.exception[0].value
    return test


@pytest.mark.slow
def test_another_model_in_the_same_session_starts_afresh(
    run_page: Run, queue: int, store_path: Path, tmp_path: Path
) -> None:
    small = reference_checkpoint(tmp_path / "small", n_features=32, k=6, tokenizer=chatml())
    test = sign(run_page("label.py", feature="40"), "cy")
    field(test, "text").set_value("of the large one").run()
    press(test, "label_submit")
    assert "yours is in" in shown(test)
    test.session_state["choice"] = Choice(str(small))
    run_again(test, feature="40")  # what the address asks for, the small one has not
    assert "there is no feature 40" in shown(test).replace("\\", "") and "yours is in" not in shown(test)
    run_again(test)
    assert not test.error and "There is no queue yet" in shown(test)


# -- the feature's page ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_page_of_a_feature_is_blind_until_ones_own_is_in(
    run_page: Run, queue: int, store_path: Path
) -> None:
    for name in ("", "cy"):
        test = run_page("feature.py", feature=str(LABELLED))
        if name:
            sign(test, name)
        assert "refusal wording" not in shown(test) and "apologies" not in shown(test)
        assert "hidden until yours is in" in shown(test) and "sorry, professional; refusal" in shown(test)
        assert not [part for part in test.expander if "Try a text" not in part.label] and not test.dataframe
        assert any("take" in link.proto.query_string for link in test.get("page_link"))
    with Store.open(store_path) as store:
        Labels(store, "cy").label(LABELLED, "mine")
    test.run()
    assert "refusal wording" in shown(test) and "hidden until" not in shown(test)


@pytest.mark.slow
def test_a_label_of_another_store_is_not_read_before_ones_own_is_in(
    run_page: Run, queue: int, store_path: Path
) -> None:
    with Store.open(store_path) as store:
        store.add_suggestions([SuggestionRecord(7, LABEL_METHOD, "said elsewhere")])
    test = sign(run_page("feature.py", feature="7"), "cy")
    assert "said elsewhere" not in shown(test) and "hidden until yours is in" in shown(test)
    test = sign(run_page("label.py", take="7"), "cy")
    assert feature(test) == 7 and "said elsewhere" not in shown(test)
    for by in ("meaning", "words"):
        test = sign(run_page("features.py", f_by=by, f_words="said elsewhere"), "cy")
        assert not test.dataframe or "said elsewhere" not in test.dataframe[0].value.to_csv()
    with Store.open(store_path) as store:
        Labels(store, "cy").label(7, "mine")
    test = sign(run_page("feature.py", feature="7"), "cy")
    assert "said elsewhere" in shown(test)


@pytest.mark.slow
def test_neighbours_are_not_called_by_labels_that_are_hidden(
    run_page: Run, queue: int, store_path: Path
) -> None:
    def neighbours() -> str:
        return " ".join(link.proto.label for link in test.get("page_link"))

    test = sign(run_page("feature.py", feature=str(LABELLED - 2)), "cy")
    assert "disputed" not in neighbours() and "professional" in neighbours()
    assert "disputed" in " ".join(link.proto.label for link in sign(test, BO).get("page_link"))


def test_names_in_charts_follow_the_same_rule(
    app_env: None, queue: int, store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.session.engine import default_choice, load_engine

    engine = load_engine(default_choice())
    for who, mark in (
        ("cy", "suggested"),
        ("", "suggested"),
        (ANN, "suggested, disputed"),
        (CHIEF, "suggested, disputed"),
    ):
        monkeypatch.setattr("app.session.engine.whoever", lambda who=who: who)
        note = engine.notes([LABELLED, 9])[LABELLED]
        assert (note.name, note.mark) == ("sorry, professional; refusal", mark), "a dispute is an opinion too"


@pytest.mark.slow
def test_labels_stand_on_the_page_with_votes_test_and_history(run_page: Run, store_path: Path) -> None:
    with Store.open(store_path) as store:
        ann, bo = Labels(store, ANN), Labels(store, BO)
        said = [True, False, True, True]
        uid = ann.label(LABELLED, "refusal, politely", check=CheckScore(list("abcd"), said, [True] * 4))
        bo.vote(uid, False, "too wide")
        bo.skip(LABELLED, "first thought")
        bo.undo()
    test = sign(run_page("feature.py", feature=str(LABELLED)), "cy")
    assert "“refusal, politely”" in shown(test) and "test 3 of 4" in shown(test)
    assert "bo disagrees: too wide" in shown(test)
    history = next(table.value for table in test.dataframe if "who" in table.value)
    assert history["what"].tolist() == ["label", "label", "edit", "vote against", "skip", "undo of skip"]
    assert history["text"].tolist()[2:4] == ["refusal, politely"] * 2 and history["test"][2] == "3 of 4"
    assert history["reason or note"][3] == "too wide"
    (box,) = [w for w in test.text_input if w.key and w.key.startswith(f"vote_reason_page_{uid}")]
    box.set_value("holds")
    press(test, f"vote_Agree_page_{uid}")
    assert "cy agrees: holds" in shown(test)


@pytest.mark.slow
def test_label_it_leads_to_the_form_with_the_feature_lent(
    run_page: Run, queue: int, store_path: Path
) -> None:
    test = press(sign(run_page("feature.py", feature="9"), "cy"), "label_it")
    assert test.title[0].value == "Label" and feature(test) == 9
    with Store.open(store_path) as store:
        assert Queues(store, "cy").progress(queue).leased == 1
        Queues(store, "dee").take(9)
    other = press(sign(run_page("feature.py", feature="9"), "eve"), "label_it")
    assert "somebody else is labelling feature 9" in shown(other).replace("\\", "") and feature(other) != 9


@pytest.mark.slow
def test_a_reader_is_not_asked_to_label(run_page: Run, queue: int, store_path: Path) -> None:
    with Store.open(store_path) as store:
        People(store).set_role(CHIEF, "rae", "reader")
    test = sign(run_page("feature.py", feature=str(LABELLED)), "rae")
    assert "refusal wording" in shown(test)
    assert not [b for b in test.button if b.key and (b.key == "label_it" or b.key.startswith("vote_"))]


# -- who is at the keyboard --------------------------------------------------------------------------------

PAGES_WITH_A_PERSON = ("label.py", "disagreements.py", "feature.py", "features.py")


def signed_in(page: str, **user: object) -> AppTest:
    test = AppTest.from_file(str(MAIN), default_timeout=60)
    test.switch_page(f"app_pages/{page}")
    test.user = dict(user)
    test.run()
    assert not test.exception, test.exception[0].value
    return test


def signing(test: AppTest) -> list[str]:
    """The buttons to sign in or out."""
    return [str(b.key) for b in test.sidebar.button if str(b.key).startswith("sign_")]


@pytest.mark.parametrize("page", PAGES_WITH_A_PERSON)
def test_who_signs_in_is_the_same_on_every_page_and_no_name_can_be_typed(
    app_env: None, queue: int, page: str
) -> None:
    test = signed_in(page, is_logged_in=True, email="cy@example.org", email_verified=True, name=CHIEF)
    assert not [w for w in test.text_input if w.key == "person"]
    assert "Signed in as **cy" in "".join(c.value for c in test.sidebar.caption)
    assert signing(test) == ["sign_out"]
    test = signed_in(page, is_logged_in=False)
    assert not [w for w in test.text_input if w.key == "person"]
    assert signing(test) == ["sign_in"]


HERE, THERE = "https://login.example.org/realm", "https://other.example.net"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("user", "name"),
    [
        ({"email": "cy@example.org", "email_verified": True, "name": CHIEF}, "cy@example.org"),
        ({"email": "cy@example.org", "iss": HERE, "sub": "77"}, "77 (login.example.org)"),
        (
            {"email": "cy@example.org", "email_verified": False, "iss": THERE, "sub": "77"},
            "77 (other.example.net)",
        ),
        # Neither a word for true nor an address with somebody's subject in it will do.
        (
            {"email": "cy@example.org", "email_verified": "true", "iss": HERE, "sub": "77"},
            "77 (login.example.org)",
        ),
        (
            {"email": "77 (login.example.org)", "email_verified": True, "iss": THERE, "sub": "5"},
            "5 (other.example.net)",
        ),
        ({"email": "a\nb@c", "email_verified": True, "preferred_username": "cy"}, ""),
        ({"preferred_username": CHIEF, "name": CHIEF}, ""),
        ({"sub": "77"}, ""),
        ({"sub": "x" * 100, "iss": HERE}, ""),
        ({"sub": "77", "iss": "https://[not/an/address"}, ""),
    ],
)
def test_a_name_is_what_the_provider_vouches_for(
    app_env: None, queue: int, user: dict[str, object], name: str
) -> None:
    test = signed_in("label.py", is_logged_in=True, **user)
    assert bool(test.text_area) == bool(name)
    if name:
        assert f"Signed in as **{name}**" == test.sidebar.caption[0].value.replace("\\", "")
    else:
        assert "without a usable name" in test.sidebar.error[0].value


@pytest.mark.parametrize("verified", [False, None, "false", "true", 1])
def test_nobody_becomes_the_admin_by_what_they_call_themselves(
    app_env: None, queue: int, store_path: Path, verified: object
) -> None:
    with Store.open(store_path) as store:
        People(store).set_role(CHIEF, "chief@example.org", "admin")
    claims = {
        "email": "chief@example.org",
        "email_verified": verified,
        "preferred_username": CHIEF,
        "name": CHIEF,
    }
    test = signed_in("disagreements.py", is_logged_in=True, iss=HERE, sub=CHIEF, **claims)
    assert "Role: annotator" in "".join(c.value for c in test.sidebar.caption)
    # The friendly name is shown for what it is, and what to do about a role under it is said.
    said = " ".join(c.value for c in test.sidebar.caption)
    assert "Your provider calls you chief" in said and "An admin gives it to this" in said
    assert not test.get("file_uploader")


@pytest.mark.slow
def test_what_a_signed_in_person_labels_is_theirs(app_env: None, queue: int, store_path: Path) -> None:
    test = signed_in("label.py", is_logged_in=True, email="cy@example.org", email_verified=True, name=CHIEF)
    at = feature(test)
    field(test, "text").set_value("signed").run()
    press(test, "label_submit")
    with Store.open(store_path) as store:
        found = [e.annotator for e in Labels(store, CHIEF).current(at) if e.text == "signed"]
    assert found == ["cy@example.org"]


def test_sign_in_without_its_packages_says_so_in_one_line(
    app_env: None, queue: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.session.person.find_spec", lambda name: None)
    test = signed_in("label.py", is_logged_in=False)
    (line,) = [error.value for error in test.sidebar.error]
    assert "authlib and httpx cannot be imported" in line and "streamlit[auth]" in line and "\n" not in line
    assert not signing(test)


def test_secrets_that_cannot_work_say_so_in_one_line(
    app_env: None, queue: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.session.person.find_spec", lambda name: object())
    test = signed_in("label.py", is_logged_in=False)
    press(test, "sign_in")
    (line,) = [error.value for error in test.sidebar.error]
    assert "not configured rightly" in line and "\n" not in line


def test_nobody_can_be_everyone(run_page: Run, queue: int) -> None:
    test = sign(run_page("label.py"), "*")
    assert "stands for everyone" in test.sidebar.error[0].value and not test.text_area


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


# -- Disagreements ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_disputed_labels_stay_hidden_until_ones_own_is_in(
    run_page: Run, queue: int, store_path: Path
) -> None:
    test = sign(run_page("disagreements.py"), "cy")
    assert "refusal wording" not in shown(test) and "hidden until yours is in" in shown(test)
    with Store.open(store_path) as store:
        Labels(store, "cy").label(LABELLED, "mine", verdict=3)
    assert "refusal wording" in shown(test.run())


@pytest.mark.slow
def test_an_adjudicator_settles_and_the_labels_stay(run_page: Run, queue: int, store_path: Path) -> None:
    test = sign(run_page("disagreements.py"), CHIEF)
    with Store.open(store_path) as store:
        uid = next(e.uid for e in Labels(store, CHIEF).current(LABELLED) if e.annotator == BO)
    test.radio(key=f"settle_{LABELLED}_on").set_value(uid)
    press(test, f"settle_{LABELLED}_go")
    assert "Settled: “apologies”" in shown(test)
    with Store.open(store_path) as store:
        labels = Labels(store, CHIEF)
        settled = labels.adjudication(LABELLED)
        assert settled is not None and settled.about == uid
        assert len(labels.current(LABELLED)) == 2
    table = sign(run_page("features.py", f_words="apologies"), CHIEF).dataframe[0].value
    assert table[["open", "name", "by"]].values.tolist() == [
        [f"#{LABELLED}", "apologies", "settled: no pattern"]
    ], "the label that was settled on has the verdict 2"


@pytest.mark.slow
def test_figures_say_undefined_instead_of_a_number(run_page: Run, queue: int) -> None:
    # ann and bo share one feature with different verdicts: percent is 0, alpha has one unit, no interval.
    test = sign(run_page("disagreements.py"), ANN)
    assert not any("measure" in table.value for table in test.dataframe), "not before its tab is open"
    test.session_state["dispute_tab"] = "Agreement"
    test.run()
    tables = [table.value for table in test.dataframe]
    overall = next(table for table in tables if "measure" in table)
    assert overall["value"][0] == "0.000" and overall["features"].tolist() == [1, 1]
    assert all("too few" in text or "only" in text for text in overall.iloc[:, 2])


@pytest.mark.slow
def test_exports_come_out_and_go_in_elsewhere_after_a_dry_run(
    run_page: Run, queue: int, store_path: Path, tmp_path: Path, store_template: Path
) -> None:
    from feature_db.exchange.event_files import export_events

    other = tmp_path / "other.db"
    other.write_bytes(store_template.read_bytes())
    with Store.open(other) as store:
        Labels(store, "far").label(9, "from elsewhere", verdict=5)
        export_events(store, tmp_path / "events.jsonl")
    test = sign(run_page("disagreements.py"), CHIEF)
    test.file_uploader(key="import_file").upload("e.jsonl", (tmp_path / "events.jsonl").read_bytes()).run()
    assert "1 events (1 label) of far would be added" in shown(test).replace("\\", "")
    with Store.open(store_path) as store:
        assert not Labels(store, CHIEF).current(9)
    press(test, "import_go")
    with Store.open(store_path) as store:
        assert [e.text for e in Labels(store, CHIEF).current(9)] == ["from elsewhere"]


@pytest.mark.slow
def test_another_store_of_the_model_comes_in_with_its_history_after_a_dry_run(
    run_page: Run, queue: int, store_path: Path, tmp_path: Path, store_template: Path
) -> None:
    other = tmp_path / "other.db"
    other.write_bytes(store_template.read_bytes())
    with Store.open(other) as store:
        Labels(store, "far").label(9, "from elsewhere", verdict=5)
        Labels(store, "far").label(9, "from elsewhere, edited", verdict=4)
        People(store).set_role(None, "far", "admin")
        Labels(store, "far").adjudicate(9, text="agreed", verdict=4)
    with Store.open(store_path) as store:
        Labels(store, "near").label(9, "from here")
    test = sign(run_page("disagreements.py"), CHIEF)
    test.file_uploader(key="import_file").upload("Colleague's.db", other.read_bytes()).run()
    assert "3 events (1 adjudicate, 1 edit, 1 label) of far would be added" in shown(test).replace("\\", "")
    assert "labels, or what was settled, of 1 features change" in shown(test)
    (stands,) = [table.value for table in test.dataframe if "stands after" in table.value]
    assert stands["stands now"].tolist() == ["near: from here"]
    assert stands["stands after"].tolist() == [
        "far: from elsewhere, edited (verdict 4); near: from here; settled by far: agreed (verdict 4)"
    ]
    with Store.open(store_path) as store:
        assert len(Labels(store, CHIEF).current(9)) == 1
    press(test, "import_go")
    assert "of far added" in shown(test) and "no event would be added" in shown(test)
    with Store.open(store_path) as store:
        assert {e.text for e in Labels(store, CHIEF).current(9)} == {"from here", "from elsewhere, edited"}
        assert [e.text for e in events(store, feature=9)] == [
            "from elsewhere",
            "from elsewhere, edited",
            "agreed",
            "from here",
        ]


@pytest.mark.slow
def test_what_is_no_store_of_this_model_is_refused_in_one_line_and_stays_refused(
    run_page: Run, queue: int, store_path: Path, tmp_path: Path
) -> None:
    foreign = tmp_path / "foreign.db"
    Store.open(foreign, create=ModelRecord("0" * 64, "**another**", 64)).close()
    whole = foreign.read_bytes()
    test = sign(run_page("disagreements.py"), CHIEF)
    with Store.open(store_path) as store:
        before = list(store.conn.iterdump())
    for name, content, message in (
        ("[a](http://evil).db", whole, "not of the model in use"),
        ("cut.db", whole[:20_000], "damaged"),
        ("text.db", b"hello", "not a SQLite file"),
        ("empty.db", b"", "not a SQLite file"),
    ):
        test.file_uploader(key="import_file").clear()
        test.file_uploader(key="import_file").upload(name, content).run()
        for _ in range(2):  # a rerun for another reason does not lose the reason
            (line,) = [error.value.replace("\\", "") for error in test.error]
            assert message in line and name in line and "\n" not in line and str(tmp_path) not in line
            test.run()
    with Store.open(store_path) as store:
        assert list(store.conn.iterdump()) == before


def test_only_an_admin_is_offered_an_import(run_page: Run, queue: int) -> None:
    assert not sign(run_page("disagreements.py"), ANN).get("file_uploader")


@pytest.mark.slow
def test_a_fresh_store_takes_its_first_admin_and_no_second(run_page: Run, store_path: Path) -> None:
    first, second = (sign(run_page("disagreements.py"), name) for name in (ANN, BO))
    press(first, "first_admin")
    assert "ann is the admin" in shown(first) and not [b for b in first.button if b.key == "first_admin"]
    press(second, "first_admin")
    assert "has an admin already" in shown(second)
    with Store.open(store_path) as store:
        assert People(store).all() == {ANN: "admin"}
    assert not [b for b in sign(run_page("label.py"), BO).button if b.key == "first_admin"]


def test_the_button_for_the_first_admin_is_on_the_page_once(run_page: Run, store_path: Path) -> None:
    test = sign(run_page("label.py"), ANN)
    assert sum(button.label == "Become the first admin" for button in test.button) == 1
    assert "first one is made there" in shown(test)
    press(test, "first_admin")
    assert test.button(key="queue_make") and "first one is made there" not in shown(test)


@pytest.mark.slow
def test_roles_are_given_by_an_admin_only(run_page: Run, queue: int, store_path: Path) -> None:
    assert not [w for w in sign(run_page("disagreements.py"), ANN).text_input if w.key == "role_name"]
    test = sign(run_page("disagreements.py"), CHIEF)
    test.text_input(key="role_name").set_value(BO)
    test.selectbox(key="role_role").select("adjudicator")
    press(test, "role_go")
    with Store.open(store_path) as store:
        assert People(store).role(BO) == "adjudicator"


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
