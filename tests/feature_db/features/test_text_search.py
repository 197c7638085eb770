"""Features by the words of the texts they fire on: against every example read one by one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_db import FeatureFilter, Store
from feature_db.features.text_search import examples_version, features_by_texts, rank_by_texts


def oracle(store: Store, words: list[str], filters: FeatureFilter | None = None) -> list[tuple[Any, ...]]:
    """(feature, texts with all words, kept texts, strongest of the former), in the order of the search."""
    rows = []
    for row in store.features_page(filters=filters, limit=99).rows:
        firing = [e for e in store.examples(row.id) if e.kind != "silent"]
        hits = [
            e for e in firing if set(words) <= set(" ".join(m["content"] for m in e.text.messages).split())
        ]
        if hits:
            z = max(e.activation for e in hits)
            n = len({e.text.id for e in hits})
            rows.append((row.id, n, len({e.text.id for e in firing}), z, row.effect))
    rows.sort(key=lambda row: (-row[1], -row[4], -row[0]))
    return [row[:4] for row in rows]


@pytest.mark.parametrize(
    "words", [["word7"], ["refuse"], ["lists", "code"], ["question", "hello"], ["unheard"]]
)
@pytest.mark.parametrize("filters", [None, FeatureFilter(ids=range(5, 20)), FeatureFilter(weight_sign=-1)])
def test_it_finds_what_reading_every_example_finds(
    store: Store, words: list[str], filters: FeatureFilter | None
):
    # Every word whole: the last one typed may be unfinished.
    query = " ".join(f'"{word}"' for word in words)
    wanted = oracle(store, words, filters)
    found, total = features_by_texts(store, query, filters, limit=99)
    assert [(m.feature, m.n_texts, m.n_kept, m.activation) for m in found] == wanted
    assert total == len(wanted)
    pages = (features_by_texts(store, query, filters, limit=7, offset=at)[0] for at in range(0, total, 7))
    assert [match for page in pages for match in page] == found


def test_the_excerpt_is_of_the_text_where_it_fires_most_strongly(store: Store):
    for match in features_by_texts(store, "word7")[0]:
        text = store.text(match.text)
        assert "word7" in match.excerpt and match.excerpt.strip("…") in "\n".join(
            m["content"] for m in text.messages
        )
        assert match.activation in [
            e.activation for e in store.examples(match.feature) if e.text.id == text.id
        ]


def test_texts_for_checking_labels_and_silent_ones_are_not_searched(store: Store):
    with store.write() as conn:
        conn.execute("UPDATE examples SET purpose = 'check' WHERE feature = 3")
        conn.execute("UPDATE examples SET kind = 'silent' WHERE feature = 4 AND kind = 'top'")
        conn.execute("DELETE FROM examples WHERE feature = 4 AND kind <> 'silent'")
    found = {match.feature for match in features_by_texts(store, "question", limit=99)[0]}
    assert found == set(range(40)) - {3, 4}


@pytest.mark.slow
@given(st.text())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
def test_any_string_is_a_query(store: Store, query: str):
    found, total = features_by_texts(store, query, FeatureFilter(labelled=False))
    assert total >= len(found)


def test_the_search_goes_from_the_texts_to_their_examples(store: Store):
    plans = []
    store.conn.set_trace_callback(plans.append)
    features_by_texts(store, "word7")
    store.conn.set_trace_callback(None)
    query = next(sql for sql in plans if "group_concat(feature)" in sql)
    plan = [row["detail"] for row in store.rows(f"EXPLAIN QUERY PLAN {query}")]
    assert any("examples USING" in step and "examples_by_text (text=?)" in step for step in plan), plan


def test_a_page_of_a_ranking_reads_the_examples_of_its_features_only(store: Store):
    ranking = rank_by_texts(store, "question")
    plans: list[str] = []
    store.conn.set_trace_callback(plans.append)
    found, total = features_by_texts(store, "question", limit=3, offset=4, ranking=ranking)
    store.conn.set_trace_callback(None)
    assert (found, total) == (features_by_texts(store, "question", limit=99)[0][4:7], 40)
    steps = [
        row["detail"] for sql in plans if "examples" in sql for row in store.rows(f"EXPLAIN QUERY PLAN {sql}")
    ]
    read = [step for step in steps if "examples" in step]
    assert len(read) == 2 and all("examples_place (feature=?)" in step for step in read), steps


def test_an_import_makes_kept_rankings_stale_and_nothing_else_does(
    store: Store, harvest: dict[str, list[Any]]
):
    before = examples_version(store)
    mine = store.make_list("mine", "ann")
    store.add_to_list(mine, 3, by="ann")
    assert examples_version(store) == before
    store.import_harvest(**harvest)
    after = examples_version(store)
    assert after != before
    # Another file in its place has an import of the same number, at another time.
    with store.write() as conn:
        conn.execute("UPDATE imports SET time = time + 1")
    assert examples_version(store) != after
