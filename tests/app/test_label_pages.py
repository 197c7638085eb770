"""The Label and Disagreements pages, run as scripts on a real model and a real store."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from feature_db import FeatureFilter, Store
from feature_db.events import events
from feature_db.labels import Labels
from feature_db.queues import Queues
from feature_db.roles import People
from tests.app.conftest import Run
from tests.app.store_builder import LABELLED

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
    return int(test.subheader[0].value.split()[1])


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


def test_two_people_get_the_same_feature_only_as_often_as_overlap_says(
    run_page: Run, queue: int, store_path: Path
) -> None:
    # Overlap is 2: the third person must be offered something else.
    firsts = [feature(sign(run_page("label.py"), name)) for name in ("cy", "dee", "eve")]
    assert firsts[0] == firsts[1] != firsts[2]


def test_others_labels_appear_after_ones_own_and_not_before(run_page: Run, queue: int) -> None:
    test = sign(run_page("label.py", feature=str(LABELLED)), "cy")
    assert "refusal wording" not in shown(test) and "apologies" not in shown(test)
    assert "suggested" in shown(test) and "sorry, professional; refusal" in shown(test)
    field(test, "text").set_value("my own").run()
    press(test, "label_submit")
    assert "refusal wording" in shown(test) and "apologies" in shown(test)


def test_a_draft_is_there_again_in_another_session_and_for_nobody_else(run_page: Run, queue: int) -> None:
    test = sign(run_page("label.py"), "cy")
    at = feature(test)
    field(test, "text").set_value("half a th").run()
    press(test, "label_verdict_2")
    again = sign(run_page("label.py"), "cy")
    assert feature(again) == at and field(again, "text").value == "half a th"
    assert "**2**" in shown(again) and "draft is back" in shown(again)
    assert field(sign(run_page("label.py", feature=str(at)), "dee"), "text").value == ""


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


def test_who_signs_in_labels_under_the_address_and_no_name_can_be_typed(
    app_env: None, queue: int, store_path: Path
) -> None:
    from tests.app.conftest import MAIN

    test = AppTest.from_file(str(MAIN), default_timeout=60)
    test.switch_page("app_pages/label.py")
    test.user = {"is_logged_in": True, "email": "cy@example.org", "email_verified": True, "name": CHIEF}
    test.run()
    assert not test.exception and not [w for w in test.text_input if w.key == "person"]
    at = feature(test)
    field(test, "text").set_value("signed").run()
    press(test, "label_submit")
    with Store.open(store_path) as store:
        assert [e.annotator for e in Labels(store, CHIEF).current(at) if e.text == "signed"] == [
            "cy@example.org"
        ]


# -- Disagreements ---------------------------------------------------------------------------------------------


def test_disputed_labels_stay_hidden_until_ones_own_is_in(
    run_page: Run, queue: int, store_path: Path
) -> None:
    test = sign(run_page("disagreements.py"), "cy")
    assert "refusal wording" not in shown(test) and "stay hidden" in shown(test)
    with Store.open(store_path) as store:
        Labels(store, "cy").label(LABELLED, "mine", verdict=3)
    assert "refusal wording" in shown(test.run())


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


def test_figures_say_undefined_instead_of_a_number(run_page: Run, queue: int) -> None:
    # ann and bo share one feature with different verdicts: percent is 0, alpha has one unit, no interval.
    test = sign(run_page("disagreements.py"), ANN)
    tables = [table.value for table in test.dataframe]
    overall = next(table for table in tables if "measure" in table)
    assert overall["value"][0] == "0.000" and overall["features"].tolist() == [1, 1]
    assert all("too few" in text or "only" in text for text in overall.iloc[:, 2])


def test_exports_come_out_and_go_in_elsewhere_after_a_dry_run(
    run_page: Run, queue: int, store_path: Path, tmp_path: Path, store_template: Path
) -> None:
    from feature_db.event_files import export_events

    other = tmp_path / "other.db"
    other.write_bytes(store_template.read_bytes())
    with Store.open(other) as store:
        Labels(store, "far").label(9, "from elsewhere", verdict=5)
        export_events(store, tmp_path / "events.jsonl")
    test = sign(run_page("disagreements.py"), CHIEF)
    test.file_uploader(key="import_file").upload("e.jsonl", (tmp_path / "events.jsonl").read_bytes()).run()
    assert "1 events would be added" in shown(test)
    with Store.open(store_path) as store:
        assert not Labels(store, CHIEF).current(9)
    press(test, "import_go")
    with Store.open(store_path) as store:
        assert [e.text for e in Labels(store, CHIEF).current(9)] == ["from elsewhere"]


def test_roles_are_given_by_an_admin_only(run_page: Run, queue: int, store_path: Path) -> None:
    assert not [w for w in sign(run_page("disagreements.py"), ANN).text_input if w.key == "role_name"]
    test = sign(run_page("disagreements.py"), CHIEF)
    test.text_input(key="role_name").set_value(BO)
    test.selectbox(key="role_role").select("adjudicator")
    press(test, "role_go")
    with Store.open(store_path) as store:
        assert People(store).role(BO) == "adjudicator"
