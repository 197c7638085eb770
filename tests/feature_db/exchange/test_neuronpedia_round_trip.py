"""What a Neuronpedia folder has a place for makes the round trip without loss, and others work while it is read."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from feature_db import ExampleRecord, FeatureRecord, RowError, Store, SuggestionRecord, TextRecord
from feature_db.exchange import neuronpedia_import
from feature_db.exchange.bars import edges_of, middles_of
from feature_db.exchange.neuronpedia_export import export_folder
from feature_db.exchange.neuronpedia_import import import_folder
from feature_db.label.labels import Labels
from feature_db.records import LABEL_METHOD
from sarm_core.harvest.bins import lower_edge
from tests.feature_db.conftest import MODEL
from tests.feature_db.exchange.test_interchange import write_gz

HISTOGRAMS = {
    "none": None,
    "one bar": [0.25, 0.5],
    "two bars": [0.25, 0.5, 1.0],
    "log-spaced": [lower_edge(i, 4) for i in range(-9, 8)],
    "cut off at the maximum": [lower_edge(i, 4) for i in range(3)] + [1.45],
    "tiny ones first": [0.0, *(lower_edge(i, 4) for i in range(-9, 8))],
    "negative ones first": [-0.7, 0.0, *(lower_edge(i, 4) for i in range(-3, 8))],
    "negative and tiny ones": [-0.7, 0.0, lower_edge(-40, 4), lower_edge(-39, 4)],
    "only negative ones": [-0.7, 0.0],
    "evenly spaced": [0.0, 0.1, 0.2, 0.3, 0.4],
    "evenly spaced around 0": [-0.3, -0.1, 0.1, 0.3],
}


def fill(store: Store) -> None:
    """Everything that the format has a place for, in every form a harvest, an import or a person gives it."""
    tokens = [["a", " b", "é\n"], ["\ufffd", "<script>", " c", "d"], ["e"]]
    texts = [TextRecord([{"role": "user", "content": "".join(t)}], None, t, "made up") for t in tokens]
    texts[2].source = None
    rng = np.random.default_rng(3)
    features, examples = [], []
    for i, edges in enumerate(HISTOGRAMS.values()):
        counts = None if edges is None else rng.integers(0, 9, len(edges) - 1)
        near = [(i + 1, np.float32(0.9)), (i + 2, np.float32(-1 / 3))] if i % 2 else []
        features.append(FeatureRecord(i, density=i / 100 or None, max=i / 3, histogram_edges=edges,
                                      histogram_counts=counts, neighbours=near))  # fmt: skip
        z = rng.exponential(size=4).astype(np.float32)
        examples += [
            ExampleRecord(i, 0, "top", 0, "label", float(z[1]), 1, [0, z[1], 0]),
            ExampleRecord(i, 1, "top", 1, "label", float(z[2]), 2, [0, -1.5, z[2], 0.5]),
            ExampleRecord(i, 0, "band", 0, "label", float(z[1]), 1, [0, z[1], 0], 2, 0.1, 1 / 3),
            ExampleRecord(i, 1, "random", 0, "label", float(z[2]), 2, [0, -1.5, z[2], 0.5]),
            # Silent where it counts, whatever the feature does at other tokens: such an example has no peak.
            ExampleRecord(i, 2, "silent", 0, "check", 0.0, None, [float(i % 2)]),
        ]
    store.import_harvest(features, texts, (), examples)
    store.add_suggestions(
        [SuggestionRecord(3, "log-odds", "said by a program"), SuggestionRecord(2, "auto-label: gpt", "two")]
    )
    for who, feature in (("bob", 3), ("ann", 3), ("ann", 9)):
        Labels(store, who).label(feature, f"label of {who}", category="safety")


def rows_of(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Every row of every batch, without the time the store was made."""
    found = {}
    for batch in sorted(folder.rglob("*.gz")):
        with gzip.open(batch) as file:
            rows = [json.loads(line) for line in file]
        for row in rows:
            row.pop("createdAt", None)
        found[batch.relative_to(folder).as_posix()] = rows
    return found


@pytest.mark.slow
def test_an_export_read_and_written_again_is_the_same_row_for_row(tmp_path: Path):
    with Store.open(tmp_path / "a.db", create=MODEL) as store:
        fill(store)
        export_folder(store, tmp_path / "first", model_id="m", source_id="1-s")
    first = rows_of(tmp_path / "first")
    sizes = [len(rows) for rows in first.values()]
    assert sizes == [5 * len(HISTOGRAMS), 5, len(HISTOGRAMS)]
    silent = [row for row in first["m/1-s/activations/batch-0.jsonl.gz"] if ":silent:" in row["id"]]
    assert {row["maxValueTokenIndex"] for row in silent} == {None}
    with Store.open(tmp_path / "b.db", create=MODEL) as store:
        assert import_folder(store, tmp_path / "first").notes == []
        for feature, edges in enumerate(HISTOGRAMS.values()):
            assert (store.feature(feature).record.histogram_edges is None) == (edges is None)
        export_folder(store, tmp_path / "second", model_id="m", source_id="1-s")
    assert rows_of(tmp_path / "second") == first


@pytest.mark.slow
@given(
    st.sampled_from([1, 2, 4]),
    st.integers(-80, 40),
    st.integers(1, 60),
    st.sampled_from(["", "tiny", "negative"]),
    st.floats(1e-3, 1e3),
)
def test_bars_of_a_harvest_keep_their_middles(per_octave: int, first: int, n: int, before: str, below: float):
    edges = [lower_edge(i, per_octave) for i in range(first, first + n + 1)]
    edges = {"": [], "tiny": [0.0], "negative": [-below, 0.0]}[before] + edges
    middles = middles_of(edges)
    assert middles_of(edges_of(middles)) == middles
    if n > 2:
        np.testing.assert_allclose(edges_of(middles)[1:], edges[1:], rtol=1e-8)


@pytest.mark.slow
@given(st.floats(-100, 100), st.floats(1e-2, 10), st.integers(3, 60))
def test_evenly_spaced_bars_keep_their_edges(low: float, width: float, n: int):
    edges = low + width * np.arange(n + 1)
    found = edges_of(np.float32(edges[:-1] + width / 2) if low > 0 else middles_of(edges))
    np.testing.assert_allclose(found, edges, atol=1e-3 * width + 1e-4 * abs(low) + 1e-4)


@pytest.mark.slow
@given(st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=20, unique=True))
@example([5e-324])
def test_any_ascending_middles_get_ascending_edges(values: list[float]):
    edges = edges_of(sorted(values))
    assert len(edges) == len(values) + 1 and np.isfinite(edges).all()
    assert (np.diff(edges) >= 0).all()


def content(store: Store) -> list[str]:
    """Everything a store holds, but for the record that something was imported and what SQLite counts for itself."""
    return [
        line
        for line in store.conn.iterdump()
        if not re.match('INSERT INTO "(imports|undo_[a-z]+|sqlite_stat1)"', line)
    ]


def conversations(store: Store) -> set[tuple[int, str]]:
    """(feature, message hash) of the examples whose text has roles and token ids."""
    return {
        (feature, found.text.hash)
        for feature in range(40)
        for found in store.examples(feature, purpose=None)
        if found.text.messages[0]["role"] == "user" and found.text.token_ids is not None
    }


@pytest.mark.slow
def test_what_a_store_exported_changes_nothing_in_it_but_for_what_is_new(store: Store, tmp_path: Path):
    # One that the format cannot hold, and edges that cannot be inferred from their middles.
    store.conn.execute("UPDATE examples SET per_token = NULL WHERE id = (SELECT min(id) FROM examples)")
    edges = [0.1, 0.2, 0.5, 0.9, 5.0, 6.0]
    store.import_harvest(
        [FeatureRecord(3, histogram_edges=edges, histogram_counts=range(5))], keep_examples=True
    )
    store.add_suggestions([SuggestionRecord(3, "log-odds", "said by a program")])
    export_folder(store, tmp_path, model_id="m", source_id="1-s")
    before = content(store)
    assert import_folder(store, tmp_path / "m").notes == [
        "959 activations were here already, and the examples of their features stay as they are",
        "30 texts have the tokens of conversations of this store and stay those",
        "1 explanations were here already, word for word",
    ]
    assert content(store) == before
    new = {"index": 3, "id": "x", "description": "said elsewhere", "typeName": "gpt"}
    write_gz(tmp_path / "m/1-s/explanations/batch-0.jsonl.gz", [new])
    assert import_folder(store, tmp_path / "m").counts == {"features": 40, "examples": 0, "suggestions": 1}
    assert [made.text for made in store.suggestions()] == ["said elsewhere", "said by a program"]


@pytest.mark.slow
def test_a_text_with_the_tokens_of_a_conversation_is_that_conversation(store: Store, tmp_path: Path):
    before = conversations(store)
    first = store.examples(3, "top")[0]
    tokens, values = first.text.tokens, [0.0] * 9 + [7.5]
    rows = [
        {"index": 3, "tokens": tokens, "values": values},
        {"index": 3, "tokens": ["never", " seen"], "values": [0, 1]},
    ]
    write_gz(tmp_path / "m/1-s/activations/batch-0.jsonl.gz", rows)
    report = import_folder(store, tmp_path / "m", same_model=True, replace=True)
    assert report.counts["examples"] == 2 and report.notes == [
        "1 texts have the tokens of conversations of this store and stay those",
        "23 conversations of this store are no longer examples of features of the folder",
        "examples of another origin were replaced in 1 features",
    ]
    assert [e.text.hash == first.text.hash for e in store.examples(3)] == [True, False]
    assert store.examples(3)[0].text.category == first.text.category
    assert store.examples(3)[0].activation == 7.5
    assert conversations(store) == {pair for pair in before if pair[0] != 3} | {(3, first.text.hash)}


@pytest.mark.slow
def test_a_label_that_went_out_and_came_back_is_no_suggestion_at_home(store: Store, tmp_path: Path):
    Labels(store, "bob").label(3, "his words")
    export_folder(store, tmp_path / "out", model_id="m", source_id="1-s")
    with Store.open(tmp_path / "other.db", create=MODEL) as other:
        import_folder(other, tmp_path / "out")
        (made,) = other.suggestions()
        assert (made.method, made.text, made.evidence["authorId"]) == (LABEL_METHOD, "his words", "bob")
        export_folder(other, tmp_path / "back", model_id="m", source_id="1-s")
    for name in ("out", "back"):
        assert "1 explanations are labels of this store" in import_folder(store, tmp_path / name).notes
    assert store.suggestions() == []


def test_of_two_texts_with_the_same_tokens_each_stays_the_example_it_is(tmp_path: Path):
    with Store.open(tmp_path / "a.db", create=MODEL) as store:
        # A template may strip what messages have around them; the last is a copy without roles.
        said = ["hi", "hi ", None]
        texts = [
            TextRecord([{"role": "user" if text else "text", "content": text or "hi"}], None, ["h", "i"])
            for text in said
        ]
        examples = [ExampleRecord(1, i, "top", i, "label", 2.0 - i, 0, [2.0 - i, 0]) for i in range(2)]
        copied = ExampleRecord(2, 2, "top", 0, "label", 1.0, 0, [1.0, 0])
        store.import_harvest([FeatureRecord(1), FeatureRecord(2)], texts, (), [*examples, copied])
        export_folder(store, tmp_path, model_id="m", source_id="1-s")
        assert import_folder(store, tmp_path / "m", replace=True).counts["examples"] == 1
        contents = [e.text.messages[0] for feature in (1, 2) for e in store.examples(feature)]
    assert [(m["role"], m["content"]) for m in contents] == [("user", t) for t in ("hi", "hi ", "hi")]


def test_a_feature_listed_twice_is_refused_at_its_row(store: Store, tmp_path: Path):
    write_gz(tmp_path / "m/1-s/features/batch-0.jsonl.gz", [{"index": 3, "maxActApprox": 1}, {"index": 4}])
    write_gz(tmp_path / "m/1-s/features/batch-1.jsonl.gz", [{"index": "3", "maxActApprox": 2}])
    with pytest.raises(RowError, match=r"batch-1\.jsonl\.gz, row 1: feature 3 is listed twice"):
        import_folder(store, tmp_path / "m", same_model=True)


def test_a_text_cut_into_other_tokens_never_gets_values_that_do_not_fit_it(store: Store, tmp_path: Path):
    rows = [
        {"index": 3, "tokens": ["a", "b"], "values": [0, 1]},
        {"index": 4, "tokens": ["ab"], "values": [2]},
    ]
    for name, row in zip(("one", "two"), rows, strict=True):
        write_gz(tmp_path / name / "1-s/activations/batch-0.jsonl.gz", [row])
    write_gz(tmp_path / "both/1-s/activations/batch-0.jsonl.gz", rows)
    left_out = "1 activations cut a known text into other tokens and were left out"
    assert left_out in import_folder(store, tmp_path / "both", same_model=True, replace=True).notes
    assert left_out not in import_folder(store, tmp_path / "one", same_model=True, replace=True).notes
    assert left_out in import_folder(store, tmp_path / "two", same_model=True, replace=True).notes
    for feature in (3, 4):
        for found in store.examples(feature, purpose=None):
            assert len(found.values) == len(found.text.tokens)


@pytest.mark.slow
def test_others_write_while_a_folder_is_being_read(
    store: Store, path: Path, tmp_path: Path, monkeypatch: Any
):
    export_folder(store, tmp_path, model_id="m", source_id="1-s")
    read = neuronpedia_import.json_rows

    def rows(*arguments: Any) -> Any:
        for place, row in enumerate(read(*arguments)):
            if place == 5:
                with Store.open(path, busy_seconds=0) as other:
                    other.bookmark(7, "ann")
                    other.bookmark(8, "ann", on=place == 5)
            yield place + 1, row[1]

    monkeypatch.setattr(neuronpedia_import, "json_rows", rows)
    assert import_folder(store, tmp_path / "m").counts["features"] == 40
    assert store.bookmarks("ann") == [7, 8]
