"""`sarm report`: from evaluate and contrast to one file, with names from a store that is only read."""

import hashlib
import json
import re

import numpy as np
import pytest

from feature_db import Store
from sarm_core import Steering, load_sarm
from sarm_core.__main__ import main
from sarm_core.demo.corpus import answers as corpus_answers
from sarm_core.prove.corpus import refusal_pairs
from tests.app.store_builder import HOSTILE, HOSTILE_FEATURE, LABELLED, build_store
from tests.sarm_core.evaluations import FEATURES, FINGERPRINT, evaluation, pairs
from tests.sarm_core.html_page import Page, number
from tests.sarm_core.tiny_models import backbone, chatml, reference_checkpoint


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    tokenizer = chatml()
    return reference_checkpoint(
        tmp_path_factory.mktemp("model") / "tiny",
        model=backbone("llama", vocabulary=len(tokenizer)),
        tokenizer=tokenizer,
    )


def rows(path, n=24):
    lines = [
        {
            "prompt": f"Question {i // 2}?",
            "chosen": f"Yes, {i} of them.",
            "rejected": f"No! {i * 7}",
            "subset": "ab"[i % 2],
        }
        for i in range(n)
    ]
    path.write_text("\n".join(json.dumps(line) for line in lines))
    return path


def store_of(path, fingerprint):
    return build_store(path, fingerprint, np.linspace(-1, 1, FEATURES), n_texts=20, with_examples=10)


@pytest.mark.slow
def test_from_pairs_to_a_report_that_says_what_evaluate_and_contrast_say(model, tmp_path, capsys):
    source = rows(tmp_path / "in.jsonl")
    matrix = load_sarm(model).score([{"prompt": "a", "response": "b"}]).matrix
    strongest = int(np.argmax(np.abs(matrix.csr.toarray() * matrix.head)))
    steering = tmp_path / "s.json"
    Steering(scale={strongest: -1.0}).write(steering)
    cache = ["--cache", str(tmp_path / "cache"), "--resamples", "40"]
    common = ["--model", str(model), *cache]
    out = {name: tmp_path / name for name in ("e.json", "c.csv", "r.html")}
    assert main(["contrast", str(source), *common, "--out", str(out["c.csv"])]) == 0
    evaluate = ["evaluate", "pairs", str(source), *common, "--steering", str(steering)]
    assert main([*evaluate, "--out", str(out["e.json"])]) == 0
    report = ["report", "--evaluation", str(out["e.json"]), "--contrast", str(out["c.csv"]), "--date", "noon"]
    assert main([*report, "--question", "What now?", "--out", str(out["r.html"])]) == 0
    page = Page.of(out["r.html"].read_text())
    data = json.loads(out["e.json"].read_text())
    shown = page.table("Scores before and after")
    assert number(shown["total"][2]) == pytest.approx(100 * data["scores"]["total"], abs=0.051)
    assert number(shown["a"][3]) == pytest.approx(100 * data["scores_steered"]["a"], abs=0.051)
    assert "What now?" in page.texts["question"] and "noon" in out["r.html"].read_text()
    facts = page.texts["provenance"]
    for text in (data["model"]["fingerprint"], hashlib.sha256(source.read_bytes()).hexdigest()):
        assert text in facts
    assert hashlib.sha256(out["c.csv"].read_bytes()).hexdigest() in facts
    for name, version in data["versions"].items():
        assert f"{name} {version}" in facts
    # The command in the file is the command: what it writes is what was written.
    again = tmp_path / "again.json"
    words = data["command"].split()
    assert words[0] == "sarm"
    words[words.index("--out") + 1] = str(again)
    assert main([*words[1:], "--cache", str(tmp_path / "cache")]) == 0
    repeated = json.loads(again.read_text())
    assert {**repeated, "command": ""} == {**data, "command": ""}
    first = out["r.html"].read_bytes()
    assert main([*report, "--question", "What now?", "--out", str(out["r.html"])]) == 0
    assert out["r.html"].read_bytes() == first


@pytest.mark.slow
def test_the_corpus_can_be_evaluated_by_name_with_its_other_answers_as_complement(model, tmp_path, capsys):
    out = tmp_path / "e.json"
    steering = tmp_path / "s.json"
    Steering(scale={1: 0.0}).write(steering)
    options = ["--model", str(model), "--steering", str(steering), "--resamples", "5", "--out", str(out)]
    assert main(["evaluate", "corpus", "refusals", *options]) == 0
    data = json.loads(out.read_text())
    benchmark = refusal_pairs()
    scored = load_sarm(model).score(list(benchmark.conversations))
    won = scored.rewards[benchmark.chosen] > scored.rewards[benchmark.rejected]
    assert data["scores"]["total"] == pytest.approx(float(won.mean()))
    assert data["complement"]["collateral"]["answers"] == len(corpus_answers()) - len(benchmark.conversations)
    capsys.readouterr()
    for words, message in (
        (["corpus", "nothing"], "name one of refusals, quality"),
        (["corpus", "refusals", "--complement", "corpus"], "complement of its own"),
    ):
        assert main(["evaluate", *words, *options]) == 2
        assert re.search(message, capsys.readouterr().err)


@pytest.mark.slow
def test_names_come_from_a_store_and_the_store_stays_as_it_was(tmp_path):
    source, out = tmp_path / "e.json", tmp_path / "r.html"
    steering = Steering(scale={HOSTILE_FEATURE: 0.0, LABELLED: 0.5, 7: -1.0, 20: 2.0})
    source.write_text(json.dumps(evaluation(pairs(), steering)))
    store = store_of(tmp_path / "s.db", FINGERPRINT)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("s.db*")}
    command = [
        "report",
        "--evaluation",
        str(source),
        "--store",
        str(store),
        "--date",
        "noon",
        "--out",
        str(out),
    ]
    assert main(command) == 0
    assert {path.name: path.read_bytes() for path in tmp_path.glob("s.db*")} == before
    page = Page.of(out.read_text())
    names = list(page.table("The steering, feature by feature"))
    called = [name.split(" | ")[0].strip() for name in names]
    assert called[0].startswith(f"#{HOSTILE_FEATURE} **bold** {HOSTILE}"[: len(called[0])])
    assert called[1:] == [
        f"#{LABELLED} sorry, professional; refusal",
        "#7 Python, sorted; has code",
        "#20 unlabelled",
    ]
    assert "(suggested, disputed)" in names[1] and "(suggested)" in names[2]
    with Store.open(store) as opened:  # as while the app runs: a log lies beside the file
        (top, *_) = opened.examples(7, kind="top", limit=1)
        assert main(command) == 0
    shown = Page.of(out.read_text()).texts["steering"]
    assert top.text.tokens[top.peak_position - 1].strip() in shown and "<|im_" not in shown


@pytest.mark.slow
def test_bad_input_is_one_line_and_leaves_no_file(tmp_path, capsys):
    good, out = tmp_path / "e.json", tmp_path / "r.html"
    good.write_text(json.dumps(evaluation(pairs(8), resamples=5)))
    other = store_of(tmp_path / "other.db", "cd" * 32)
    (tmp_path / "not.db").write_text("no database")
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    (tmp_path / "list.json").write_text("[]")
    for words, message in (
        (["--evaluation", tmp_path / "gone.json"], "gone.json: cannot be read"),
        (["--evaluation", tmp_path], "cannot be read"),
        (["--evaluation", tmp_path / "list.json"], "not an evaluation"),
        (["--evaluation", good, "--store", other], "the evaluation is of another model"),
        (["--evaluation", good, "--store", tmp_path / "not.db"], "cannot be used as a store"),
        (["--evaluation", good, "--store", tmp_path / "gone.db"], "no such store"),
        (["--evaluation", good, "--contrast", tmp_path / "bad.csv"], "no column 'feature'"),
        (["--evaluation", good, "--contrast", tmp_path / "gone.csv"], "gone.csv: cannot be read"),
        (["--evaluation", good, "--trade-off", "total", "gone"], "no score 'gone'"),
    ):
        assert main(["report", *map(str, words), "--out", str(out)]) == 2, words
        captured = capsys.readouterr()
        assert captured.err.startswith("error: ") and captured.err.count("\n") == 1
        assert message in captured.err and not out.exists()
