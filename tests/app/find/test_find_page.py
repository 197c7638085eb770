"""The page Find features over a tiny real model: what it shows is what the engine computes."""

from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest

from app.find.found import find_in_corpus, listed
from app.session.engine import FeatureNote
from sarm_core.demo.corpus import answers as corpus_answers
from sarm_core.find.corpus import axis_sides

ROOT = Path(__file__).parents[3]

torch.set_num_threads(1)
PAIR = b'{"prompt": "p", "chosen": "a", "rejected": "b"}\n'


def page(name):
    script = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=120)
    script.run()
    script.switch_page(f"app_pages/{name}.py").run()
    assert not script.exception
    return script


def button(script, key):
    return next(b for b in script.button if b.key == key)


@pytest.mark.slow
def test_a_corpus_question_is_a_contrast_of_those_answers_and_the_rest_is_the_complement(engine):
    found = find_in_corpus(engine, "format", "heavy", "plain")
    sides = axis_sides("format", "heavy", "plain")
    scored = [engine.scorer.score(side.conversations).matrix for side in (sides.chosen, sides.rejected)]
    c, j = (matrix.csr.toarray().astype(float).sum(0) for matrix in scored)
    for row in found.contrast.table.head(20).itertuples():
        s = (c[row.feature] - j[row.feature]) / (c[row.feature] + j[row.feature] + (c + j).mean())
        assert row.s == pytest.approx(s, abs=1e-4)
    used = {answer.conversation for answer in corpus_answers()}
    assert found.contrast.n_complement == len(corpus_answers()) - 2 * len(sides.chosen)
    assert set(sides.chosen.conversations) <= used


@pytest.mark.slow
def test_filters_hide_what_they_say(engine):
    found = find_in_corpus(engine, "format", "heavy", "plain")
    every = listed(found, {}, hide_few=False, only_opposing=False, sort="s")
    assert len(every) == len(found.contrast.table)
    assert every["s"].abs().is_monotonic_decreasing
    notes = {int(every["feature"].iloc[0]): FeatureNote("a guess", "suggested")}
    named = listed(found, notes, hide_few=False, only_opposing=False, sort="s")
    assert (named["label"].iloc[0], named["how named"].iloc[0]) == ("a guess", "suggested")
    opposing = listed(found, {}, hide_few=True, only_opposing=True, sort="w")
    assert (opposing["s"] * opposing["w"] < 0).all() and not opposing["few"].any()
    assert opposing["flags"].str.contains("against w").all()


@pytest.mark.slow
def test_find_page_answers_a_question_and_a_second_one_needs_no_model(engine, monkeypatch):
    script = page("find")
    assert any("Choose a question" in box.value for box in script.info)
    button(script, "find_go").click().run()
    assert not script.exception and not script.error
    (table,) = [frame.value for frame in script.dataframe if "s_low" in frame.value.columns]
    found = script.session_state["found"]
    assert (
        table["feature"].tolist()
        == listed(found, {}, hide_few=True, only_opposing=False, sort="s")["feature"].head(500).tolist()
    )

    def refuse(*_, **__):
        raise AssertionError("the model ran")

    monkeypatch.setattr(type(engine.scorer.encoder), "encode", refuse)
    script.selectbox(key="find_question").select("heavy formatting against plain").run()
    button(script, "find_go").click().run()
    assert not script.exception
    assert script.session_state["found"].title == "heavy against plain"


@pytest.mark.slow
def test_two_sets_of_text_files_are_compared_under_their_own_names(engine):
    script = page("find")
    script.segmented_control(key="find_source").set_value("Two sets of answers").run()

    def give(label, *files):
        script.file_uploader(key=f"find_files_Two sets of answers_{label}").set_value(list(files))
        script.run()

    calm = [(f"calm {n}.txt", f"All is well, {n}.".encode()) for n in (2, 0, 1)]
    give("One set", *((name, body, "text/plain") for name, body in calm))
    assert button(script, "find_go").disabled
    row = b'{"prompt": "p", "response": "No."}'
    give("The other set", ("no*.md", b"# Stop!", "text/markdown"), ("b.jsonl", row, "application/jsonl"))
    button(script, "find_go").click().run()
    assert not script.exception and not script.error, [e.value for e in script.error]
    found = script.session_state["found"]
    assert found.names == ("calm 0.txt and 2 more", "b.jsonl and 1 more")
    assert (found.contrast.n_chosen, found.contrast.n_rejected, found.contrast.n_prompts) == (3, 2, 5)
    answers = [
        [c.answer for c in side.conversations]
        for side in (found.encodings.sides.chosen, found.encodings.sides.rejected)
    ]
    assert answers == [[f"All is well, {n}." for n in range(3)], ["No.", "# Stop!"]]
    give("The other set", ("bad\u00e9.txt", b"caf\xe9", "text/plain"))
    button(script, "find_go").click().run()
    assert not script.exception
    assert any("badé" in error.value and "not valid UTF" in error.value for error in script.error)
