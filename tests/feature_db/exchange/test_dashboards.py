"""SAEDashboard's batches and the web API's features come in as the folder made of them would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from feature_db import RowError, Store, StoreError
from feature_db.__main__ import main
from feature_db.exchange import formats
from feature_db.exchange.neuronpedia_import import import_folder
from tests.feature_db.conftest import MODEL
from tests.feature_db.exchange.test_interchange import write_gz

BARS = {"freq_hist_data_bar_heights": [5, 3, 1], "freq_hist_data_bar_values": [0.5, 1.0, 1.5]}
TOKENS = ["The", " red", " car"]


def api(index: int, **more: Any) -> dict[str, Any]:
    """As the web API answers, with keys that mean nothing here."""
    said = {"id": f"e{index}", "description": "the colour red", "typeName": "oai_token-act-pair", "votes": []}
    fired = {"id": f"a{index}", "tokens": TOKENS, "values": [0.0, 2.5, 0.0], "maxValue": 2.5, "dfaValues": []}
    return {
        "modelId": "tiny",
        "layer": "15-res",
        "index": str(index),
        "maxActApprox": 2.5,
        "frac_nonzero": 0.25,
        **BARS,
        "neg_str": ["x"],
        "explanations": [said],
        "activations": [fired],
        "createdAt": "2025-06-01",
        **more,
    }


def batch(*indices: int, **more: Any) -> dict[str, Any]:
    """As SAEDashboard's runner writes it."""
    activation = {"bin_min": -1, "bin_max": -1, "bin_contains": -1, "qualifying_token_index": 1}
    activation |= {"tokens": TOKENS, "values": [0.0, 2.5, 0.0]}
    features = [
        {"feature_index": i, "frac_nonzero": 0.25, **BARS, "pos_str": ["x"], "activations": [activation]}
        for i in indices
    ]
    return {
        "model_id": "tiny",
        "layer": 15,
        "sae_set": "res",
        "sae_id_suffix": None,
        "features": features,
    } | more


def folder(tmp_path: Path) -> Path:
    """The folder that Neuronpedia makes of the same."""
    head = {"modelId": "tiny", "layer": "15-res"}
    for kind, rows in {
        "features": [
            {**head, "index": str(i), "maxActApprox": 2.5, "frac_nonzero": 0.25, **BARS} for i in (3, 4)
        ],
        "activations": [
            {**head, "index": str(i), "tokens": TOKENS, "values": [0.0, 2.5, 0.0]} for i in (3, 4)
        ],
    }.items():
        write_gz(tmp_path / "tiny/15-res" / kind / "batch-0.jsonl.gz", rows)
    return tmp_path / "tiny"


def known(store: Store) -> Any:
    rows = store.rows("SELECT id, density, max FROM features ORDER BY id")
    bars = store.rows("SELECT feature, histogram_edges, histogram_counts FROM feature_details ORDER BY 1")
    found = [
        [(e.kind, e.activation, e.peak_position, e.values.tolist(), e.text.tokens) for e in store.examples(i)]
        for i in (3, 4)
    ]
    origins = store.rows("SELECT * FROM origins ORDER BY 1")
    return [tuple(row) for row in rows], [tuple(row) for row in bars], found, [tuple(row) for row in origins]


def write(path: Path, form: str) -> Path:
    path.mkdir()
    if form == "batches":
        for number, index in enumerate((3, 4)):
            (path / f"batch-{number}.json").write_text(json.dumps(batch(index)))
        (path / "run_settings.json").write_text("{}")
        return path
    texts = {
        "batch.json": json.dumps(batch(3, 4)),
        "list.json": json.dumps([api(3), api(4)]),
        "lines.jsonl": f"{json.dumps(api(3))}\n{json.dumps(api(4))}\n",
    }
    (path / form).write_text(texts[form])
    return path / form


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("batches", "saedashboard"),
        ("batch.json", "saedashboard"),
        ("list.json", "feature-json"),
        ("lines.jsonl", "feature-json"),
    ],
)
def test_they_come_in_as_the_folder_made_of_them(tmp_path: Path, form: str, name: str):
    path = write(tmp_path / "in", form)
    assert formats.recognised(path).name == name
    with (
        Store.open(tmp_path / "a.db", create=MODEL) as one,
        Store.open(tmp_path / "b.db", create=MODEL) as two,
    ):
        import_folder(one, folder(tmp_path))
        assert main(["import", str(two.path), str(path), "--dry-run"]) == 0
        assert two.stats()["features"] == 0
        assert main(["import", str(two.path), str(path)]) == 0
        assert known(two) == known(one)
        said = [(s.feature, s.method, s.text) for s in two.suggestions()]
        wanted = [(i, "oai_token-act-pair", "the colour red") for i in (3, 4)]
        assert said == (wanted if name == "feature-json" else [])
        assert main(["undo-import", str(two.path)]) == 0
        assert two.stats()["features"] == 0


def test_one_feature_of_the_web_api_is_a_file_of_its_own(tmp_path: Path):
    (tmp_path / "f.json").write_text(json.dumps(api(3)))
    assert formats.recognised(tmp_path / "f.json").name == "feature-json"
    with Store.open(tmp_path / "s.db", create=MODEL) as store:
        report = formats.named("feature-json").read(store, tmp_path / "f.json")
        assert report.counts == {"features": 1, "examples": 1, "suggestions": 1} and report.notes == []


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.json", [api(3), api(4, layer="3-res")], "row 2: layer is '3-res' in a folder of '15-res'"),
        ("a.json", [api(3, modelId="gpt2-small"), api(4)], "say --same-model"),
        ("a.json", [api(3), api(40)], "row 2: feature 40 is none of this store's model"),
        ("a.json", [api(3), 5], "row 2: must be an object"),
        ("a.json", [api(3, activations={})], "row 1: activations must be a list"),
        (
            "a.json",
            api(3, activations=[{"tokens": TOKENS, "values": [0, None, 0]}]),
            "row 1/activations/1: values must be a number, not None",
        ),
        ("b.json", batch(3, layer=0), "is of layer 0, this store of 'tiny' layer 15"),
        ("b.json", batch(3, model_id="gpt2-small"), "say --same-model"),
        ("b.json", batch(3, 40), "row features/2: feature 40 is none"),
        ("b.json", batch(3, features=[5]), "row features/1: must be an object"),
        ("b.json", batch(3, features=5), "has no list of features"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place_and_nothing_changes(
    store: Store, tmp_path: Path, name: str, data: Any, words: str
):
    path = tmp_path / name
    path.write_text(json.dumps(data))
    before = list(store.conn.iterdump())
    format = formats.named("feature-json" if name == "a.json" else "saedashboard")
    with pytest.raises(StoreError) as refused:
        format.read(store, path)
    assert words in str(refused.value) and str(path) in str(refused.value)
    assert list(store.conn.iterdump()) == before


def test_bad_parts_of_a_feature_are_skippable_and_others_examples_stay(store: Store, tmp_path: Path):
    good = {"tokens": TOKENS, "values": [0.0, 2.5, 0.0]}
    features = batch(3)["features"] + [
        {"feature_index": 4, "activations": [good, {"tokens": TOKENS, "values": [1]}, 7]},
        "no feature",
    ]
    path = tmp_path / "batch-0.json"
    path.write_text(json.dumps(batch(features=features)))
    format = formats.named("saedashboard")
    with pytest.raises(RowError, match="features/3"):
        format.read(store, path)
    mine = [e.text.hash for e in store.examples(3, purpose=None)]
    report = format.read(store, path, skip_bad=True)
    assert "3 bad rows were left out" in report.notes and report.counts["examples"] == 0
    assert [e.text.hash for e in store.examples(3, purpose=None)] == mine
    assert format.read(store, path, skip_bad=True, replace=True).counts["examples"] == 2
