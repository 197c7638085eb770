"""Other programs' files: what they can hold makes the round trip; what is bad is refused whole, with its place."""

from __future__ import annotations

import csv
import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from feature_db import FeatureRecord, ModelRecord, RowError, Store, StoreError, SuggestionRecord
from feature_db.__main__ import main
from feature_db.exchange.auto_labels import export_auto_labels, import_auto_labels
from feature_db.exchange.contexts import export_contexts, import_contexts
from feature_db.exchange.csv_table import export_csv, import_csv
from feature_db.exchange.foreign import written_beside
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
