"""Search by word: any string a person types works, and finds what holds all its words."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from feature_db import FeatureFilter, Store, SuggestionRecord
from feature_db.features.search import quote_query

SUGGESTED = {
    1: "refuses dangerous requests",
    2: "numbered lists",
    3: "a list of dangerous chemicals",
    4: "C++ code",
}


def suggest(store: Store) -> None:
    store.replace_suggestions("words", [SuggestionRecord(i, "words", t) for i, t in SUGGESTED.items()])


def found(store: Store, query: str) -> set[int]:
    return {hit.feature for hit in store.search(query)}


def test_stems_phrases_prefixes_and_every_word(store: Store):
    suggest(store)
    assert found(store, "dangerous") == {1, 3}
    assert found(store, "dangerous listing") == {3}
    assert found(store, '"dangerous requests"') == {1}
    assert found(store, "dang") == {1, 3}, "the last word may be unfinished"
    assert found(store, "dang lists") == set(), "only the last one"
    assert found(store, "c++") == {4}
    assert found(store, "") == found(store, "  ++ ") == set()


def test_a_method_that_runs_again_leaves_nothing_of_its_former_words(store: Store):
    suggest(store)
    store.replace_suggestions("other", [SuggestionRecord(9, "other", "dangerous again")])
    store.replace_suggestions("words", [SuggestionRecord(1, "words", "greetings")])
    assert found(store, "dangerous") == {9}
    assert found(store, "greeting") == {1}


@pytest.mark.slow
@given(st.text())
@example('NEAR("a b", 3) AND text:x* ^"')
@example('"unbalanced')
@example("a OR NOT b")
@example("refuse\x00d")
@example("\ud800")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
def test_any_string_is_a_query(store: Store, query: str):
    assert isinstance(store.search(query), list)
    assert isinstance(store.search_texts(query), list)
    assert store.features_page(filters=FeatureFilter(query=query)).total >= 0


@pytest.mark.slow
@given(st.lists(st.from_regex(r"[A-Za-z0-9]{1,8}", fullmatch=True), min_size=1, max_size=4))
def test_words_are_quoted_so_none_is_an_operator(words: list[str]):
    quoted = quote_query(" ".join(words))
    assert quoted is not None
    assert re.fullmatch(r'("[A-Za-z0-9]+" )*"[A-Za-z0-9]+"\*', quoted)


def test_texts_are_found_with_an_excerpt_of_what_matched(store: Store):
    hits = store.search_texts("word7")
    assert [store.text(hit.text).tokens[0] for hit in hits] == ["word7"]
    assert "word7" in hits[0].excerpt


def test_the_best_match_comes_first_and_a_cap_on_ranking_loses_no_rare_match(store: Store, monkeypatch):
    store.replace_suggestions(
        "words", [SuggestionRecord(i, "words", "danger " + "and so on " * (40 - i)) for i in range(40)]
    )
    assert [hit.feature for hit in store.search("danger", limit=3)] == [39, 38, 37]
    monkeypatch.setattr("feature_db.features.search.RANKED", 10)
    assert len(store.search("danger")) == 10
    store.add_suggestions([SuggestionRecord(39, "words", "danger unheard")])
    assert [hit.text for hit in store.search("danger unheard")] == ["danger unheard"]
