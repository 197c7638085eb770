"""What people said of a feature, on its page and in charts: blind until one's own label is in."""

from __future__ import annotations

from pathlib import Path

import pytest

from feature_db import Store, SuggestionRecord
from feature_db.label.labels import CheckScore, Labels
from feature_db.label.queues import Queues
from feature_db.records import LABEL_METHOD
from feature_db.roles import People
from tests.app.conftest import Run
from tests.app.label.label_pages import (
    ANN,
    BO,
    CHIEF,
    feature,
    press,
    shown,
    sign,
)
from tests.app.store_builder import LABELLED


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
