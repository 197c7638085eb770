"""`sarm dictionary`: from a store, from files, and with another dictionary beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from feature_db import Store
from sarm_core.cli.parser import main
from sarm_core.dictionary.written import checked
from tests.app.store_builder import LABELLED, store_for
from tests.sarm_core.tiny_models import chatml, random_sae, reference_checkpoint

ROWS = Path(__file__).parents[3] / "examples" / "files" / "answers.jsonl"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reference_checkpoint(
        tmp_path_factory.mktemp("model") / "one", n_features=64, k=6, tokenizer=chatml()
    )


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 other features on the same blocks."""
    folder = tmp_path_factory.mktemp("model") / "other"
    return reference_checkpoint(folder, n_features=48, k=6, tokenizer=chatml())


@pytest.fixture(scope="module")
def store(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store_for(model, tmp_path_factory.mktemp("store"))


def test_the_store_alone_is_enough_and_is_not_written(model: Path, store: Path, tmp_path: Path, capsys):
    before = store.read_bytes()
    for name in ("one.json", "two.md", "three.html"):
        words = ["dictionary", "--model", str(model), "--store", str(store), "--made", "now"]
        assert main([*words, "--out", str(tmp_path / name)]) == 0
    assert store.read_bytes() == before
    said = capsys.readouterr().out
    assert said.count("of the reward's mass falls on features with a name") == 3
    report = checked(json.loads((tmp_path / "one.json").read_text(encoding="utf-8")), "one.json")
    kinds = {part["kind"]: part for part in report["mass"]["kinds"]}
    assert sum(part["features"] for part in kinds.values()) == 64
    assert kinds["suggested"]["features"] >= 3
    with Store.read_only(store) as opened:
        ids, _, features, values = opened.encodings()
        head = opened.head()
    assert report["answers"]["n"] == len(ids)
    mass = (abs(values.astype(float)) * abs(head[features])).sum()
    assert report["mass"]["total"] == pytest.approx(mass, rel=1e-5)
    assert report["density"]["dead"]["features"] == 1 and report["density"]["dense"]["features"] == 1
    assert "<script>document" not in (tmp_path / "three.html").read_text(encoding="utf-8")
    assert LABELLED >= 0


def test_files_and_another_dictionary(model: Path, other: Path, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setenv("SARM_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "both.json"
    words = ["dictionary", str(ROWS), "--model", str(model), "--against", str(other), "--out", str(out)]
    assert main([*words, "--cosine", "0.9"]) == 0
    report = checked(json.loads(out.read_text(encoding="utf-8")), "both.json")
    left, right = report["against"]["sides"]
    assert (left["model"]["features"], right["model"]["features"]) == (64, 48)
    assert report["mass"]["kinds"] == [] and "names of" not in capsys.readouterr().err
    decoders = [random_sae(n, 6).decoder.weight for n in (64, 48)]
    unit = [w / w.norm(dim=0) for w in decoders]
    best = (unit[0].T @ unit[1]).max(dim=1).values
    assert left["direction"]["features"] == int(torch.sum(best >= 0.9))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--out", "x.pdf"], "end it in .json, .md, .html"),
        (["--out", "x.md"], "name files of answers, or --store"),
        (["--store", "STORE", "--model", "OTHER", "--out", "x.md"], "the model is another one"),
        (["--store", "absent.db", "--out", "x.md"], "absent.db"),
        (["ROWS", "--cosine", "1", "--out", "x.md"], "is not a share"),
    ],
)
def test_what_cannot_be_is_one_line(words, said, model, other, store, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    places = {"STORE": str(store), "OTHER": str(other), "ROWS": str(ROWS)}
    given = [places.get(word, word) for word in words]
    try:
        code = main(["dictionary", *([] if "--model" in given else ["--model", str(model)]), *given])
    except SystemExit as stop:
        code = stop.code
    error = capsys.readouterr().err
    assert code == 2 and said in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_dictionary_at_another_place_is_refused_before_anything_is_read(
    model: Path, tmp_path: Path, monkeypatch, capsys
):
    monkeypatch.setattr(
        "sarm_core.score.scorer.load_sarm", lambda *_a, **_k: pytest.fail("a model was loaded")
    )
    deeper = reference_checkpoint(tmp_path / "deeper", layer=3, n_features=8, k=3, tokenizer=chatml())
    words = ["dictionary", str(ROWS), "--model", str(model), "--against", str(deeper), "--out", "x.md"]
    assert main(words) == 2
    assert "two dictionaries are compared at one place" in capsys.readouterr().err
