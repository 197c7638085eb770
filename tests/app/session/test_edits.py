"""An edited answer stands beside its original, has versions, and travels by a link."""

from __future__ import annotations

import json

import pytest
import streamlit as st

from app.components.rerank.edits import MOST, edit_command
from app.session import edits, session
from app.session.comparison import MAX_ANSWERS, MAX_VERSIONS, Answer, Comparison, from_json, from_texts
from app.session.engine import Engine
from sarm_core.errors import SarmError


@pytest.fixture
def now() -> Comparison:
    return from_texts("Why?", ["I'm sorry, but no.", "- One.\n- Two.", "Because."], origin="example x")


@pytest.fixture
def on_page(now: Comparison) -> Comparison:
    st.session_state.clear()
    session.set_comparison(now)
    return now


def texts() -> list[str]:
    found = session.comparison()
    assert found is not None
    return [answer.text for answer in found.answers]


def test_an_edit_stands_beside_its_original_under_a_letter_of_its_own(now: Comparison) -> None:
    edited, at = now.with_edit(1)
    assert edited.titles() == ["A", "B", "C", "D · B edited"] and at == 3
    assert edited.with_edit(1) == (edited, 3) and edited.with_edit(3) == (edited, 3), "one edit an answer"
    changed = edited.with_text(3, "One and two.", keep=True)
    assert changed.answers[:3] == now.answers and changed.key != edited.key
    assert changed.answers[3].versions == ("- One.\n- Two.", "One and two.")
    assert not changed.origin.endswith("x"), "an example's address would not bring the edit back"
    assert changed.without_edit(3).answers == now.answers
    for refused in (
        lambda: changed.with_text(3, " \n", keep=True),
        lambda: changed.with_text(0, "x", keep=True),
    ):
        with pytest.raises(SarmError):
            refused()
    with pytest.raises(SarmError):
        changed.without_edit(0)


def test_a_text_that_is_typed_is_no_version_and_versions_change_no_score(now: Comparison) -> None:
    edited, at = now.with_edit(0)
    typed = edited.with_text(at, "N", keep=False)
    kept = typed.with_text(at, "N", keep=True)
    assert (typed.answers[at].version, kept.answers[at].version) == (None, 1)
    assert typed.key == kept.key
    for i in range(2 * MAX_VERSIONS):
        kept = kept.with_text(at, f"N{i}", keep=True)
    assert len(kept.answers[at].versions) == MAX_VERSIONS


def test_edits_and_versions_survive_a_link_and_nonsense_does_not(now: Comparison) -> None:
    edited, at = now.with_edit(2)
    edited = edited.with_text(at, "Because </script> \u202e.", keep=True)
    again = from_json(json.loads(json.dumps(edited.to_json())))
    assert again == edited and again.answers[at].versions == edited.answers[at].versions
    for of in (9, at, -1, "x", [0]):
        body = edited.to_json()
        body["answers"][at]["of"] = of
        with pytest.raises(SarmError):
            from_json(body)


def test_another_answer_after_an_edit_keeps_its_original(now: Comparison) -> None:
    edited, first = now.with_edit(0)
    pasted, place = edited.with_answer("A pasted one.")
    both, second = pasted.with_edit(place)
    left = both.without_edit(first)
    assert left.answers[left.edit_of(place - 1) or 0].text == "A pasted one." and second == 5
    full = Comparison(now.prompt, tuple(Answer(str(i)) for i in range(MAX_ANSWERS)))
    with pytest.raises(SarmError, match="answers already"):
        full.with_edit(0)


def test_what_is_typed_is_scored_and_one_press_goes_back(engine: Engine, on_page: Comparison) -> None:
    edits.act({"name": "edit", "answer": "0"})
    assert texts()[3] == "I'm sorry, but no." and edits.open_edit() == 3
    assert (st.session_state["left"], st.session_state["right"]) == (3, 0)
    edits.act({"name": "type", "answer": "3", "text": "N", "rested": False})
    edits.act({"name": "type", "answer": "3", "text": "No.", "rested": False})
    edits.settle(engine)
    found = session.comparison()
    assert found is not None and texts()[3] == "No." and edits.is_live()
    assert engine.cached(f"comparison:{found.key}") is not None, "scored before anything is drawn"
    assert found.answers[3].versions == ("I'm sorry, but no.",)
    edits.act({"name": "type", "answer": "3", "text": "No.", "rested": True})
    edits.settle(engine)
    assert not edits.is_live()
    edits.act({"name": "version", "answer": "3", "step": -1})
    edits.settle(engine)
    assert texts()[3] == "I'm sorry, but no."
    edits.act({"name": "rewrite", "answer": "3", "rule": "without the apology"})
    edits.settle(engine)
    assert texts()[3] == "No."
    edits.act({"name": "type", "answer": "3", "text": "  ", "rested": True})
    edits.act({"name": "type", "answer": "1", "text": "An original", "rested": True})
    edits.settle(engine)
    assert texts()[3] == "No." and texts()[:3] == [answer.text for answer in on_page.answers]
    edits.act({"name": "original", "answer": "3"})
    assert texts() == [answer.text for answer in on_page.answers]
    assert st.session_state["left"] == 0 and "right" not in st.session_state


def test_rules_change_a_text_or_say_that_there_is_nothing_to_change(
    engine: Engine, on_page: Comparison
) -> None:
    edits.act({"name": "edit", "answer": "1"})
    edits.act({"name": "rewrite", "answer": "3", "rule": "without the list"})
    edits.settle(engine)
    assert texts()[3] == "One. Two."
    edits.act({"name": "rewrite", "answer": "3", "rule": "without the apology"})
    edits.settle(engine)
    assert texts()[3] == "One. Two."
    assert "nothing to change" in st.session_state["messages"][-1][1]
    for rule in edits.RULES.values():
        assert rule("") is None or rule("") != ""


def test_the_browser_is_believed_no_more_than_it_has_to_be() -> None:
    def read(**raw: object) -> dict[str, object] | None:
        return edit_command({"answer": "3", **raw}, {"3"}, {"half as long"})

    assert read(name="type", text="x", rested=1) == {
        "name": "type",
        "answer": "3",
        "text": "x",
        "rested": False,
    }
    assert read(name="rewrite", rule="half as long") and read(name="version", step=-1)
    for wrong in (
        {"name": "type", "text": 3},
        {"name": "type", "text": "x" * (MOST + 1)},
        {"name": "type", "text": "x", "answer": "4"},
        {"name": "rewrite", "rule": "__class__"},
        {"name": "version", "step": True},
        {"name": "version", "step": 7},
    ):
        assert read(**wrong) is None
