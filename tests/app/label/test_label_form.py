"""The form on the Label page, run as a script on a real model and a real store."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.label.label_fields import Fields
from app.label.work import Item, Work
from app.session.engine import Choice
from feature_db import Store
from feature_db.label.events import events
from feature_db.label.labels import Labels
from feature_db.label.queues import Queues
from feature_db.roles import People
from tests.app.conftest import Run
from tests.app.label.label_pages import (
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
from tests.sarm_core.tiny_models import chatml, reference_checkpoint


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
    choose(test, "verdict", 4)
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
    choose(test, "verdict", 2)
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


@pytest.mark.slow
@pytest.mark.parametrize("told", ["says sorry", "says sor"])
def test_what_is_told_of_a_form_after_it_was_sent_makes_no_draft(
    run_page: Run, queue: int, store_path: Path, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    # The browser's message about what was typed may come right after the press of the button.
    submit = Work.submit

    def late(self: Work, item: Item, fields: Fields, goes_on: bool = True) -> None:
        submit(self, item, fields, goes_on)
        fields.save_draft({fields.key("text"): told})

    monkeypatch.setattr(Work, "submit", late)
    test = sign(run_page("label.py"), "cy")
    first = feature(test)
    field(test, "text").set_value("says sorry").run()
    press(test, "label_submit")
    assert feature(test) != first and "not sent yet" not in shown(test)
    with Store.open(store_path) as store:
        assert Labels(store, "cy").drafts() == []
    press(test, "label_undo")  # another filling of the same form has drafts again
    field(test, "text").set_value("begun again").run()
    with Store.open(store_path) as store:
        assert [draft.data["text"] for draft in Labels(store, "cy").drafts()] == ["begun again"]


@pytest.mark.slow
def test_a_name_the_browser_remembers_is_there_at_once_and_can_be_taken_off(
    run_page: Run, queue: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.session.person.known_name", lambda: "cy")
    test = run_page("label.py")
    assert feature(test) and test.text_input(key="person").value == "cy"
    sign(test, "")
    assert not test.text_area
