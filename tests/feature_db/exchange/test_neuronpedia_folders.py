"""Neuronpedia's folders: what they can hold makes the round trip, what is bad is refused whole, with its place."""

from __future__ import annotations

import gzip
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_db import FeatureRecord, ModelRecord, RowError, Store, StoreError, SuggestionRecord
from feature_db.exchange.neuronpedia_export import BATCH, NOT_HELD, export_folder
from feature_db.exchange.neuronpedia_import import import_folder
from tests.feature_db.exchange.test_interchange import SCRIPT, content, fresh, write_gz

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
