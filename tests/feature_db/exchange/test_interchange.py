"""Other programs' files: what they can hold makes the round trip; what is bad is refused whole, with its place."""

from __future__ import annotations

import csv
import gzip
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_db import FeatureRecord, ModelRecord, RowError, Store, StoreError, SuggestionRecord
from feature_db.__main__ import main
from feature_db.exchange.auto_labels import export_auto_labels, import_auto_labels
from feature_db.exchange.contexts import export_contexts, import_contexts
from feature_db.exchange.csv_table import export_csv, import_csv
from feature_db.exchange.foreign import written_beside
from feature_db.exchange.neuronpedia_export import BATCH, NOT_HELD, export_folder
from feature_db.exchange.neuronpedia_import import import_folder
from feature_db.exchange.parquet_table import export_parquet, import_parquet
from tests.feature_db.conftest import MODEL

SCRIPT = "<script>alert(1)</script>"


def fresh(tmp_path: Path, name: str = "fresh.db") -> Store:
    return Store.open(tmp_path / name, create=MODEL)


def content(store: Store) -> list[str]:
    return list(store.conn.iterdump())


def write_gz(path: Path, rows: list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


# -- contexts and auto-labels ------------------------------------------------------------------------------

CONTEXTS = {
    "total_latents": 40,
    "threshold": 0.5,
    "max_length": 64,
    "max_per_token": 8,
    "lines": 1000,
    "latent_context_map": {
        "3": {
            " no": [{"context": "oh no", "activation": 2.5}, {"context": f"no {SCRIPT}", "activation": 9.0}]
        },
        "7": {"": [], "é\n": [{"context": "café\n", "activation": 0.25}]},
    },
}


def test_contexts_make_the_round_trip(tmp_path: Path):
    (tmp_path / "in.json").write_text(json.dumps({**CONTEXTS, "unheard_of": {"a": 1}}))
    with fresh(tmp_path) as store:
        report = import_contexts(store, tmp_path / "in.json")
        assert report.counts["examples"] == 3 and "unheard_of" in report.notes[0]
        best = store.examples(3)[0]
        assert (best.activation, best.token, best.text.messages[0]["content"]) == (9.0, " no", f"no {SCRIPT}")
        export_contexts(store, tmp_path / "out.json")
    out = json.loads((tmp_path / "out.json").read_text())
    wanted = json.loads(json.dumps(CONTEXTS))
    wanted["latent_context_map"]["3"][" no"].reverse()  # largest activation first
    del wanted["latent_context_map"]["7"][""]
    assert out.pop("fingerprint") == MODEL.fingerprint and out == wanted


@pytest.mark.slow
def test_the_header_of_contexts_never_speaks_of_what_another_file_held(
    tmp_path: Path, harvest: dict[str, list[Any]]
):
    strong = {"context": "a text", "activation": 6.0}
    told = {"total_latents": 40, "threshold": 5.0, "max_length": 7, "max_per_token": 1, "lines": 3}
    (tmp_path / "in.json").write_text(json.dumps({**told, "latent_context_map": {"1": {"a": [strong]}}}))

    def exported(**options: Any) -> dict[str, Any]:
        export_contexts(store, tmp_path / "out.json", **options)
        found = json.loads((tmp_path / "out.json").read_text())
        per_token = [
            tokens for by_token in found.pop("latent_context_map").values() for tokens in by_token.values()
        ]
        del found["fingerprint"]
        assert found["max_per_token"] >= max(map(len, per_token))
        assert found["threshold"] <= min(context["activation"] for tokens in per_token for context in tokens)
        return found

    with fresh(tmp_path) as store:
        import_contexts(store, tmp_path / "in.json")
        assert exported() == told
        more = {"2": {"a": [strong, {"context": "weaker", "activation": 4.0}]}}
        (tmp_path / "more.json").write_text(
            json.dumps({**told, "threshold": 4.0, "latent_context_map": more})
        )
        import_contexts(store, tmp_path / "more.json")
        import_contexts(store, tmp_path / "in.json")
        assert exported() == {**told, "threshold": 4.0, "max_per_token": 2}
        assert exported(max_per_token=1) == {**told, "threshold": 4.0}
        # The harvest replaces all of it.
        store.import_harvest(**harvest)
        computed = exported()
        assert {**computed, "max_per_token": 0} == {
            **{"total_latents": 40, "threshold": 0.0, "max_length": 10, "max_per_token": 0, "lines": 30}
        }
        # And again for one feature, beside others that were harvested.
        import_contexts(store, tmp_path / "in.json", replace=True)
        assert exported()["threshold"] == 0.0 and exported()["lines"] == 31


def test_contexts_of_a_harvest_hold_every_firing_example(store: Store, tmp_path: Path):
    export_contexts(store, tmp_path / "c.json", purpose=None)
    written = json.loads((tmp_path / "c.json").read_text())["latent_context_map"]
    for feature in range(40):
        wanted = {
            (e.text.tokens[e.peak_position], "".join(e.text.tokens), e.activation)
            for e in store.examples(feature, purpose=None)
            if e.kind != "silent"
        }
        found = {(t, c["context"], c["activation"]) for t, cs in written[str(feature)].items() for c in cs}
        assert found == wanted


def spoil_contexts(**changes: Any) -> dict[str, Any]:
    return {**CONTEXTS, **changes}


def one(entry: Any, feature: str = "3") -> dict[str, Any]:
    return spoil_contexts(latent_context_map={"1": {"a": []}, feature: {"a": [entry]}})


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (spoil_contexts(total_latents=41), "41 features"),
        (spoil_contexts(total_latents=10**4000), "features"),
        (spoil_contexts(latent_context_map=[]), "no latent_context_map"),
        (one({"context": "x", "activation": float("nan")}), "latent_context_map/3"),
        (one({"context": "x", "activation": 10**400}), "latent_context_map/3"),
        (one({"context": "x", "activation": "1"}), "latent_context_map/3"),
        (one({"context": ["x"], "activation": 1}), "latent_context_map/3"),
        (one({"context": "x", "activation": 1}, "40"), "latent_context_map/40"),
        (one({"context": "x", "activation": 1}, "-1"), "latent_context_map/-1"),
        (one({"context": "x", "activation": 1}, "9" * 30), "latent_context_map/99"),
        (one({"context": "x", "activation": 1}, "../../etc"), "latent_context_map/../../etc"),
        (one("x"), "latent_context_map/3"),
        (spoil_contexts(latent_context_map={"3": ["a"]}), "latent_context_map/3"),
    ],
)
def test_bad_contexts_are_refused_with_their_place(store: Store, tmp_path: Path, data: Any, place: str):
    path = tmp_path / "in.json"
    path.write_text(json.dumps(data))
    before = content(store)
    with pytest.raises(StoreError) as error:
        import_contexts(store, path)
    assert str(path) in str(error.value) and place in str(error.value) and len(str(error.value)) < 400
    assert content(store) == before


@pytest.mark.parametrize("text", ["", "{", "[1]", "[" * 100_000, '{"a": ' + "9" * 5000 + "}", "\xff"])
def test_what_is_not_json_is_refused_in_one_line(store: Store, tmp_path: Path, text: str):
    path = tmp_path / "in.json"
    path.write_text(text, encoding="latin-1")
    for read in (import_contexts, import_auto_labels):
        with pytest.raises(StoreError, match=r"in\.json"):
            read(store, path)


def test_auto_labels_come_in_as_suggestions_and_make_the_round_trip(store: Store, tmp_path: Path):
    data = {
        "engine": "gpt-4",
        "features_scored": 2,
        "results": {
            "3": {
                "score": 4,
                "explanation": f"refusals {SCRIPT}",
                "contexts": ["a", "b"],
                "response": "long",
            },
            "5": {"score": None, "explanation": "=1+1", "contexts": [], "response": None, "seconds": 1.5},
        },
    }
    (tmp_path / "in.json").write_text(json.dumps(data))
    import_auto_labels(store, tmp_path / "in.json")
    import_auto_labels(store, tmp_path / "in.json")
    assert store.feature(3).suggestions[0]["method"] == "auto-label: gpt-4"
    assert store.feature(3).n_labels == 0
    export_auto_labels(store, tmp_path / "out.json")
    whose = {"fingerprint": MODEL.fingerprint, "model": "tiny", "total_latents": 40}
    assert json.loads((tmp_path / "out.json").read_text()) == data | whose


@pytest.mark.parametrize(
    "entry",
    [
        {"score": 6, "explanation": "x"},
        {"score": 0.5, "explanation": "x"},
        {"score": True, "explanation": "x"},
        {"score": 10**30, "explanation": "x"},
        {"explanation": ["x"]},
        {"explanation": "x", "contexts": "abc"},
        {"explanation": "x", "more": float("inf")},
        "x",
    ],
)
def test_bad_auto_labels_are_refused_with_their_place(store: Store, tmp_path: Path, entry: Any):
    path = tmp_path / "in.json"
    path.write_text(json.dumps({"engine": "e", "results": {"1": {"explanation": "fine"}, "2": entry}}))
    with pytest.raises(RowError, match=r"in\.json, row results/2: "):
        import_auto_labels(store, path)
    assert store.suggestions() == []


# -- tables ------------------------------------------------------------------------------------------------

TABLES: list[tuple[str, Callable[..., Any], Callable[..., Any]]] = [
    ("f.csv", export_csv, import_csv),
    ("f.parquet", export_parquet, import_parquet),
]


@pytest.mark.parametrize(("name", "write", "read"), TABLES)
def test_tables_hold_every_statistic_exactly(store: Store, tmp_path: Path, name: str, write: Any, read: Any):
    write(store, tmp_path / name)
    with fresh(tmp_path) as other:
        assert read(other, tmp_path / name).counts == {"features": 40}
        for table in ("features", "feature_details"):
            mine, theirs = (sorted(map(tuple, s.rows(f"SELECT * FROM {table}"))) for s in (store, other))
            assert mine == theirs
        # A second import of part of the columns keeps the rest.
        other.import_harvest([FeatureRecord(3, max=99.0)], keep_examples=True)
        assert other.feature(3).record.mean == store.feature(3).record.mean


def test_formulas_and_line_breaks_in_labels_are_text_in_a_csv(store: Store, tmp_path: Path):
    texts = ["=cmd|' /C calc'!A0", "+1", "-1", "@x", "\tx", 'say "hi",\nthen go', "'quoted"]
    store.add_suggestions([SuggestionRecord(i, "m", text) for i, text in enumerate(texts)])
    export_csv(store, tmp_path / "f.csv")
    with open(tmp_path / "f.csv", newline="", encoding="utf-8") as file:
        cells = [row["suggestion"] for row in csv.DictReader(file)][: len(texts)]
    assert not any(cell.startswith(("=", "+", "-", "@", "\t")) for cell in cells)
    assert [cell.removeprefix("'") for cell in cells[:5]] == texts[:5]
    assert cells[5] == texts[5]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        ("feature,max", "3,nan", "finite"),
        ("feature,max", "3,1e999", "finite"),
        ("feature,max", "3,=1+1", "max is"),
        ("feature,max", "40,1", "no feature 40"),
        ("feature,max", "99999999999999999999999,1", "between"),
        ("feature,max", ",1", "whole number"),
        ("feature,max", "1,1", "listed twice"),
        ("feature,histogram_counts,histogram_edges", '3,"[1]","[1]"', "n \\+ 1 edges"),
        ("feature,histogram_counts,histogram_edges", '3,"[9999999999999999999999]","[1,2]"', "between"),
        ("feature,neighbours,neighbour_cosines", '3,"[1,2]","[0.5]"', "equally long"),
        ("feature,neighbours,neighbour_cosines", '3,"{}","[0.5]"', "must be a list"),
        ("feature,firing_count,denominator", "3,5,4", "5 times in 4"),
        (
            "feature,histogram_counts",
            '3,"[5]"',
            "row 3: histogram_edges and histogram_counts come together: give both",
        ),
        ("feature,histogram_edges", '3,"[1,2]"', "come together: give both"),
        (
            "feature,density",
            "3,0.999",
            r"row 3: density 0\.999 does not fit the stored counts, .* of 300: give",
        ),
        ("feature,density,firing_count,denominator", "3,0.9,1,10", "does not fit the row's counts, 1 of 10"),
        ("feature,density,firing_count,denominator", "3,0.9,0,0", "does not fit the row's counts, 0 of 0"),
        ("feature,mean", "3,500", r"row 3: mean 500 \(the row's\) is above max .* \(stored\): give both"),
        ("feature,max", "3,0.001", r"mean .* \(stored\) is above max 0\.001 \(the row's\): give both"),
        ("feature,mean,max", "3,5,2", "mean 5 .* is above max 2"),
    ],
)
def test_a_bad_csv_row_is_refused_and_nothing_changes(
    store: Store, tmp_path: Path, header: str, row: str, message: str
):
    path = tmp_path / "f.csv"
    path.write_text(f"{header}\n1{',' * header.count(',')}\n{row}\n")
    before = content(store)
    with pytest.raises(RowError, match=message) as error:
        import_csv(store, path)
    assert "f.csv, row" in str(error.value)
    assert content(store) == before


def test_rounded_and_repeated_numbers_of_a_table_are_taken_in(store: Store, tmp_path: Path):
    path = tmp_path / "f.csv"
    record = store.feature(3).record
    path.write_text(f"feature,density,mean,max\n3,{record.density:.4g},{record.max:.9g},\n99,0.5,,\n")
    with Store.open(tmp_path / "wide.db", create=ModelRecord("w", "wide", 100)) as wide:
        wide.import_harvest([record])
        assert import_csv(wide, path).counts == {"features": 2}
        assert wide.feature(3).record.density == record.density
        # What is stored already is no contradiction that the row brings in.
        wide.conn.execute("UPDATE features SET mean = 9, max = 2 WHERE id = 3")
        export_csv(wide, path)
        import_csv(wide, path)


@pytest.mark.parametrize("data", [b"", b"PAR1" * 10, b"\xff\xfe,a\n", b"a,b\n1,2\n"])
def test_files_that_are_no_tables_are_refused(store: Store, tmp_path: Path, data: bytes):
    path = tmp_path / "f"
    path.write_bytes(data)
    for read in (import_csv, import_parquet):
        with pytest.raises(StoreError, match=str(path)):
            read(store, path)


# -- Neuronpedia -------------------------------------------------------------------------------------------


def holdable(store: Store) -> dict[str, Any]:
    """Everything of a store that the folder format has a place for."""
    features = {}
    for record in store.records():
        edges, counts = record.histogram_edges, record.histogram_counts
        features[record.id] = (
            record.density,
            record.max,
            None if counts is None else np.asarray(counts).tolist(),
            None if edges is None else np.round(np.sqrt(edges[:-1] * edges[1:]), 9).tolist(),
            record.neighbours,
        )
    examples = {
        (
            *(e.feature, e.kind, e.band, e.rank, e.purpose, e.peak_position, e.activation, e.band_low),
            *(e.band_high, "\0".join(e.text.tokens or ()), tuple(e.values.tolist()), e.text.source),
        )
        for feature in features
        for e in store.examples(feature, purpose=None)
    }
    suggestions = {(s.feature, s.method, s.text) for s in store.suggestions()}
    return {"features": features, "examples": examples, "suggestions": suggestions}


@pytest.mark.slow
def test_a_folder_holds_all_it_can_and_lists_the_rest(store: Store, tmp_path: Path):
    store.add_suggestions(
        [SuggestionRecord(3, "log-odds", f"refusals {SCRIPT}"), SuggestionRecord(3, "gpt", "no")]
    )
    report = export_folder(store, tmp_path, model_id="tiny", source_id="15-sarm")
    assert [note for note in report.notes if note.endswith(NOT_HELD[0])]
    assert len(report.notes) == len(NOT_HELD)
    with fresh(tmp_path) as other:
        counts = import_folder(other, tmp_path / "tiny").counts
        assert counts == {"features": 40, "examples": 960, "suggestions": 2}
        mine, theirs = holdable(store), holdable(other)
        for part in mine:
            assert theirs[part] == mine[part], part
        # And once more: reading what was read changes nothing.
        export_folder(other, tmp_path / "again", model_id="tiny", source_id="15-sarm")
        with fresh(tmp_path, "third.db") as third:
            import_folder(third, tmp_path / "again")
            assert holdable(third) == theirs


@pytest.mark.slow
def test_batches_hold_1024_rows_and_a_zip_reads_like_the_folder(store: Store, tmp_path: Path):
    with Store.open(tmp_path / "wide.db", create=ModelRecord("w", "wide", 2 * BATCH + 1)) as wide:
        wide.import_harvest(FeatureRecord(i, max=float(i)) for i in range(2 * BATCH + 1))
        export_folder(wide, tmp_path, model_id="wide", source_id="1-s")
    folder = tmp_path / "wide/1-s/features"
    sizes = []
    for name in ("batch-0.jsonl.gz", "batch-1.jsonl.gz", "batch-2.jsonl.gz"):
        with gzip.open(folder / name) as file:
            sizes.append(len(file.readlines()))
    assert sizes == [BATCH, BATCH, 1] and len(list(folder.iterdir())) == 3
    with zipfile.ZipFile(tmp_path / "w.zip", "w") as archive:
        for path in folder.parent.rglob("*.gz"):
            archive.write(path, path.relative_to(tmp_path))
    with Store.open(tmp_path / "copy.db", create=ModelRecord("w", "wide", 2 * BATCH + 1)) as copy:
        assert import_folder(copy, tmp_path / "w.zip").counts["features"] == 2 * BATCH + 1
        assert copy.feature(2 * BATCH).record.max == 2 * BATCH


def test_an_export_never_replaces_or_leaves_half_a_folder(store: Store, tmp_path: Path, monkeypatch: Any):
    export_folder(store, tmp_path, model_id="m", source_id="1-s")
    with pytest.raises(StoreError, match="is there already"):
        export_folder(store, tmp_path, model_id="m", source_id="1-s")
    for name in ("..", "../x", "/etc", "a/b", "", "-", "a..b"):
        with pytest.raises(StoreError, match="cannot name a folder"):
            export_folder(store, tmp_path, model_id=name, source_id="1-s")
    monkeypatch.setattr("feature_db.exchange.neuronpedia_export._activation", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export_folder(store, tmp_path, model_id="m", source_id="2-s")
    assert os.listdir(tmp_path / "m") == ["1-s"]


GOOD = {"index": "3", "tokens": ["a", "b"], "values": [0, 1.5], "maxValue": 1.5}


def test_foreign_activations_are_data_whatever_they_say(tmp_path: Path):
    rows = [
        {**GOOD, "unheard_of": {"deep": [1]}, "tokens": [SCRIPT, "\ud83d"]},
        {**GOOD, "id": "sarm:4:top:0:check:7", "dataSource": {"not": "text"}},
        {**GOOD, "index": 3, "tokens": ["c", "d"], "binMin": 0.5, "binMax": 2, "maxValueTokenIndex": 0},
        GOOD,
    ]
    write_gz(tmp_path / "m/1-s/activations/batch-0.jsonl.gz", rows)
    (tmp_path / "m/1-s/README.md").write_text("hello")
    with fresh(tmp_path) as store:
        report = import_folder(store, tmp_path / "m/1-s", same_model=True)
        kinds = [(e.kind, e.rank, e.purpose, e.band_low) for e in store.examples(3, purpose=None)]
        assert kinds == [("top", 0, "label", None), ("top", 1, "label", None), ("band", 0, "label", 0.5)]
        assert store.examples(3)[0].text.tokens == [SCRIPT, "\ufffd"]
    assert report.notes == [
        "1 other files were not read",
        "1 activations repeat a text of their feature and kind",
        "keys without a meaning here: unheard_of",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "row"),
    [
        ("activations", {**GOOD, "index": "40"}),
        ("activations", {**GOOD, "index": 10**30}),
        ("activations", {**GOOD, "index": "3; DROP TABLE"}),
        ("activations", {**GOOD, "values": [float("nan"), 1]}),
        ("activations", {**GOOD, "values": [1]}),
        ("activations", {**GOOD, "values": [[1], [2]]}),
        ("activations", {**GOOD, "values": [1e300, 1]}),
        ("activations", {**GOOD, "tokens": "ab"}),
        ("activations", {**GOOD, "tokens": [1, 2]}),
        ("activations", {**GOOD, "maxValueTokenIndex": 2}),
        ("activations", {**GOOD, "maxValue": "1"}),
        ("features", {"index": 3, "frac_nonzero": 1.5}),
        ("features", {"index": 3, "maxActApprox": float("inf")}),
        ("features", {"index": 3, "topkCosSimIndices": [40], "topkCosSimValues": [0.5]}),
        ("features", {"index": 3, "topkCosSimIndices": [4], "topkCosSimValues": []}),
        ("features", {"index": 3, "freq_hist_data_bar_heights": [1, 2], "freq_hist_data_bar_values": [2, 1]}),
        (
            "features",
            {"index": 3, "freq_hist_data_bar_heights": [-1, 2], "freq_hist_data_bar_values": [1, 2]},
        ),
        ("explanations", {"index": 3, "description": 5}),
        ("explanations", {"index": None, "description": "x"}),
        ("explanations", ["x"]),
    ],
)
def test_a_bad_row_of_a_folder_is_refused_whole_naming_file_and_place(
    store: Store, tmp_path: Path, kind: str, row: Any
):
    good = {"features": {"index": 1}, "explanations": {"index": 1, "description": "x"}, "activations": GOOD}
    for name, entry in good.items():
        rows = [entry, row] if name == kind else [entry]
        write_gz(tmp_path / f"m/1-s/{name}/batch-0.jsonl.gz", rows)
    before = content(store)
    with pytest.raises(RowError, match=r"row .*2: ") as error:
        import_folder(store, tmp_path / "m", same_model=True)
    assert str(tmp_path / "m") in str(error.value) and "\n" not in str(error.value)
    assert content(store) == before


def test_paths_that_lead_outside_are_refused(store: Store, tmp_path: Path):
    for name in ("../../evil/features/batch-0.jsonl.gz", "/etc/features/batch-0.jsonl.gz", "a\\..\\..\\b"):
        with zipfile.ZipFile(tmp_path / "slip.zip", "w") as archive:
            archive.writestr(name, b"")
        with pytest.raises(StoreError, match="outside the archive"):
            import_folder(store, tmp_path / "slip.zip")
    (tmp_path / "secret.gz").write_bytes(gzip.compress(b'{"index": 1}\n'))
    linked = tmp_path / "m/1-s/features"
    linked.mkdir(parents=True)
    (linked / "batch-0.jsonl.gz").symlink_to(tmp_path / "secret.gz")
    with pytest.raises(StoreError, match="outside the folder"):
        import_folder(store, tmp_path / "m", same_model=True)


@pytest.mark.parametrize(
    "data",
    [b"", b"not gzip", gzip.compress(b'{"index": 1}\n' * 99)[:-9]],
    ids=["empty", "not gzip", "cut off"],
)
def test_damaged_batches_are_refused(store: Store, tmp_path: Path, data: bytes):
    path = tmp_path / "m/1-s/features/batch-0.jsonl.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    if data:
        with pytest.raises(RowError, match=r"batch-0\.jsonl\.gz, row"):
            import_folder(store, tmp_path / "m", same_model=True)
    else:
        assert import_folder(store, tmp_path / "m", same_model=True).counts["features"] == 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)

KEYS = (
    *(
        "tokens",
        "values",
        "description",
        "typeName",
        "id",
        "frac_nonzero",
        "maxActApprox",
        "maxValue",
        "binMin",
    ),
    *("topkCosSimIndices", "topkCosSimValues", "maxValueTokenIndex"),
    *("freq_hist_data_bar_heights", "freq_hist_data_bar_values"),
)


@pytest.mark.slow
@given(
    kind=st.sampled_from(["features", "explanations", "activations"]),
    rows=st.lists(
        st.fixed_dictionaries(
            {"index": JSON | st.integers(0, 39)},
            optional={
                key: JSON | st.lists(st.floats() | st.integers() | st.text(), max_size=3) for key in KEYS
            },
        ),
        max_size=3,
    ),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
def test_any_rows_are_taken_in_or_refused_by_name(store: Store, tmp_path: Path, kind: str, rows: list[Any]):
    write_gz(tmp_path / f"m/1-s/{kind}/batch-0.jsonl.gz", rows)
    try:
        import_folder(store, tmp_path / "m", same_model=True)
    except RowError as error:
        assert error.row is not None or "twice" in str(error)
    finally:
        (tmp_path / f"m/1-s/{kind}/batch-0.jsonl.gz").unlink()
    for table in store.rows("PRAGMA foreign_key_check"):
        raise AssertionError(tuple(table))


# -- command line ------------------------------------------------------------------------------------------


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "feature_db", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
    )


@pytest.mark.slow
def test_the_command_line_exports_imports_and_counts(store: Store, path: Path, tmp_path: Path, capsys: Any):
    export = ["export", path, "--format", "neuronpedia", "--out", tmp_path, "--model-id", "tiny"]
    assert main(list(map(str, export))) == 0
    shown = capsys.readouterr()
    assert "40 features" in shown.out and "head weights" in shown.err
    assert (tmp_path / "tiny/15-sarm/activations/batch-0.jsonl.gz").exists()
    fresh(tmp_path).close()
    assert main(["import", str(tmp_path / "fresh.db"), str(tmp_path / "tiny")]) == 0
    done = run("stats", tmp_path / "fresh.db", "--json")
    assert done.returncode == 0, done.stderr
    stats = json.loads(done.stdout)
    assert (stats["features"], stats["examples"], stats["fingerprint"]) == (40, 960, MODEL.fingerprint)


@pytest.mark.slow
def test_bad_input_is_one_line_and_exit_code_2(store: Store, path: Path, tmp_path: Path, capsys: Any):
    (tmp_path / "bad.csv").write_text("feature,max\n1,nan\n")
    (tmp_path / "odd.json").write_text("{}")
    done = run("import", path, tmp_path / "bad.csv")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "bad.csv, row 2" in done.stderr
    for arguments in (
        ["stats", tmp_path / "none.db"],
        ["import", path, tmp_path / "none.csv"],
        ["import", path, tmp_path / "odd.json"],
        ["import", path, tmp_path / "odd.json", "--format", "contexts"],
        ["export", path, "--format", "auto-labels", "--out", tmp_path / "x.json"],
        ["export", path, "--format", "csv", "--out", tmp_path / "bad.csv" / "x.csv"],
        ["export", path, "--format", "neuronpedia", "--out", tmp_path, "--model-id", "../x"],
    ):
        assert main(list(map(str, arguments))) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1
    assert not (tmp_path / "x.json").exists()


def test_a_file_is_whole_file_or_not_at_all(tmp_path: Path):
    path = tmp_path / "out.json"
    path.write_text("old")
    with pytest.raises(RuntimeError), written_beside(path) as beside:
        beside.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["out.json"]
