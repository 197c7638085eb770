"""A harvest comes out as it went in, or not at all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from feature_db import (
    EncodingRecord,
    ExampleRecord,
    FeatureRecord,
    RowError,
    Store,
    TextRecord,
)
from feature_db.errors import StoreError
from feature_db.sqlite.blobs import pack_sparse, pack_values, unpack_sparse, unpack_values


@pytest.mark.slow
def test_every_number_of_a_harvest_is_read_back(store: Store, harvest: dict[str, list[Any]]):
    for record in harvest["features"]:
        read = store.feature(record.id).record
        for name in ("head_weight", "firing_count", "denominator", "mean", "max"):
            assert getattr(read, name) == getattr(record, name)
        assert read.density == record.firing_count / record.denominator
        np.testing.assert_array_equal(read.histogram_edges, record.histogram_edges)
        np.testing.assert_array_equal(read.histogram_counts, record.histogram_counts)
        assert read.neighbours == record.neighbours and read.cofiring == record.cofiring
        assert read.cofiring_of == record.cofiring_of
    hashes = {i: store.text(i + 1).hash for i in range(30)}
    for feature in range(40):
        read_back = {(e.kind, e.rank): e for e in store.examples(feature, purpose=None)}
        wanted = {(e.kind, e.rank): e for e in harvest["examples"] if e.feature == feature}
        assert read_back.keys() == wanted.keys()
        for key, example in wanted.items():
            read = read_back[key]
            np.testing.assert_array_equal(read.values, example.values)
            assert read.text.hash == hashes[example.text]
            assert (read.activation, read.peak_position, read.purpose, read.band, read.band_low) == (
                example.activation,
                example.peak_position,
                example.purpose,
                example.band,
                example.band_low,
            )
    texts, indptr, ids, values = store.encodings()
    for row, text in enumerate(texts):
        wanted = harvest["encodings"][text - 1]
        np.testing.assert_array_equal(ids[indptr[row] : indptr[row + 1]], wanted.features)
        np.testing.assert_array_equal(values[indptr[row] : indptr[row + 1]], wanted.values)
    assert store.text(3).tokens == harvest["texts"][2].tokens
    np.testing.assert_array_equal(store.text(3).token_ids, harvest["texts"][2].token_ids)


def test_importing_again_changes_nothing_and_keeps_text_ids(store: Store, harvest: dict[str, list[Any]]):
    def contents() -> list[Any]:
        tables = ("texts", "encodings", "features", "feature_details", "examples")
        return [
            sorted(
                tuple(row)[1:] if table == "examples" else tuple(row)
                for row in store.rows(f"SELECT * FROM {table}")
            )
            for table in tables
        ]

    before = contents()
    store.import_harvest(**harvest)
    assert contents() == before
    assert store.value("SELECT count(*) FROM texts_fts WHERE texts_fts MATCH 'word3'") == 1


def test_examples_are_listed_by_kind_then_rank_and_hide_the_checking_part(store: Store):
    listed = store.examples(5)
    assert {e.purpose for e in listed} == {"label"}
    order = {"top": 0, "band": 1, "random": 2, "silent": 3}
    places = [(order[e.kind], e.band or 0, e.rank) for e in listed]
    assert places == sorted(places)
    assert len(store.examples(5, kind="top", limit=2)) == 2


def test_check_examples_are_unseen_half_firing_and_repeatable(store: Store):
    shown = {e.text.id for e in store.examples(9)}
    chosen = store.check_examples(9, seed=3, n=8)
    assert sorted(e.kind == "silent" for e in chosen) == [False] * 4 + [True] * 4
    assert not shown & {e.text.id for e in chosen}
    assert [e.id for e in store.check_examples(9, seed=3, n=8)] == [e.id for e in chosen]
    with pytest.raises(StoreError, match="larger corpus"):
        store.check_examples(9, seed=3, n=40)


BAD = [
    ("features", lambda r: replace(r, id=40), "no feature 40"),
    ("features", lambda r: replace(r, id=10**30), "no feature"),
    ("features", lambda r: replace(r, mean=float("nan")), "mean is not a finite number"),
    ("features", lambda r: replace(r, histogram_edges=None), "histogram_counts come together"),
    ("features", lambda r: replace(r, firing_count=301), "301 times in 300"),
    ("features", lambda r: replace(r, denominator=2**70, firing_count=1), "times in"),
    ("features", lambda r: replace(r, histogram_counts=[1, 2]), "n \\+ 1 edges"),
    ("features", lambda r: replace(r, neighbours=[(41, 0.5)]), "below 40"),
    ("features", lambda r: replace(r, neighbours=[(1, float("inf"))]), "finite"),
    ("features", lambda r: replace(r, cofiring=[(1, 9)], cofiring_of=8), "fires together 9 times in 8"),
    ("texts", lambda r: replace(r, messages="hello"), "list of objects"),
    ("texts", lambda r: replace(r, tokens=["a"]), "1 tokens but 10"),
    ("texts", lambda r: replace(r, token_ids=[0.5] * 10), "whole numbers"),
    ("texts", lambda r: replace(r, token_ids=[2**40] * 10), "between 0 and"),
    ("encodings", lambda r: replace(r, text=99), "refers to text 99"),
    ("encodings", lambda r: replace(r, values=[1.0]), "as many values"),
    ("encodings", lambda r: replace(r, features=[1, 2, 3, 4, 40]), "outside 0..39"),
    ("examples", lambda r: replace(r, values=np.full(10, np.nan)), "finite"),
    ("examples", lambda r: replace(r, values=np.zeros(9)), "9 per-token values for a text of 10"),
    ("examples", lambda r: replace(r, peak_position=10), "outside"),
    ("examples", lambda r: replace(r, activation=float("inf")), "finite"),
    ("examples", lambda r: replace(r, kind="best"), "not one of top"),
    ("examples", lambda r: replace(r, text=-1), "refers to text -1"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("table", "spoil", "message"), BAD)
def test_one_bad_record_refuses_the_whole_import_naming_its_place(
    store: Store, harvest: dict[str, list[Any]], table: str, spoil: Any, message: str
):
    before = list(store.conn.iterdump())
    spoilt = {**harvest, table: [*harvest[table][:7], spoil(harvest[table][7]), *harvest[table][8:]]}
    with pytest.raises(RowError, match=message) as error:
        store.import_harvest(**spoilt, source="in.jsonl")
    assert str(error.value).startswith(f"in.jsonl, row {table[:-1]} 8: ")
    assert list(store.conn.iterdump()) == before


def test_a_text_holds_one_place_of_a_kind_and_is_never_both_for_labelling_and_checking(
    store: Store, harvest: dict[str, list[Any]]
):
    first = harvest["examples"][0]
    twice = [*harvest["examples"], replace(first, rank=99)]
    with pytest.raises(RowError, match="listed twice"):
        store.import_harvest(**{**harvest, "examples": twice})
    both = [*harvest["examples"], replace(first, kind="random", purpose="check")]
    with pytest.raises(RowError, match="both for labelling and for checking"):
        store.import_harvest(**{**harvest, "examples": both})
    with (
        pytest.raises(RowError, match="examples of feature 0 but"),
        Store.open(store.path.with_name("empty.db"), create=store.model) as empty,
    ):
        empty.import_harvest((), harvest["texts"], (), [first])


def test_a_partial_import_replaces_only_the_features_it_names(store: Store, harvest: dict[str, list[Any]]):
    other = [e.id for e in store.examples(2, purpose=None)]
    store.import_harvest(
        [FeatureRecord(1, max=99.0)],
        [TextRecord([{"role": "text", "content": "new"}])],
        (),
        [ExampleRecord(1, 0, "top", 0, activation=99.0, token="new")],
        keep_examples=True,
    )
    assert [e.id for e in store.examples(2, purpose=None)] == other
    assert [e.token for e in store.examples(1, purpose=None)] == ["new"]
    record = store.feature(1).record
    assert (record.max, record.mean) == (99.0, harvest["features"][1].mean)
    store.import_harvest([FeatureRecord(1, density=0.123)], keep_examples=True)
    record = store.feature(1).record
    assert record.density == record.firing_count / record.denominator, (
        "never beside counts it does not come from"
    )


def test_a_partial_import_never_puts_partners_beside_another_samples_size(store: Store):
    def partners() -> tuple[Any, Any]:
        record = store.feature(1).record
        return record.cofiring, record.cofiring_of

    store.import_harvest([FeatureRecord(1, cofiring=[(2, 3)], cofiring_of=10)])
    assert partners() == ([(2, 3)], 10)
    store.import_harvest([FeatureRecord(1, mean=1.0)], keep_examples=True)
    assert partners() == ([(2, 3)], 10)
    store.import_harvest([FeatureRecord(1, cofiring=[(4, 50)])], keep_examples=True)
    assert partners() == ([(4, 50)], None)


def test_equal_texts_are_stored_once_and_token_only_texts_are_kept_apart(store: Store):
    message = [{"role": "text", "content": "twice"}]
    n = store.stats()["texts"]
    store.import_harvest(
        texts=[
            TextRecord(message),
            TextRecord(message, source="again"),
            TextRecord([], [1, 2]),
            TextRecord([], [1, 3]),
        ],
        encodings=[EncodingRecord(0, [1], [2.0]), EncodingRecord(1, [1], [3.0])],
    )
    assert store.stats()["texts"] == n + 3


def test_hostile_text_is_kept_as_text(store: Store):
    hostile = "<script>alert(1)</script>'); DROP TABLE texts;-- \ud800 \x00 end"
    store.import_harvest(texts=[TextRecord([{"role": hostile, "content": hostile}], source=hostile)])
    found = store.text(store.value("SELECT max(id) FROM texts"))
    assert found.messages[0]["content"] == hostile.replace("\ud800", "\ufffd")
    assert store.search_texts("alert")[0].text == found.id


@pytest.mark.slow
@given(
    hnp.arrays(np.float32, st.integers(0, 60), elements=st.floats(width=32, allow_nan=False) | st.just(0.0))
)
def test_per_token_values_survive_packing(values: np.ndarray):
    np.testing.assert_array_equal(unpack_values(pack_values(values)), values)


@pytest.mark.slow
@given(st.binary(max_size=60))
@settings(max_examples=300)
def test_damaged_blobs_are_refused_never_misread_out_of_bounds(blob: bytes):
    blob = blob if blob[:1] != b"s" else blob[:1] + blob[1:2] + b"\0\0\0" + blob[5:]  # keep lengths small
    try:
        values = unpack_values(blob)
        assert values.dtype == np.float32
    except StoreError:
        pass
    if len(blob) % 8:
        with pytest.raises(StoreError):
            unpack_sparse(blob)
    else:
        assert pack_sparse(*unpack_sparse(blob)) == blob
