"""One search in one list: labels, what answers are like, suggestions, names like it, texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.features.one_search import KINDS, search_everything
from app.features.trait_search import trait_index
from feature_db import FeatureFilter, Store
from feature_db.label.labels import Labels
from sarm_core.demo import STORE
from sarm_core.harvest.suggest_pairs import answer_set
from tests.app.conftest import Run
from tests.app.demo_pages import Open, demo_env, open_page
from tests.app.features.test_features_pages import everything_shown, table, texts
from tests.app.store_builder import HOSTILE_FEATURE, LABELLED

__all__ = ["demo_env", "open_page"]


def found(path: Path, query: str, name: str = "", **filters: object) -> list[tuple[int, str]]:
    with Store.open(path) as store:
        of = search_everything(store, query, FeatureFilter(**filters), name, trait_index(store))  # type: ignore[arg-type]
    return [(match.feature, match.kind) for match in of.matches]


@pytest.mark.slow
@pytest.mark.skipif(not STORE.exists(), reason="the store that ships is not there")
@pytest.mark.parametrize(
    ("query", "read"),
    [
        ("refusal", "refuses"),
        ("rude", "rude"),
        ("code", "code"),
        ("list", "bullet list"),
        ("apology", "apologises"),
    ],
)
def test_a_kind_of_answer_finds_the_features_that_tell_it(open_page: Open, query: str, read: str) -> None:
    test = open_page("features.py", f_words=query)
    shown = test.dataframe[0].value
    # Of those that tell apologies all but two are dense.
    assert set(shown["found_by"].head(2)) == {KINDS["answers"]}
    assert any("dense hidden" in line for line in texts(test, "caption"))
    assert (
        shown["why"]
        .head(2)
        .str.match(rf"higher in answers “(refuses without need|numbered list|{read})”: \d+ % of")
        .all()
    )
    assert any(f"“{read}”" in line for line in texts(test, "caption") if "answers read as" in line)
    assert test.selectbox(key="f_sort").disabled


@pytest.mark.slow
def test_each_feature_once_and_labels_before_all_else(store_path: Path) -> None:
    of = found(store_path, "apologies")
    assert of[0] == (LABELLED, "label")
    assert len({feature for feature, _ in of}) == len(of)
    kinds = [kind for _, kind in of]
    assert kinds == sorted(kinds, key=list(KINDS).index)
    assert LABELLED not in dict(found(store_path, "apologies", labelled=False))


@pytest.mark.slow
def test_who_labels_blind_finds_nothing_by_anothers_label(store_path: Path) -> None:
    with Store.open(store_path) as store:
        Labels(store, "cy").draft(LABELLED, {"text": "not yet said"})
    assert (LABELLED, "label") in found(store_path, "apologies")
    assert (LABELLED, "label") not in found(store_path, "apologies", "cy")


@pytest.mark.slow
def test_what_answers_are_like_is_read_once_and_again_where_its_file_is_damaged(store_path: Path) -> None:
    with Store.open(store_path) as store:
        wanted = answer_set(store, {}, words=False)
        first = trait_index(store)
    file = store_path.with_name(f"{store_path.name}.traits.npz")
    assert (first is None) == (wanted is None)
    if wanted is None:
        assert not file.exists()
        return
    body = file.read_bytes()
    for damage in (b"", body[: len(body) // 2], b"no zip"):
        file.write_bytes(damage)
        trait_index.__globals__["_index"].clear()
        with Store.open(store_path) as store:
            again = trait_index(store)
        assert again is not None and first is not None
        assert [t.more for t in again.traits] == [t.more for t in first.traits]
        assert np.array_equal(
            np.frombuffer(file.read_bytes()[:2], np.uint8), np.frombuffer(body[:2], np.uint8)
        )


@pytest.mark.slow
def test_hostile_words_and_names_are_text(run_page: Run, store_path: Path) -> None:
    test = run_page("features.py", f_words="<img src=x onerror=alert(1)> “</div>")
    assert "<img" not in everything_shown(test).replace(r"\<img", "")
    with Store.open(store_path) as store:
        name = store.titles([HOSTILE_FEATURE])[HOSTILE_FEATURE].text
    test = run_page("features.py", f_words=name.split()[0], f_hide_dense="false")
    assert not test.exception


@pytest.mark.slow
def test_nothing_found_says_what_to_do(run_page: Run, store_path: Path) -> None:
    test = run_page("features.py", f_words="zzqx vrblt")
    assert not test.dataframe
    assert any("no kind of answer is called so" in text for text in texts(test, "info"))
    assert table(run_page("features.py"))  # and all of them without words
