"""Sorting, filtering and paging in SQL agree with doing it in Python."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_db import FeatureFilter, FeatureRecord, Store, StoreError, SuggestionRecord
from feature_db.features.catalogue import SORTS


def effect(record: FeatureRecord) -> float:
    assert record.firing_count is not None and record.denominator
    return abs(record.head_weight * record.mean * record.firing_count / record.denominator)


ORACLE = {
    "id": lambda r: r.id,
    "head_weight": lambda r: r.head_weight,
    "abs_weight": lambda r: abs(r.head_weight),
    "effect": effect,
    "density": lambda r: r.firing_count / r.denominator,
    "mean": lambda r: r.mean,
    "max": lambda r: r.max,
    "n_labels": lambda r: 0,
}


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("descending", [True, False])
def test_pages_in_a_row_are_the_whole_table_in_order(
    store: Store, harvest: dict[str, list[Any]], sort: str, descending: bool
):
    wanted = sorted(harvest["features"], key=lambda r: (ORACLE[sort](r), r.id), reverse=descending)
    seen = []
    for offset in range(0, 45, 9):
        page = store.features_page(sort, descending, limit=9, offset=offset)
        assert page.total == 40
        seen += [row.id for row in page.rows]
    assert seen == [r.id for r in wanted]


@pytest.mark.parametrize("descending", [True, False])
def test_sorting_a_page_needs_no_sorter(store: Store, descending: bool):
    for sort in SORTS:
        statements: list[str] = []
        store.conn.set_trace_callback(statements.append)
        store.features_page(sort, descending, FeatureFilter(max_density=0.5))
        store.conn.set_trace_callback(None)
        query = next(sql for sql in statements if "ORDER BY " + sort in sql)
        plan = [row["detail"] for row in store.rows(f"EXPLAIN QUERY PLAN {query}")]
        assert not any("TEMP B-TREE" in step for step in plan), plan
        assert sort == "id" or any(f"INDEX features_{sort}" in step for step in plan), plan


@pytest.mark.parametrize("sort", [sort for sort in SORTS if sort not in ("id", "n_labels")])
def test_features_without_the_number_come_last_in_both_orders(
    store: Store, harvest: dict[str, list[Any]], sort: str
):
    with store.write() as conn:
        conn.execute(
            "UPDATE features SET head_weight = NULL, density = NULL, mean = NULL, max = NULL WHERE id % 3 = 0"
        )
    known = sorted((r for r in harvest["features"] if r.id % 3), key=lambda r: (ORACLE[sort](r), r.id))
    unknown = [r.id for r in harvest["features"] if not r.id % 3]
    for descending, wanted in ((False, known), (True, known[::-1])):
        pages = [store.features_page(sort, descending, limit=9, offset=at).rows for at in range(0, 40, 9)]
        ids = [row.id for rows in pages for row in rows]
        assert ids == [r.id for r in wanted] + (unknown[::-1] if descending else unknown)


@given(
    low=st.floats(0, 1),
    high=st.floats(0, 1),
    weight=st.floats(0, 2),
    sign=st.sampled_from([None, 1, -1]),
    count=st.none() | st.integers(0, 300),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_filters_agree_with_python(store, harvest, low, high, weight, sign, count):
    filters = FeatureFilter(
        min_density=low, max_density=high, min_abs_weight=weight, weight_sign=sign, min_firing_count=count
    )
    wanted = {
        r.id
        for r in harvest["features"]
        if low <= ORACLE["density"](r) <= high
        and abs(r.head_weight) >= weight
        and (sign is None or r.head_weight * sign > 0)
        and (count is None or r.firing_count >= count)
    }
    page = store.features_page(filters=filters, limit=100)
    assert {row.id for row in page.rows} == wanted and page.total == len(wanted)


def test_a_feature_is_dead_when_it_is_known_to_fire_nowhere(store: Store):
    from feature_db import ModelRecord

    with Store.open(store.path.with_name("b.db"), create=ModelRecord("a", "a", 5)) as bare:
        counted = [FeatureRecord(i, firing_count=i, denominator=9) for i in range(2)]
        bare.import_harvest(
            [*counted, FeatureRecord(2, density=0.05), FeatureRecord(3), FeatureRecord(4, density=0.0)]
        )
        listed = {
            dead: {row.id for row in bare.features_page(filters=FeatureFilter(dead=dead)).rows}
            for dead in (None, True, False)
        }
    assert listed == {None: {0, 1, 2, 3, 4}, True: {0, 4}, False: {1, 2, 3}}


def test_lists_and_suggestions_filter(store: Store):
    mine = store.make_list("mine", "ann")
    for feature in (3, 5):
        store.add_to_list(mine, feature, by="ann")
    store.replace_suggestions("words", [SuggestionRecord(5, "words", "refusals of dangerous requests")])
    assert {r.id for r in store.features_page(filters=FeatureFilter(list_id=mine)).rows} == {3, 5}
    both = FeatureFilter(list_id=mine, query="greetings")
    assert [r.suggestion for r in store.features_page(filters=FeatureFilter(query="refusal")).rows] == [
        "refusals of dangerous requests"
    ]
    assert store.features_page(filters=both).total == 0
    assert store.features_page(filters=FeatureFilter(suggested=False)).total == 39
    assert store.features_page(filters=FeatureFilter(ids=[1, 2], labelled=False)).total == 2
    assert store.features_page(filters=FeatureFilter(ids=[])).total == 0


def test_scatter_arrays_and_head_hold_every_feature(store: Store, harvest: dict[str, list[Any]]):
    arrays = store.densities()
    np.testing.assert_array_equal(arrays["id"], np.arange(40))
    np.testing.assert_array_equal(arrays["head_weight"], [r.head_weight for r in harvest["features"]])
    np.testing.assert_allclose(arrays["effect"], [effect(r) for r in harvest["features"]], rtol=1e-15)
    np.testing.assert_array_equal(store.head(), arrays["head_weight"].astype(np.float32))


def test_weight_rank_counts_from_the_largest(store: Store, harvest: dict[str, list[Any]]):
    order = sorted(harvest["features"], key=lambda r: -abs(r.head_weight))
    assert [store.feature(r.id).weight_rank for r in order] == list(range(1, 41))


def test_related_features_are_named_and_suggestions_are_marked(store: Store):
    store.replace_suggestions("words", [SuggestionRecord(8, "words", "lists")])
    for feature in (5, 7):
        names = store.feature(feature).neighbour_names
        assert names.pop(8) == "lists (suggested)"
        assert names and all(name.endswith(" …” (example)") for name in names.values())


def test_unknown_numbers_stay_unknown(store: Store):
    from feature_db import ModelRecord

    with Store.open(store.path.with_name("b.db"), create=ModelRecord("a", "a", 3)) as bare:
        bare.import_harvest(
            [FeatureRecord(0), FeatureRecord(1, head_weight=2.0), FeatureRecord(2, density=0.5)]
        )
        assert bare.feature(0).record.density is None and bare.feature(0).weight_rank is None
        assert [r.id for r in bare.features_page("head_weight").rows] == [1, 2, 0]
        assert np.isnan(bare.densities()["effect"]).all()


def test_what_does_not_exist_is_refused(store: Store):
    for bad in (-1, 40, 10**40):
        with pytest.raises(StoreError, match="ids run from 0 to 39"):
            store.feature(bad)
    with pytest.raises(StoreError, match="cannot sort by"):
        store.features_page("id; DROP TABLE features")
