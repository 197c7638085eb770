"""The Evaluate page's report: the command line's figures, the Find page's contrast, and no label that is hidden."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from app.find.found import FoundEvidence, find_in_corpus
from app.prove.evaluation import CORPUS, evaluate_corpus, evaluate_upload
from app.prove.report import report, report_page
from feature_db import FeatureRecord, SuggestionRecord
from feature_db.label.labels import Labels
from sarm_core.__main__ import main
from sarm_core.steering import Steering
from tests.sarm_core.html_page import Page, number

torch.set_num_threads(1)
ROOT = Path(__file__).parents[3]
REFUSALS = "refusals"
PAIRS = b"\n".join(
    json.dumps({"prompt": f"q {i}", "chosen": f"yes {i}", "rejected": f"no {i * 3}"}).encode()
    for i in range(12)
)
BAD = b'\n{"prompt": "no answers"}\n'


@pytest.fixture(scope="module")
def corpus(engine):
    return evaluate_corpus(engine, REFUSALS)


def steering_of(corpus, n=2):
    load = np.abs(corpus.matrix.csr.toarray() * corpus.matrix.head).sum(0)
    return Steering(scale={int(i): -1.5 for i in np.argsort(-load)[:n]})


def page_of(engine, of, steering, found=None, author="ada"):
    contrast = None if found is None else FoundEvidence(found, of.benchmark)
    return Page.of(report_page(of, steering, engine, contrast, question="Why?", author=author, time="noon"))


@pytest.mark.slow
def test_the_page_and_the_command_it_names_give_the_same_figures(engine, corpus, tmp_path, monkeypatch):
    upload = evaluate_upload(engine, [("mine.jsonl", PAIRS + BAD)], "pairs", skip_bad=True, complement=CORPUS)
    (tmp_path / "mine.jsonl").write_bytes(PAIRS + BAD)
    monkeypatch.chdir(tmp_path)
    for of in (corpus, upload):
        steering = steering_of(of)
        steering.write("steering.json")
        body = json.loads(report(of, steering, engine))
        words = body["command"].split()
        assert main(words[1:]) == 0
        again = json.loads(Path("evaluation.json").read_text())
        assert set(again) == set(body)
        for name in set(body) - {"command", "model"}:
            assert again[name] == body[name], name


@pytest.mark.slow
def test_the_report_has_the_contrast_of_the_find_page_and_says_when_it_used_the_same_answers(engine, corpus):
    steering = steering_of(corpus)
    found = find_in_corpus(engine, "helpfulness", "over-refusing", "helpful")
    page = page_of(engine, corpus, steering, found)
    assert "over-refusing against helpful" in page.texts["evidence"] and "Why?" in page.texts["question"]
    (feature, *_) = steering.features()
    row = found.contrast.table.set_index("feature").loc[feature]
    cells = page.table("Steered features first")[f"#{feature} unlabelled"]
    assert number(cells[1]) == pytest.approx(row["s"], abs=6e-4)
    assert "so the gain is optimistic" in page.texts["caveats"]
    upload = evaluate_upload(engine, [("mine.jsonl", PAIRS)], "pairs")
    assert "found on other items" in page_of(engine, upload, steering, found).texts["caveats"]
    assert "No contrast was handed" in page_of(engine, upload, steering).texts["evidence"]
    assert "What was changed" not in "".join(page_of(engine, corpus, Steering(), found).texts.values())


@pytest.mark.slow
def test_a_label_the_author_must_not_read_yet_is_not_in_the_report(engine, corpus, monkeypatch):
    steering = steering_of(corpus)
    (feature, *_) = steering.features()
    with engine.store() as store:
        store.import_harvest([FeatureRecord(i, density=0.1) for i in range(engine.scorer.n_features)])
        store.add_suggestions([SuggestionRecord(feature, "log-odds", "what a program says")])
        Labels(store, "bob").label(feature, "what bob says", verdict=4)

    def hidden_from(_, name, features):
        return dict.fromkeys(features, "queue") if name == "eve" else {}

    monkeypatch.setattr("feature_db.label.blindness.hidden_from", hidden_from)
    assert "what bob says" in page_of(engine, corpus, steering).texts["steering"]
    hidden = page_of(engine, corpus, steering, author="eve").texts["steering"]
    assert "what bob says" not in hidden and "what a program says" in hidden


@pytest.mark.slow
def test_the_page_offers_both_files_once_there_is_something_to_report(engine, corpus):
    script = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=120)
    script.run()
    script.switch_page("app_pages/evaluate.py").run()
    assert not script.exception
    assert not [area for area in script.text_area if area.key == "eval_question"]
    next(b for b in script.button if b.key == "eval_go").click().run()
    assert not script.exception and not script.error
    script.text_area(key="eval_question").set_value("Is it <b>worth</b> it?")
    next(b for b in script.button if b.key == "eval_report_page").click().run()
    assert not script.exception and not script.error
    _, _, made = script.session_state["eval_report_made"]
    assert "Is it <b>worth</b> it?" in Page.of(made.decode()).texts["question"]
    labels = [button.proto.label for button in script.get("download_button")]
    assert any(label.startswith("Download report.html") for label in labels) and "Report as JSON" in labels
    # Under another steering the file is of something else, so it is no longer offered.
    (feature, *_) = steering_of(corpus).features()
    script.session_state["steering_state"].change(Steering(scale={feature: 0.0}), by_server=True)
    script.run()
    assert not script.exception
    labels = [button.proto.label for button in script.get("download_button")]
    assert not any(label.startswith("Download report.html") for label in labels)
