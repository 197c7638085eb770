"""The Features and Feature pages, run as scripts on a real model and a real store."""

from __future__ import annotations

import re
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from streamlit.testing.v1 import AppTest

from app.draw.plain_text import plain
from app.features.activation_chart import activation_chart, shape_of
from app.features.map import selected_ids
from app.features.meaning_search import LEAST, WEAK, nothing_found, search_by_meaning
from app.features.table import DEAD as DEAD_OR_NOT
from app.features.table import DENSE as DENSE_SHARE
from app.features.table import NAMED, SORTS, Wanted, firing_frame
from app.features.view import wanted_feature
from app.session.engine import FeatureNote, load_engine
from app.session.stored_pairs import StoredPairs
from feature_db import FeatureFilter, ModelRecord, Store, StoreError
from feature_db.features.text_search import features_by_texts, rank_by_texts
from feature_db.label.labels import Labels
from feature_db.label.queues import Queues
from feature_db.records import FeatureRecord
from feature_db.roles import People
from sarm_core.features import FeatureMatrix
from sarm_core.search import piece_vectors
from sarm_core.steering import Steering
from tests.app.conftest import N_FEATURES, Run
from tests.app.store_builder import DEAD, DENSE, FEW, HOSTILE, HOSTILE_FEATURE, LABELLED, POSITIONS


def texts(test: AppTest, kind: str) -> list[str]:
    return [element.value for element in test.get(kind)]


def html_of(test: AppTest) -> str:
    return "".join(element.proto.body for element in test.get("html"))


def table(test: AppTest) -> list[int]:
    """Feature numbers in the table, from top to bottom."""
    return [int(name[1:]) for name in test.dataframe[0].value["open"]]


def everything_shown(test: AppTest) -> str:
    kinds = ("markdown", "caption", "warning", "error", "info", "text", "code")
    return "\n".join(str(value) for kind in kinds for value in texts(test, kind)) + html_of(test)


# -- Features --------------------------------------------------------------------------------------------------


def oracle(path: Path) -> dict[int, dict[str, Any]]:
    with Store.open(path) as store:
        rows = store.rows("SELECT * FROM features")
        return {
            row["id"]: {**dict(row), "effect": abs(row["head_weight"] * (row["mean"] or 0) * row["density"])}
            for row in rows
        }


@pytest.mark.parametrize(
    ("sort", "key"), [("|w| × mean z", "effect"), ("density", "density"), ("max z", "max")]
)
def test_the_table_is_sorted_by_what_the_link_says(
    run_page: Run, store_path: Path, sort: str, key: str
) -> None:
    rows = oracle(store_path)
    wanted = sorted((i for i in rows if i != DENSE), key=lambda i: (-(rows[i][key] or 0), -i))
    assert table(run_page("features.py", f_sort=sort)) == wanted[:25]


@pytest.mark.slow
def test_pages_cover_every_feature_once(run_page: Run, store_path: Path) -> None:
    seen = [
        i
        for page in ("1", "2", "3")
        for i in table(run_page("features.py", f_page=page, f_hide_dense="false"))
    ]
    assert sorted(seen) == list(range(N_FEATURES))


def test_a_page_beyond_the_last_shows_rows_not_nothing(run_page: Run, store_path: Path) -> None:
    assert table(run_page("features.py", f_page="99"))


def test_dense_features_hide_behind_the_switch_and_are_counted(run_page: Run, store_path: Path) -> None:
    hidden = run_page("features.py", f_sort="density")
    assert DENSE not in table(hidden) and any(
        "1 dense one hidden" in line for line in texts(hidden, "caption")
    )
    hidden.toggle(key="f_hide_dense").set_value(False).run()
    assert table(hidden)[0] == DENSE


@pytest.mark.slow
def test_words_find_labels_and_suggestions_and_the_count_says_so(run_page: Run, store_path: Path) -> None:
    test = run_page("features.py", f_words="apologies")
    assert table(test) == [LABELLED]
    test.text_input(key="f_words").set_value("has code").run()
    assert table(test) == [7]
    test.text_input(key="f_words").set_value('") OR 1=1 --').run()
    assert not test.exception and not test.dataframe
    assert any("No name and no kept text has the words" in text for text in texts(test, "info"))


@pytest.mark.slow
def test_features_without_counts_are_not_taken_for_dead_ones(run_page: Run, store_path: Path) -> None:
    with Store.open(store_path) as store, store.write() as conn:
        conn.execute("UPDATE features SET firing_count = NULL, denominator = NULL WHERE id = 9")
        conn.execute(
            "UPDATE features SET firing_count = NULL, denominator = NULL, density = NULL WHERE id = 10"
        )
    shown = {
        dead: {
            i
            for page in ("1", "2", "3")
            for i in table(run_page("features.py", f_dead=dead, f_page=page, f_hide_dense="false"))
        }
        for dead in DEAD_OR_NOT
    }
    every, alive, dead = (shown[name] for name in DEAD_OR_NOT)
    assert {9, 10} <= alive and DEAD in dead
    assert alive | dead == every == set(range(N_FEATURES)) and not alive & dead


def test_changing_a_filter_goes_back_to_the_first_page(run_page: Run, store_path: Path) -> None:
    test = run_page("features.py", f_page="2")
    test.selectbox(key="f_sign").select("w > 0").run()
    rows = oracle(store_path)
    wanted = sorted(
        (i for i in rows if rows[i]["head_weight"] > 0 and i != DENSE), key=lambda i: (-rows[i]["effect"], -i)
    )
    assert table(test) == wanted[:25]


@pytest.mark.parametrize(
    ("wanted", "holds"),
    [
        (Wanted(sign="w < 0", hide_dense=False), lambda row: row["head_weight"] < 0),
        (Wanted(density=("0.1 %", "1 %")), lambda row: 1e-3 <= row["density"] <= 1e-2),
        (Wanted(dead="dead ones only"), lambda row: row["firing_count"] == 0),
        (
            Wanted(dead="without dead ones"),
            lambda row: row["firing_count"] > 0 and row["density"] <= DENSE_SHARE,
        ),
        (Wanted(named="labelled"), lambda row: row["id"] in (LABELLED, HOSTILE_FEATURE)),
        (Wanted(named="only suggested"), lambda row: row["id"] in (0, 7)),
        (Wanted(named="disputed"), lambda row: row["id"] == LABELLED),
        (Wanted(ids=(3, 9), hide_dense=False), lambda row: row["id"] in (3, 9)),
        (
            Wanted(sign="nonsense", named="?", dead="?", density=("?", "?"), hide_dense=False),
            lambda row: True,
        ),
    ],
)
def test_filters_let_through_exactly_what_they_say(store_path: Path, wanted: Wanted, holds: Any) -> None:
    with Store.open(store_path) as store:
        got = {row.id for row in store.features_page(filters=wanted.filters(), limit=1000).rows}
    assert got == {i for i, row in oracle(store_path).items() if holds(row)}


def test_every_sort_of_the_page_is_one_the_store_knows(store_path: Path) -> None:
    with Store.open(store_path) as store:
        assert all(store.features_page(column).total == N_FEATURES for column in SORTS.values())
    assert len(set(NAMED)) == len(NAMED)


@pytest.mark.slow
def test_own_text_lists_what_fires_and_sums_to_the_reward(run_page: Run, store_path: Path) -> None:
    test = run_page("features.py", f_hide_dense="false")
    test.text_area(key="own_prompt").set_value("Is it safe?")
    test.text_area(key="own_answer").set_value("Yes, if the room is aired.")
    next(button for button in test.button if button.label == "Show what fires").click().run()
    assert not test.exception
    assert test.session_state["own_turn"] == 1, "the box closes over its result"
    from sarm_core.score.scorer import load_sarm

    scored = load_sarm(Path(str(test.session_state["choice"].source))).score(
        [{"prompt": "Is it safe?", "response": "Yes, if the room is aired."}]
    )
    shown = test.dataframe[0].value
    ids, contributions = scored.contributions(0)
    assert set(table(test)) == set(ids.tolist())
    assert shown["contribution"].sum() == pytest.approx(scored.rewards[0], abs=1e-4)
    wanted = sorted(np.abs(contributions), reverse=True)  # the page may have them from another batch
    assert list(shown["contribution"].abs()) == pytest.approx(wanted, abs=1e-5)
    # Its link opens it again in another session.
    again = run_page("features.py", f_hide_dense="false", text="".join(test.query_params["text"]))
    assert table(again) == table(test)
    next(button for button in again.button if button.label == "Back to all features").click().run()
    assert len(table(again)) == 25 and "text" not in again.query_params


def test_dense_and_only_dense_features_of_an_own_text_are_hidden_and_counted() -> None:
    z = sparse.csr_matrix(np.array([[2.0, 0, 1.0, 3.0]], dtype=np.float32))
    matrix = FeatureMatrix(z, np.array([1, 1, -4, 0.5], dtype=np.float32))
    notes = {
        0: FeatureNote("everywhere", density=0.9),
        2: FeatureNote("rare", "suggested", 0.001),
        3: FeatureNote(),
    }
    shown, hidden = firing_frame(matrix, 0, notes, hide_dense=True)
    assert list(shown["open"]) == ["#2", "#3"] and hidden == 1  # unknown density stays
    assert list(shown["by"]) == ["suggested", ""]
    assert len(firing_frame(matrix, 0, notes, hide_dense=False)[0]) == 3


def test_an_empty_store_names_the_command_that_fills_it(run_page: Run) -> None:
    test = run_page("features.py")
    assert any("harvested" in text for text in texts(test, "warning"))
    (command,) = texts(test, "code")
    assert re.match(r"sarm harvest corpus\.jsonl --model \S+ --db \S+\.db$", command)


def test_a_box_on_the_map_selects_by_its_ranges_and_a_click_by_its_point() -> None:
    columns = {
        "id": np.array([4, 5, 6]),
        "density": np.array([0.01, 0.1, np.nan]),
        "head_weight": np.array([1.0, -1.0, 0.0]),
    }
    assert selected_ids(columns, {"box": [{"x": [0.2, 0.005], "y": [2, 0]}], "points": []}) == [4]
    assert selected_ids(columns, {"box": [{"x": [0.5, 0.6], "y": [2, 0]}], "points": []}) == []
    assert selected_ids(columns, {"box": [], "points": [{"customdata": [5]}]}) == [5]
    assert selected_ids(columns, {"box": [], "points": []}) is None


# -- Features by meaning ---------------------------------------------------------------------------------------


def by_meaning(path: Path, query: str) -> list[tuple[int, str, float]]:
    """(feature, nearest name, cosine) by a plain loop, most similar first."""
    with Store.open(path) as store:
        names = [(row[0], row[1]) for row in store.rows("SELECT feature, text FROM current_labels")]
        names += [(record.feature, record.text) for record in store.suggestions()]
    (wanted,) = piece_vectors().embed([query])
    best: dict[int, tuple[float, str]] = {}
    for feature, name in names:
        (vector,) = piece_vectors().embed([name])
        best[feature] = max(best.get(feature, (-2.0, "")), (float(vector @ wanted), name))
    found = [(i, name, value) for i, (value, name) in best.items() if value >= LEAST]
    return sorted(found, key=lambda row: -row[2])


@pytest.mark.slow
@pytest.mark.parametrize("query", ["declines to help", "programming", "saying sorry", "numbers in order"])
def test_a_search_by_meaning_lists_names_in_order_of_similarity(
    run_page: Run, store_path: Path, query: str
) -> None:
    wanted = by_meaning(store_path, query)
    assert wanted
    test = run_page("features.py", f_words=query, f_by="meaning", f_hide_dense="false")
    shown = test.dataframe[0].value
    assert table(test) == [row[0] for row in wanted]
    assert list(shown["matched"]) == [row[1] for row in wanted]
    assert list(shown["similarity"]) == pytest.approx([row[2] for row in wanted], abs=2e-3)
    (caption,) = (text for text in texts(test, "caption") if "called something like this" in text)
    assert f"{len(wanted)} of {N_FEATURES} features" in caption and "estimated" in caption


@pytest.mark.slow
def test_the_table_says_whether_a_label_or_a_suggestion_matched(run_page: Run, store_path: Path) -> None:
    test = run_page("features.py", f_words="apology", f_by="meaning")
    shown = test.dataframe[0].value.set_index("open")
    assert shown.loc[f"#{LABELLED}", "matched"] == "apologies"
    assert shown.loc[f"#{LABELLED}", "matched_in"] == "disputed", "it is a label, and another says otherwise"
    test.text_input(key="f_words").set_value("programming language").run()
    shown = test.dataframe[0].value.set_index("open")
    assert shown.loc["#7", "matched_in"] == "suggested"
    assert test.selectbox(key="f_sort").disabled
    test.segmented_control(key="f_by").set_value("words").run()
    assert not test.selectbox(key="f_sort").disabled
    assert any("No name has the words" in text for text in texts(test, "info"))


@pytest.mark.slow
def test_filters_hold_for_a_search_by_meaning(run_page: Run, store_path: Path) -> None:
    address = {"f_words": "saying sorry", "f_by": "meaning", "f_hide_dense": "false"}
    assert {LABELLED, 0} <= set(table(run_page("features.py", **address)))
    assert LABELLED not in table(run_page("features.py", f_named="unlabelled", **address))
    rows = oracle(store_path)
    for sign, right in (("w > 0", lambda w: w > 0), ("w < 0", lambda w: w < 0)):
        found = by_meaning(store_path, "saying sorry")
        test = run_page("features.py", f_sign=sign, **address)
        wanted = [i for i, _, _ in found if right(rows[i]["head_weight"])]
        assert (table(test) if test.dataframe else []) == wanted


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("漢字", "No word of this search is known"),
        ("\U0001f600", "No word of this search is known"),
        ("volcanology", "Nothing that the filters let through"),
    ],
)
def test_a_search_that_finds_nothing_says_why(run_page: Run, store_path: Path, query: str, says: str) -> None:
    test = run_page("features.py", f_words=query, f_by="meaning")
    assert not test.dataframe
    assert any(says in text for text in texts(test, "info"))


def test_a_best_match_as_near_as_made_up_words_come_is_called_weak(run_page: Run, store_path: Path) -> None:
    nonsense = ("".join(letters) for letters in permutations("zqxkjvb", 4))
    best = {}
    for word in nonsense:
        best[word] = max((row[2] for row in by_meaning(store_path, word)), default=0.0)
        if LEAST <= best[word] < WEAK - 0.01:
            break
    test = run_page("features.py", f_words=word, f_by="meaning", f_hide_dense="false")
    assert test.dataframe
    assert any(
        f"The best match is weak (similarity {best[word]:.2f})" in text for text in texts(test, "info")
    )
    test.text_input(key="f_words").set_value("apology").run()
    assert test.dataframe and not any("weak" in text for text in texts(test, "info"))


@pytest.mark.parametrize(
    "query", ['") OR 1=1 --', "<img src=x onerror=alert(1)>", "**bold** :red[x]", "a" * 5000]
)
def test_hostile_searches_by_meaning_are_only_text(run_page: Run, store_path: Path, query: str) -> None:
    shown = everything_shown(run_page("features.py", f_words=query, f_by="meaning"))
    assert "<img" not in shown and "onerror" not in shown


def test_a_search_in_texts_lists_features_that_fire_there_with_what_matched(
    run_page: Run, store_path: Path
) -> None:
    test = run_page("features.py", f_words="photosynthesis plants", f_by="texts", f_hide_dense="false")
    with Store.open(store_path) as store:
        found, total = features_by_texts(store, "photosynthesis plants", limit=25)
    shown = test.dataframe[0].value
    assert table(test) == [match.feature for match in found]
    assert all("hotosynthesis" in text or "Plants" in text for text in shown["excerpt"])
    assert list(shown["texts"]) == [f"{match.n_texts} of {match.n_kept}" for match in found]
    assert any(f"{total} of {N_FEATURES} features fire in texts" in text for text in texts(test, "caption"))
    nothing = run_page("features.py", f_words="zzz unheard", f_by="texts")
    assert "kept text" in texts(nothing, "info")[0] and not nothing.dataframe


@pytest.mark.slow
def test_a_click_in_a_search_in_texts_counts_no_text_again_until_an_import(
    run_page: Run, store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = []
    monkeypatch.setattr(
        "app.features.text_search.rank_by_texts",
        lambda store, query: counted.append(query) or rank_by_texts(store, query),
    )
    test = run_page("features.py", f_words="photosynthesis", f_by="texts")
    first = table(test)
    test.selectbox(key="f_sign").select("w > 0").run()
    assert counted == ["photosynthesis"] and table(test) != first
    with Store.open(store_path) as store:
        store.import_harvest([FeatureRecord(0)], keep_examples=True)
    test.selectbox(key="f_sign").select("any sign").run()
    assert counted == ["photosynthesis"] * 2 and table(test) == first


@pytest.mark.slow
def test_a_search_in_texts_shows_no_label_that_must_not_be_read_yet(run_page: Run, store_path: Path) -> None:
    with Store.open(store_path) as store:
        found, _ = features_by_texts(store, "photosynthesis", limit=25)
        feature = found[0].feature
        Labels(store, "bob").label(feature, "his opinion")
        People(store).set_role(None, "root", "admin")
        Queues(store, "root").make("q", FeatureFilter(ids=[feature]), sort="id", overlap=2)
    test = run_page("features.py", f_words="photosynthesis", f_by="texts", f_hide_dense="false")
    for name, seen in (("ann", False), ("bob", True), ("root", True)):
        test.text_input(key="person").set_value(name).run()
        assert table(test)[0] == feature
        assert ("his opinion" in list(test.dataframe[0].value["name"])) == seen


@pytest.mark.slow
def test_an_empty_search_by_meaning_lists_all_features(run_page: Run, store_path: Path) -> None:
    plain_table = table(run_page("features.py"))
    for query in ("", "   "):
        assert table(run_page("features.py", f_by="meaning", f_words=query)) == plain_table
    assert table(run_page("features.py", f_by="nonsense")) == plain_table


def test_without_any_name_the_search_says_so(tmp_path: Path) -> None:
    with Store.open(tmp_path / "new.db", create=ModelRecord("0" * 64, "new", 3)) as store:
        store.import_harvest([FeatureRecord(i) for i in range(3)], (), (), ())
        found = search_by_meaning(store, "refusal", FeatureFilter(), "")
    assert not found.matches and "no name to compare with" in nothing_found(found)


@pytest.mark.slow
def test_a_label_taken_back_is_found_no_more_and_a_new_one_at_once(run_page: Run, store_path: Path) -> None:
    test = run_page("features.py", f_words="cosmic rays", f_by="meaning")
    assert not test.dataframe
    with Store.open(store_path) as store:
        Labels(store, "cy").label(9, "astronomy, outer space")
    test.run()
    assert table(test) == [9]
    with Store.open(store_path) as store:
        Labels(store, "cy").undo()
    test.run()
    assert not test.dataframe


@pytest.mark.slow
def test_who_labels_blind_finds_and_sees_nobody_elses_label(run_page: Run, store_path: Path) -> None:
    with Store.open(store_path) as store:
        Labels(store, "cy").draft(LABELLED, {"text": "not yet said"})
    for by, query in (("meaning", "apologies"), ("words", "apologies"), ("words", "refusal wording")):
        test = run_page("features.py", f_by=by, f_words=query)
        assert table(test)[0] == LABELLED
        test.text_input(key="person").set_value("cy").run()
        shown = test.dataframe[0].value.to_csv() if test.dataframe else ""
        assert "apologies" not in shown and "refusal wording" not in shown
        missed = any(
            "No name has the words" in text or "No name and no" in text for text in texts(test, "info")
        )
        assert missed == (by == "words")
    # Found by its suggestion, it is called by its suggestion.
    test.text_input(key="f_words").set_value("professional").run()
    assert table(test) == [LABELLED]
    assert test.dataframe[0].value["name"].tolist() == ["sorry, professional; refusal"]


# -- Feature ---------------------------------------------------------------------------------------------------


def test_the_address_chooses_the_feature_and_its_numbers_are_the_stores(
    run_page: Run, store_path: Path
) -> None:
    row = oracle(store_path)[LABELLED]
    test = run_page("feature.py", feature=str(LABELLED))
    shown = html_of(test)
    assert f"{row['head_weight']:+.4f}" in shown
    assert f"{row['firing_count']:,} of {POSITIONS:,} positions" in shown
    rank = 1 + sum(
        abs(other["head_weight"]) > abs(row["head_weight"]) for other in oracle(store_path).values()
    )
    assert f"number {rank} of {N_FEATURES} by |w|" in shown


@pytest.mark.slow
def test_partners_counted_on_a_sample_are_shares_of_that_sample(run_page: Run, store_path: Path) -> None:
    def shown() -> tuple[str, str]:
        test = run_page("feature.py", feature=str(LABELLED))
        links = [link.proto.label for link in test.get("page_link")]
        return "\n".join(texts(test, "caption")), "\n".join(links)

    captions, links = shown()
    assert "share of the positions where this one fires" in captions and "a sample" not in captions
    with Store.open(store_path) as store:
        fired = store.feature(LABELLED).record.firing_count
        store.import_harvest([FeatureRecord(LABELLED, cofiring=[(9, 1)], cofiring_of=4)], keep_examples=True)
    captions, links = shown()
    assert f"share of 4 positions where this one fires, a sample of {fired:,}" in captions
    assert "25.0%" in links.replace("\\", "")


@pytest.mark.slow
def test_labels_keep_their_authors_apart_and_a_suggestion_is_called_one(
    run_page: Run, store_path: Path
) -> None:
    shown = html_of(run_page("feature.py", feature=str(LABELLED)))
    assert re.search(r"<i>label</i><b>refusal wording</b><span>ann · .*one meaning 4 of 5", shown)
    assert re.search(r"<i>label</i><b>apologies</b><span>bo · .*one meaning 2 of 5", shown)
    assert re.search(r"<i>suggested</i><b>sorry, professional; refusal</b><span>log-odds", shown)
    unlabelled = run_page("feature.py", feature="0")
    assert any(text.startswith("Unlabelled") for text in texts(unlabelled, "caption"))
    assert "<i>suggested</i>" in html_of(unlabelled) and "<i>label</i>" not in html_of(unlabelled)


@pytest.mark.slow
def test_before_and_after_step_through_the_dictionary_and_wrap(run_page: Run, store_path: Path) -> None:
    test = run_page("feature.py", feature=str(N_FEATURES - 1))
    test.button(key="after").click().run()
    assert test.number_input(key="feature").value == 0
    test.button(key="before").click().run()
    test.button(key="before").click().run()
    assert test.number_input(key="feature").value == N_FEATURES - 2


@pytest.mark.slow
@pytest.mark.parametrize("address", ["64", "-1", "abc", "1.5", "1e300", "nan"])
def test_an_impossible_number_is_refused_with_the_range(
    run_page: Run, store_path: Path, address: str
) -> None:
    test = run_page("feature.py", feature=address)
    assert any(f"0 to {N_FEATURES - 1}" in text for text in [*texts(test, "error"), *texts(test, "info")])
    assert "sarm-figures" not in html_of(test)


def test_after_half_a_number_in_the_address_the_next_one_chosen_stands_there(
    run_page: Run, store_path: Path
) -> None:
    test = run_page("feature.py", feature="1.5")
    for chosen in (0, 1):
        test.button(key="after").click().run()
        assert not test.exception and test.number_input(key="feature").value == chosen
        assert test.query_params["feature"] in (str(chosen), [str(chosen)])


def test_a_dead_feature_is_called_dead_and_shows_no_zeros(run_page: Run, store_path: Path) -> None:
    test = run_page("feature.py", feature=str(DEAD))
    assert any("Dead" in text and f"{POSITIONS:,}" in text for text in texts(test, "warning"))
    assert "<dt>mean z</dt>" not in html_of(test) and "sarm-example" not in html_of(test)


def test_too_few_texts_are_said_to_be_too_few(run_page: Run, store_path: Path) -> None:
    test = run_page("feature.py", feature=str(FEW))
    assert any("Only 2 texts" in text for text in texts(test, "warning"))
    assert "sarm-example" in html_of(test)


def test_without_a_harvest_weight_and_remedy_are_shown(run_page: Run) -> None:
    test = run_page("feature.py", feature="3")
    assert any("not harvested" in text for text in texts(test, "warning"))
    assert "head weight w" in html_of(test) and "density" not in html_of(test)
    assert any("sarm harvest" in text for text in texts(test, "code"))


@pytest.mark.slow
def test_hostile_labels_and_texts_stay_text(run_page: Run, store_path: Path) -> None:
    for page, query in (("feature.py", {"feature": str(HOSTILE_FEATURE)}), ("feature.py", {"feature": "3"})):
        shown = everything_shown(run_page(page, **query))
        shown = shown.replace("\\<", "")  # escaped for Markdown; the browser test sees what becomes of it
        assert "<script" not in shown and "<img" not in shown
    assert "&lt;script&gt;" in html_of(run_page("feature.py", feature=str(HOSTILE_FEATURE)))


@pytest.mark.slow
def test_add_to_sliders_puts_the_feature_on_the_panel(run_page: Run, store_path: Path) -> None:
    test = run_page("feature.py", feature="9")
    next(button for button in test.button if button.label == "Add to sliders").click().run()
    assert test.session_state["steering_state"].panel == [9]
    assert test.button(key="on_sliders").disabled


@pytest.mark.slow
def test_a_bookmark_is_kept_under_the_name_and_can_be_taken_off(run_page: Run, store_path: Path) -> None:
    test = run_page("feature.py", feature="9")
    test.text_input(key="person").set_value("ann").run()
    test.button(key="bookmark").click().run()
    with Store.open(store_path) as store:
        assert store.bookmarks("ann") == [9] and store.bookmarks("") == []
    listed = run_page("features.py")
    (place,) = (
        i
        for i, title in enumerate(listed.selectbox(key="f_list").options)
        if title.startswith("Bookmarks (ann)")
    )
    with Store.open(store_path) as store:
        (mine,) = store.lists("ann")
    assert place == 1
    listed.selectbox(key="f_list").select(mine.id).run()
    assert table(listed) == [9]
    test.button(key="bookmark").click().run()
    with Store.open(store_path) as store:
        assert store.bookmarks("ann") == []


@pytest.mark.slow
def test_a_list_is_managed_by_its_owner_and_only_shown_to_others(run_page: Run, store_path: Path) -> None:
    with Store.open(store_path) as store:
        number = store.make_list("harm [x](y)", "ann")
        store.add_to_list(number, 9, by="ann")
    test = run_page("features.py")
    test.selectbox(key="f_list").select(number).run()
    managing = {"list_rename", "list_delete", f"list_rename_{number}"}

    def offered() -> set[str]:
        return managing & {element.key for kind in ("button", "text_input") for element in test.get(kind)}

    for name in ("", "bob"):
        test.text_input(key="person").set_value(name).run()
        assert table(test) == [9] and not offered()
    test.text_input(key="person").set_value("ann").run()
    assert offered() == managing
    test.text_input(key=f"list_rename_{number}").set_value("danger").run()
    test.button(key="list_rename").click().run()
    assert any(title.startswith("danger (ann)") for title in test.selectbox(key="f_list").options)
    test.selectbox(key="f_list").select(number).run()
    test.button(key="list_delete").click().run()
    assert not test.exception and "“danger” is deleted" in texts(test, "success")[0]
    assert test.selectbox(key="f_list").value == 0 and len(table(test)) == 25
    with Store.open(store_path) as store:
        assert store.lists() == []


@pytest.mark.slow
def test_answers_where_it_fires_are_the_comparisons_own(
    run_page: Run, store_path: Path, checkpoint: Path
) -> None:
    from app.session.comparison import from_corpus
    from sarm_core.score.scorer import load_sarm

    now = from_corpus("sensitive-01")
    matrix = load_sarm(checkpoint).score(now.conversations()).matrix
    feature = int(matrix.csr.indices[0])
    rows, z = matrix.column(feature)
    test = run_page("feature.py", feature=str(feature), a="example:sensitive-01")
    shown = next(element.value for element in test.dataframe if "w z" in element.value)
    assert sorted(shown["answer"]) == sorted(now.titles()[row] for row in rows.tolist())
    np.testing.assert_allclose(sorted(shown["w z"]), sorted(float(matrix.head[feature]) * z), atol=1e-5)
    silent = next(i for i in range(N_FEATURES) if not len(matrix.column(i)[0]))
    assert any(
        "silent at the scored token" in text
        for text in texts(run_page("feature.py", feature=str(silent), a="example:sensitive-01"), "caption")
    )


# -- parts -----------------------------------------------------------------------------------------------------


def test_the_histogram_draws_log_bins_and_counts_what_it_cannot_draw() -> None:
    record = FeatureRecord(
        0, histogram_edges=np.array([-2.0, 0.0, 0.5, 1.0, 2.0]), histogram_counts=np.array([3, 2, 5, 7])
    )
    shape = shape_of(record)
    assert shape is not None and (shape.negative, shape.tiny, int(shape.counts.sum())) == (3, 2, 12)
    bars = activation_chart(shape, []).data[0]
    np.testing.assert_allclose(bars.x - bars.width / 2, [0.5, 1.0])
    np.testing.assert_allclose(bars.x + bars.width / 2, [1.0, 2.0])
    assert shape_of(FeatureRecord(0)) is None


@pytest.mark.parametrize("value", [None, "", "12x", float("nan"), float("inf"), 10**30, 64, -1])
def test_wanted_feature_refuses_what_is_not_a_feature(value: Any) -> None:
    with pytest.raises(StoreError, match="0 to 63"):
        wanted_feature(value, 64)


def test_plain_leaves_nothing_for_markdown_to_read() -> None:
    MarkdownIt = pytest.importorskip("markdown_it").MarkdownIt

    for text in (
        "**bold** _it_ `code` [a](javascript:x) ![i](http://x)",
        HOSTILE,
        "# h",
        ":red[x] $a$ :smile:",
        "a\n\n- b",
    ):
        (block, inline, _) = MarkdownIt().parse(plain(text))
        assert block.type == "paragraph_open"
        assert {token.type for token in inline.children or []} <= {"text", "text_special"}


@pytest.mark.slow
def test_the_heading_is_the_name_and_says_of_a_suggestion_that_it_is_one(
    run_page: Run, store_path: Path
) -> None:
    def heading(feature: int) -> str:
        (title,) = run_page("feature.py", feature=str(feature)).title
        return title.value.replace("\\", "")

    assert heading(7) == "#7 Python, sorted; has code (suggested)"
    assert re.fullmatch(r"#9 “.* …” \(example\)", heading(9)), "its strongest answer where it has no name"
    assert heading(LABELLED) == "#5 sorry, professional; refusal (suggested, disputed)"
    with Store.open(store_path) as store:
        People(store).set_role(None, "chief", "admin")
        Queues(store, "chief").make("all", FeatureFilter(ids=[LABELLED]), sort="id", overlap=3)
    assert heading(LABELLED) == "#5 sorry, professional; refusal (suggested)", (
        "labels that must not be read yet"
    )


@pytest.mark.slow
def test_a_text_tried_on_a_feature_says_whether_it_counts_and_stays_for_the_next(
    run_page: Run, store_path: Path
) -> None:
    test = run_page("feature.py", feature="9")
    engine = load_engine(test.session_state["choice"])
    scored = engine.scorer.score([{"prompt": "Is it safe?", "response": "Yes, if the room is aired."}])
    fires = {int(i): float(z) for i, z in zip(*scored.matrix.activations(0), strict=True)}
    active, silent = next(iter(fires)), next(i for i in range(N_FEATURES) if i not in fires)
    test.number_input(key="feature").set_value(active).run()
    test.text_area(key="try_prompt").set_value("Is it safe?")
    test.text_area(key="try_answer").set_value("Yes, if the room is aired.")
    next(button for button in test.button if button.label == "Try").click().run()
    assert not test.exception
    assert any(f"z = {fires[active]:.4g}".replace("-", "−") in part.value for part in test.caption)
    test.number_input(key="feature").set_value(silent).run()
    assert any("silent at the scored token" in part.value for part in test.caption)
    test.text_area(key="try_answer").set_value("  ")
    next(button for button in test.button if button.label == "Try").click().run()
    assert not test.exception and any("no answer" in part.value for part in test.error)


def test_what_silencing_a_feature_turns_is_counted_among_the_stored_answers(
    run_page: Run, store_path: Path
) -> None:
    test = run_page("feature.py", feature="9")
    with Store.open(store_path) as store:
        pairs = StoredPairs.read(store, load_engine(test.session_state["choice"]).scorer.head)
    said = [part.value for part in test.caption if "Silenced" in part.value]
    if pairs is None:
        assert said == []
    else:
        found = pairs.flips(Steering(scale={9: 0.0}))
        assert f"turns {found.turned:,} of {found.pairs:,} pairs" in said[0]
