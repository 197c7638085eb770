"""Files of other programs: whose model they are of, what they may replace, bad rows, and undoing an import."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from feature_db import FeatureFilter, ModelRecord, RowError, Store, StoreError, SuggestionRecord
from feature_db.__main__ import main
from feature_db.exchange.auto_labels import import_auto_labels
from feature_db.exchange.contexts import import_contexts
from feature_db.exchange.csv_table import import_csv
from feature_db.exchange.neuronpedia_export import export_folder
from feature_db.exchange.neuronpedia_import import import_folder
from feature_db.harvest.undo import last_undoable, undo_import
from feature_db.label.labels import Labels
from feature_db.label.queues import Queues
from feature_db.roles import People
from tests.feature_db.conftest import MODEL, make_harvest
from tests.feature_db.exchange.test_interchange import write_gz

CASES = Path(__file__).parents[4] / "shared/cases/neuronpedia"


def content(store: Store) -> list[str]:
    """Everything a store holds but for what it keeps to undo, when it changed, and what SQLite keeps for itself."""
    other = re.compile(r'INSERT INTO "(undo_[a-z]+|changes|sqlite_stat1|\w+_fts_\w+)"')
    return [line for line in store.conn.iterdump() if not other.match(line)]


def feature_row(index: int, **more: Any) -> dict[str, Any]:
    bars = {"freq_hist_data_bar_heights": [5, 3, 1], "freq_hist_data_bar_values": [0.5, 1.0, 1.5]}
    return {"modelId": "tiny", "layer": "15-res", "index": str(index), "maxActApprox": 2.0} | bars | more


def activation_row(index: int, word: str, **more: Any) -> dict[str, Any]:
    tokens = {"tokens": ["The", " red", word], "values": [0.0, 2.0, 0.0]}
    return (
        {"modelId": "tiny", "layer": "15-res", "id": word, "index": str(index), "maxValue": 2.0}
        | tokens
        | more
    )


def folder(tmp_path: Path, name: str = "tiny/15-res", **kinds: list[Any]) -> Path:
    for kind, rows in kinds.items():
        write_gz(tmp_path / name / kind / "batch-0.jsonl.gz", rows)
    return tmp_path / name


@pytest.fixture
def other_model(tmp_path: Path) -> Path:
    """A folder of another model's layer, for features that the store has examples of."""
    rows = {"modelId": "gpt2-small", "layer": "0-res-jb"}
    return folder(
        tmp_path,
        "gpt2-small/0-res-jb",
        features=[feature_row(i, **rows) for i in (0, 1)],
        activations=[activation_row(i, w, **rows) for i in (0, 1) for w in "ab"],
        explanations=[{**rows, "index": "0", "id": "e", "description": "the colour red", "typeName": "oai"}],
    )


# -- whose it is ---------------------------------------------------------------------------------------------


def test_a_folder_of_another_model_is_refused_in_one_line_and_nothing_changes(
    store: Store, other_model: Path, capsys: Any
):
    before = content(store)
    for options in ([], ["--dry-run"], ["--skip-bad"], ["--replace"]):
        assert main(["import", str(store.path), str(other_model), *options]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and "--same-model" in error
        assert "is of model 'gpt2-small' layer 0, this store of 'tiny' layer 15" in error
    assert content(store) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "model", "fits"),
    [
        ("tiny/15-res", MODEL, True),
        ("Tiny/15-res", MODEL, True),
        ("tiny/14-res", MODEL, False),
        ("gemma-2-2b/15-res", MODEL, False),
        ("llama3-8b/15-res", ModelRecord("a", "/models/Llama-3.1-8B", 40, {"layer": 15}), False),
        ("llama3.1-8b/15-res", ModelRecord("a", "/models/Llama-3.1-8B/", 40, {"layer": 15}), True),
        ("sarm-4b/15-res", ModelRecord("a", "x", 40, {"source": "org/SARM-4B"}), True),
        ("x/anything", ModelRecord("a", "x", 40, {"layer": 15}), True),
    ],
)
def test_names_of_model_and_layer_are_compared_as_far_as_they_say_anything(
    tmp_path: Path, name: str, model: ModelRecord, fits: bool
):
    write_gz(tmp_path / name / "features/batch-0.jsonl.gz", [{"index": 3, "maxActApprox": 1.0}])
    with Store.open(tmp_path / "s.db", create=model) as store:
        if fits:
            assert import_folder(store, tmp_path).counts["features"] == 1
            return
        with pytest.raises(StoreError, match="say --same-model"):
            import_folder(store, tmp_path)
        assert import_folder(store, tmp_path, same_model=True).counts["features"] == 1


@pytest.mark.slow
def test_what_this_program_wrote_is_told_by_its_fingerprint_whatever_it_is_called(
    store: Store, tmp_path: Path
):
    export_folder(store, tmp_path, model_id="any", source_id="3-name")
    with Store.open(tmp_path / "twin.db", create=ModelRecord("0" * 64, "any", 40, {"layer": 3})) as twin:
        with pytest.raises(StoreError, match=r"is of another model \(fingerprint ffffffffffff"):
            import_folder(twin, tmp_path / "any")
        assert twin.stats()["features"] == 0
    with Store.open(tmp_path / "same.db", create=MODEL) as same:
        assert import_folder(same, tmp_path / "any").counts["features"] == 40


@pytest.mark.parametrize("skip_bad", [False, True])
def test_a_wider_dictionary_or_a_row_of_another_source_is_never_skipped(
    store: Store, tmp_path: Path, skip_bad: bool
):
    for name, rows, words in (
        ("wide", [feature_row(1), feature_row(40)], "ids run from 0 to 39: another model's"),
        (
            "mixed",
            [feature_row(1), feature_row(2, layer="3-res")],
            "layer is '3-res' in a folder of '15-res'",
        ),
        ("mixed2", [feature_row(1), feature_row(2, modelId="gpt2")], "modelId is 'gpt2'"),
    ):
        path = folder(tmp_path / name, features=rows)
        with pytest.raises(RowError, match=r"batch-0\.jsonl\.gz, row 2: .*" + words):
            import_folder(store, path, skip_bad=skip_bad)


@pytest.mark.parametrize(
    ("says", "words"),
    [
        ({"total_latents": 41}, "of a dictionary of 41 features"),
        ({"fingerprint": "0" * 64}, "is of another model"),
        ({"model": "gpt2-small"}, "say --same-model"),
        ({"layer": 3}, "is of layer 3"),
    ],
)
def test_what_an_auto_label_file_says_of_its_model_has_to_hold(
    store: Store, tmp_path: Path, says: dict[str, Any], words: str
):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"engine": "e", "results": {"1": {"explanation": "x"}}} | says))
    with pytest.raises(StoreError, match=words):
        import_auto_labels(store, path)
    assert store.suggestions() == []


# -- what it may replace -------------------------------------------------------------------------------------


def test_examples_and_statistics_of_another_origin_stay_unless_told_to_replace_them(
    store: Store, tmp_path: Path
):
    store.conn.execute("UPDATE features SET max = NULL WHERE id = 2")
    rows = [activation_row(i, w) for i in (0, 1) for w in "ab"]
    path = folder(tmp_path, features=[feature_row(i, maxActApprox=9.0) for i in (0, 1, 2)], activations=rows)
    mine = {i: [e.text.hash for e in store.examples(i, purpose=None)] for i in (0, 1)}
    largest = store.feature(0).record.max
    report = import_folder(store, path)
    assert report.counts["examples"] == 0
    assert [note for note in report.notes if "the harvest, which stay: say --replace" in note]
    assert {i: [e.text.hash for e in store.examples(i, purpose=None)] for i in (0, 1)} == mine
    assert store.feature(0).record.max == largest and store.feature(2).record.max == 9.0
    rehearsed = import_folder(store, path, replace=True, dry_run=True)
    assert "examples of another origin would be replaced in 2 features" in rehearsed.notes
    assert {i: [e.text.hash for e in store.examples(i, purpose=None)] for i in (0, 1)} == mine
    assert import_folder(store, path, replace=True).counts["examples"] == 4
    assert [e.text.tokens[2] for e in store.examples(0, purpose=None)] == ["a", "b"]
    assert store.feature(0).record.max == 9.0
    # Its own it may renew, and another source may not touch them.
    folder(tmp_path, activations=[activation_row(0, "c")])
    assert import_folder(store, path).counts["examples"] == 1
    assert [e.text.tokens[2] for e in store.examples(0, purpose=None)] == ["c"]
    (tmp_path / "c.json").write_text(
        json.dumps({"latent_context_map": {"0": {"a": [{"context": "x", "activation": 1}]}}})
    )
    (stays,) = import_contexts(store, tmp_path / "c.json").notes
    assert "1 features have other examples or statistics of tiny/15-res, which stay" in stays
    # A harvest replaces all of it.
    store.import_harvest(**make_harvest())
    assert store.value("SELECT count(*) FROM origins") == 0


# -- rows as others write them ------------------------------------------------------------------------------


def test_one_bad_row_is_named_and_skippable_and_the_rest_comes_in(store: Store, tmp_path: Path, capsys: Any):
    rows = [
        activation_row(7, "a"),
        activation_row(7, "b", values=[0.0, None, 0.0]),
        activation_row(7, "c"),
    ]
    path = folder(tmp_path, activations=rows, features=[feature_row(7), feature_row(8, maxActApprox="x")])
    with gzip.open(path / "explanations.gz", "w"):
        pass
    before = content(store)
    assert main(["import", str(store.path), str(path)]) == 2
    assert "features/batch-0.jsonl.gz, row 2: maxActApprox must be a number" in capsys.readouterr().err
    assert content(store) == before
    assert main(["import", str(store.path), str(path), "--skip-bad", "--replace"]) == 0
    error = capsys.readouterr().err
    assert "2 bad rows were left out" in error
    assert "activations/batch-0.jsonl.gz, row 2: values must be a number, not None" in error
    assert [e.text.tokens[2] for e in store.examples(7, purpose=None)] == ["a", "c"]


def test_a_line_that_is_no_json_is_skippable_too(store: Store, tmp_path: Path):
    path = folder(tmp_path, features=[feature_row(7)])
    text = json.dumps(feature_row(8)) + "\n{not json\n" + json.dumps(feature_row(9)) + "\n"
    (path / "features/batch-1.jsonl").write_text(text)
    with pytest.raises(RowError, match=r"batch-1\.jsonl, row 2: not valid JSON"):
        import_folder(store, path)
    report = import_folder(store, path, skip_bad=True)
    assert report.counts["features"] == 3 and "1 bad rows were left out" in report.notes


def test_batches_are_read_whether_packed_or_not_and_whatever_they_are_called(store: Store, tmp_path: Path):
    path = folder(tmp_path, features=[feature_row(7)])
    said = {"index": "7", "id": "e0", "description": "the colour red", "typeName": "oai"}
    for name, data in (
        ("explanations/batch-0.jsonl", json.dumps(said).encode()),
        ("explanations/batch-1.jsonl.gz", json.dumps(said | {"description": "plain in .gz"}).encode()),
        ("explanations/batch-2.jsonl", gzip.compress(json.dumps(said | {"description": "packed"}).encode())),
    ):
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_bytes(data)
    assert import_folder(store, path).counts["suggestions"] == 3
    assert {s.text for s in store.suggestions()} == {"the colour red", "plain in .gz", "packed"}


def test_nulls_rounded_bars_and_a_feature_in_two_batches(tmp_path: Path):
    rounded = {
        "freq_hist_data_bar_heights": [4.0, 3, 2, 1],
        "freq_hist_data_bar_values": [0.1, 0.1, 0.2, 0.3],
    }
    nothing = dict.fromkeys(("maxActApprox", "frac_nonzero", *rounded), None) | {"topkCosSimIndices": None}
    path = folder(tmp_path, features=[feature_row(7, **rounded), feature_row(8, **nothing)])
    write_gz(path / "features/batch-1.jsonl.gz", [feature_row(7, **rounded)])
    write_gz(path / "activations/batch-0.jsonl.gz", [activation_row(7, "a")])
    write_gz(path / "activations/batch-1.jsonl.gz", [activation_row(7, "b")])
    with Store.open(tmp_path / "s.db", create=MODEL) as store:
        report = import_folder(store, path)
        assert report.counts == {"features": 2, "examples": 2, "suggestions": 0}
        assert "1 features are listed twice, with the same numbers" in report.notes
        record = store.feature(7).record
        assert np.asarray(record.histogram_counts).tolist() == [7, 2, 1]
        assert np.allclose(np.asarray(record.histogram_edges), [0.05, 0.15, 0.25, 0.35])
        assert store.feature(8).record.max is None and store.feature(8).record.histogram_edges is None
        assert [e.rank for e in store.examples(7)] == [0, 1]
        write_gz(path / "features/batch-1.jsonl.gz", [feature_row(7, maxActApprox=5.0)])
        with pytest.raises(RowError, match=r"batch-1\.jsonl\.gz, row 1: feature 7 is listed twice"):
            import_folder(store, path)
        assert import_folder(store, path, skip_bad=True).counts["features"] == 2


def test_bad_entries_of_the_other_formats_are_skippable(store: Store, tmp_path: Path):
    (tmp_path / "a.json").write_text(
        json.dumps({"engine": "e", "results": {"1": {"explanation": 5}, "2": {"explanation": "x"}}})
    )
    assert import_auto_labels(store, tmp_path / "a.json", skip_bad=True).counts == {"suggestions": 1}
    good = {"a": [{"context": "x", "activation": 1}]}
    (tmp_path / "c.json").write_text(json.dumps({"latent_context_map": {"1": {"a": "x"}, "2": good}}))
    report = import_contexts(store, tmp_path / "c.json", skip_bad=True, replace=True)
    assert report.counts["features"] == 1 and "latent_context_map/1" in report.notes[1]
    (tmp_path / "f.csv").write_text('feature,max\n1,nan\n2,900\n3,"[1"\n2,901\n')
    report = import_csv(store, tmp_path / "f.csv", skip_bad=True)
    assert report.counts == {"features": 1} and "3 bad rows were left out" in report.notes
    assert store.feature(2).record.max == 900


# -- undo ----------------------------------------------------------------------------------------------------


def test_an_import_is_undone_to_the_last_row_but_for_what_people_did(store: Store, tmp_path: Path):
    store.add_suggestions([SuggestionRecord(0, "oai", "was here")])
    before = content(store)
    said = [{"index": i, "id": f"e{i}", "description": "red", "typeName": "oai"} for i in (0, 1)]
    path = folder(
        tmp_path,
        features=[feature_row(i, maxActApprox=9.0, frac_nonzero=0.5) for i in (0, 1)],
        activations=[activation_row(i, w) for i in (0, 1) for w in "ab"],
        explanations=said,
    )
    import_folder(store, path, replace=True)
    assert content(store) != before and store.search("red")
    assert undo_import(store).source == str(path)
    assert content(store) == before
    assert [hit.feature for hit in store.search("here")] == [0] and not store.search("red")
    assert store.value("PRAGMA integrity_check") == "ok" and store.rows("PRAGMA foreign_key_check") == []
    with pytest.raises(StoreError, match="nothing to undo"):
        undo_import(store)


def test_what_people_did_since_stays_when_an_import_is_undone(tmp_path: Path):
    path = folder(
        tmp_path,
        features=[feature_row(i) for i in (1, 2, 3)],
        activations=[activation_row(i, w) for i in (1, 2, 3) for w in "ab"],
    )
    with Store.open(tmp_path / "s.db", create=MODEL) as store:
        import_folder(store, path)
        People(store).become_first_admin("ann")
        seen = store.examples(1)[0].text.hash
        Labels(store, "ann").label(1, "red things", evidence=[seen])
        Queues(store, "ann").make("q", FeatureFilter(ids=[2]), sort="id")
        undo_import(store)
        assert [row[0] for row in store.rows("SELECT id FROM features ORDER BY id")] == [1, 2]
        assert store.feature(1).record.max is None and store.examples(1, purpose=None) == []
        assert [event.text for event in Labels(store, "ann").current(1)] == ["red things"]
        assert store.rows("SELECT hash FROM texts")[0][0] == seen
        assert store.value("SELECT count(*) FROM texts") == 1
        assert store.rows("PRAGMA foreign_key_check") == []
        # And it comes in again.
        assert import_folder(store, path).counts == {"features": 3, "examples": 6, "suggestions": 0}


@pytest.mark.parametrize("what", ["auto-labels", "contexts", "csv"])
def test_every_import_of_another_program_is_undone(store: Store, tmp_path: Path, what: str):
    store.replace_suggestions(
        "auto-label: e", [SuggestionRecord(1, "", "before"), SuggestionRecord(2, "", "kept")]
    )
    results = {"2": {"explanation": "kept"}, "3": {"explanation": "new"}}
    files = {
        "auto-labels": ("a.json", json.dumps({"engine": "e", "results": results})),
        "contexts": (
            "c.json",
            json.dumps({"latent_context_map": {"1": {"a": [{"context": "x", "activation": 1}]}}}),
        ),
        "csv": ("f.csv", "feature,max\n1,900\n2,901\n"),
    }
    name, text = files[what]
    (tmp_path / name).write_text(text)
    before = content(store)
    read: Any = {"auto-labels": import_auto_labels, "contexts": import_contexts, "csv": import_csv}[what]
    read(store, tmp_path / name, **({"replace": True} if what == "contexts" else {}))
    assert content(store) != before
    undo_import(store)
    assert sorted(content(store)) == sorted(before) or [
        line for line in content(store) if "suggestions" not in line
    ] == [line for line in before if "suggestions" not in line]
    assert {(s.feature, s.text) for s in store.suggestions()} == {(1, "before"), (2, "kept")}


def test_only_the_last_import_is_undone_and_no_harvest(store: Store, tmp_path: Path, capsys: Any):
    path = folder(tmp_path, features=[feature_row(0)])
    assert last_undoable(store) is None
    import_folder(store, path)
    assert last_undoable(store) is not None
    import_folder(store, path, dry_run=True)
    assert last_undoable(store) is not None
    assert main(["undo-import", str(store.path)]) == 0
    assert f"undone: the import of {path} (neuronpedia)" in capsys.readouterr().out
    import_folder(store, path)
    store.import_harvest(**make_harvest())
    assert main(["undo-import", str(store.path)]) == 2
    assert "there is nothing to undo" in capsys.readouterr().err


# -- the shared cases ----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(not CASES.is_dir(), reason="../shared/cases is not here")
def test_the_shared_cases(store: Store, tmp_path: Path, capsys: Any):
    before = content(store)
    assert main(["import", str(store.path), str(CASES / "other_model")]) == 2
    assert "is of model 'gpt2-small' layer 0" in capsys.readouterr().err
    assert content(store) == before
    with Store.open(tmp_path / "gpt2.db", create=ModelRecord("a", "gpt2-small", 40, {"layer": 0})) as gpt2:
        assert main(["import", str(gpt2.path), str(CASES / "explanations_not_gzipped")]) == 0
        assert [s.text for s in gpt2.suggestions()] == ["the colour red"]
        command = ["import", str(gpt2.path), str(CASES / "one_null_value")]
        assert main(command) == 2
        assert "row 2: values must be a number, not None" in capsys.readouterr().err
        assert main([*command, "--skip-bad"]) == 0
        assert "1 bad rows were left out" in capsys.readouterr().err
        assert len(gpt2.examples(0)) == 1
