"""What a recipe of CONTRIBUTING.md promises, held in a copy of the code where all were followed (`test_recipes.py`)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest

from feature_db import FeatureRecord, ModelRecord, Store, SuggestionRecord
from feature_db.__main__ import main as store_main
from sarm_core.cli.parser import main
from tests.sarm_core.tiny_models import chatml, reference_checkpoint

torch.set_num_threads(1)
HOUSE = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    return str(reference_checkpoint(tmp_path_factory.mktemp("model") / "m", tokenizer=chatml()))


def test_the_benchmark_is_evaluated_and_reported(model, tmp_path, monkeypatch):
    monkeypatch.setenv("SARM_CACHE", str(tmp_path / "cache"))
    rows = [{"prompt": f"{i} + 1?", "true": f"{i + 1}", "false": [f"{i}", "none"]} for i in range(4)]
    source, out, page = tmp_path / "rows.jsonl", tmp_path / "o.json", tmp_path / "r.html"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["evaluate", "one-of-three", str(source), "--model", model, "--out", str(out)]) == 0
    written = json.loads(out.read_text())
    assert written["benchmark"] == "one-of-three" and written["decisions"] == 8
    assert main(["report", "--evaluation", str(out), "--out", str(page)]) == 0
    assert "One of three" in page.read_text(encoding="utf-8")


def test_the_row_shape_is_scored_and_the_command_counts(model, tmp_path, capsys):
    source, out = tmp_path / "rows.jsonl", tmp_path / "o.jsonl"
    source.write_text(json.dumps({"ask": "Is it safe?", "reply": "Yes."}) + "\n")
    assert main(["score", str(source), "--model", model, "--out", str(out)]) == 0
    (row,) = map(json.loads, out.read_text().splitlines())
    assert row["ask"] == "Is it safe?" and isinstance(row["reward"], float)
    capsys.readouterr()
    assert main(["count", str(source)]) == 0
    assert capsys.readouterr().out == "1\n"


def test_the_format_leaves_and_comes_back(tmp_path, capsys):
    here, out = str(tmp_path / "s.db"), tmp_path / "s.tsv"
    with Store.open(here, create=ModelRecord("f" * 64, "tiny", 4)) as store:
        store.import_harvest(FeatureRecord(i) for i in range(4))
        store.replace_suggestions("made", [SuggestionRecord(2, "made", "greets")])
    assert store_main(["export", here, "--format", "tab-lines", "--out", str(out)]) == 0
    assert store_main(["import", here, str(out)]) == 0
    with Store.open(here) as store:
        assert [(said.feature, said.text) for said in store.suggestions("tab-lines")] == [(2, "greets")]
    out.write_text("two\tgreets\n")
    assert store_main(["import", here, str(out)]) == 2
    assert "s.tsv, row 1: feature must be a whole number" in capsys.readouterr().err


def test_the_sae_kind_is_what_its_rule_says():
    # Imported here: it stands in the copy only.
    from sarm_core.model.sae import SAE, kinds

    floor = kinds()["floor"].from_stated({"kind": "floor", "floor": 0.75}, "here")
    assert floor.to_stated() == {"kind": "floor", "floor": 0.75}
    sae = SAE(4, 8, floor)
    with torch.no_grad():
        sae.encoder.weight.normal_(generator=torch.Generator().manual_seed(0))
    a = sae.pre_activations(torch.randn(5, 4, generator=torch.Generator().manual_seed(1)))
    assert torch.equal(sae.activate(a).dense(), torch.where(a.abs() >= 0.75, a, torch.zeros(())))


def test_the_page_opens(model, tmp_path, monkeypatch):
    monkeypatch.setenv("SARM_MODEL", model)
    monkeypatch.setenv("SARM_DATA", str(tmp_path))
    test = AppTest.from_file(str(HOUSE / "app" / "main.py"), default_timeout=120)
    test.switch_page("app_pages/width.py").run()
    assert not test.exception and [title.value for title in test.title] == ["Width"]
    assert test.metric[0].value == "64"
