"""A suggestion says how far it holds, and nothing it does not know, whatever its evidence is."""

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.features.suggested import described, how_far
from app.features.table import frame
from app.features.view import labels_html
from app.label.evidence_column import suggestion_html
from feature_db import FeatureRecord, FeatureView, ModelRecord, Store, SuggestionRecord
from feature_db.exchange.auto_labels import import_auto_labels
from feature_db.exchange.neuronpedia_import import import_folder

EVIDENCE = {
    "description": "line of code or sentence of 1 to 3 words",
    "strongest": [8, 10],
    "elsewhere": 0.0213,
    "unseen": {"strongest": [7, 10], "firing": [9, 16], "silent": [1, 24]},
}


def suggestion(evidence: object = EVIDENCE, method: str = "log-odds") -> dict[str, str]:
    return {"method": method, "text": "line of code or …", "evidence": json.dumps(evidence)}


def test_the_page_gives_the_whole_description_and_its_counts():
    view = FeatureView(FeatureRecord(1), None, 0, None, [suggestion()])
    for shown in (labels_html(view), suggestion_html(suggestion())):
        assert "line of code or sentence of 1 to 3 words" in shown and "<i>suggested</i>" in shown
        assert "holds in 8 of its 10 top texts and at 2 % of places elsewhere" in shown
        assert "on unseen texts: in 7 of 10 top ones, in 9 of 16 in all where it fires" in shown
        assert "at 1 of 24 places where it is silent" in shown


@pytest.mark.parametrize(
    ("share", "words"), [(0.5, "50 %"), (0.0149, "1.5 %"), (0.001, "0.1 %"), (0.0001, "under 0.1 %")]
)
def test_small_shares_are_not_rounded_to_nothing(share, words):
    assert f"at {words} of places" in how_far(suggestion({**EVIDENCE, "elsewhere": share}))[1]


def test_what_was_not_tried_says_so():
    earlier = suggestion({"examples": 10, "words": [{"what": "x"}]})
    assert how_far(earlier) == ["log-odds", "not tried on unseen texts"]
    assert described(earlier) == "line of code or …"
    assert how_far(suggestion({}, "auto-label: gpt-4")) == ["auto-label: gpt-4"]


def test_what_came_from_files_shows_its_score_and_origin_on_both_pages(tmp_path):
    with Store.open(tmp_path / "s.db", create=ModelRecord("f", "m", 9)) as store:
        store.import_harvest([FeatureRecord(3)])
        entry = {"score": 4, "explanation": "refusals", "contexts": ["a", "b"], "response": None}
        (tmp_path / "a.json").write_text(json.dumps({"engine": "gpt-4", "results": {"3": entry}}))
        import_auto_labels(store, tmp_path / "a.json")
        row = {
            "index": 3,
            "description": "no",
            "typeName": "oai",
            "explanationModelName": "<b>4o",
            "authorId": "x",
        }
        batch = tmp_path / "m/1-s/explanations/batch-0.jsonl.gz"
        batch.parent.mkdir(parents=True)
        batch.write_bytes(gzip.compress(json.dumps(row).encode()))
        import_folder(store, tmp_path / "m", same_model=True)
        view = store.feature(3)
    for shown in (labels_html(view), "".join(map(suggestion_html, view.suggestions))):
        assert "auto-label: gpt-4 · its engine scores it 4 of 5 · from 2 contexts" in shown
        assert "oai · explained by &lt;b&gt;4o · author x" in shown and "<b>4o" not in shown


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(EVIDENCE)), inner),
    max_leaves=8,
)


@pytest.mark.slow
@given(JSON)
def test_any_evidence_is_shown_without_an_error(evidence):
    assert how_far(suggestion(evidence))[0] == "log-odds" and described(suggestion(evidence))


def test_the_table_says_how_well_a_suggestion_does_and_only_of_suggestions(tmp_path):
    odd = [
        {"unseen": "x"},
        {"unseen": {"firing": [9, 0], "silent": [1, 2]}},
        {"unseen": {"firing": [9, 1]}},
        [1],
    ]
    with Store.open(tmp_path / "a.db", create=ModelRecord("f", "m", 9)) as store:
        store.import_harvest((FeatureRecord(i, density=0.1) for i in range(9)), (), (), ())
        store.replace_suggestions("log-odds", [SuggestionRecord(0, "log-odds", "a", EVIDENCE)])
        for number, evidence in enumerate(odd[:3], start=1):
            store.add_suggestions([SuggestionRecord(number, "log-odds", "b", evidence)])
        with store.write() as conn:
            conn.execute(
                "INSERT INTO suggestions (feature, method, text, evidence) VALUES (4, 'm', 'b', ?)",
                (json.dumps({"unseen": {"firing": [9, 1], "silent": ["a", {}]}}),),
            )
        page = store.features_page("id", descending=False)
        shown = frame(page.rows).set_index("open")["accuracy"]
        assert shown["#0"] == pytest.approx((9 / 16 + 23 / 24) / 2)
        assert shown.drop("#0").isna().all()
        assert store.titles([0])[0].text == "a"


def test_a_name_by_a_model_says_who_wrote_it_and_how_it_held():
    evidence = {
        "auc": 0.71, "low": 0.52, "high": 0.85, "pairs": 20, "score": 4, "holds": True, "tried": 9,
        "detection": {"value": 0.6, "low": 0.4, "high": 0.8, "n": 10},
    }  # fmt: skip
    said = how_far(suggestion(evidence, "llm: <b>judge</b>, prompt v1"))
    assert said[0] == "suggested by <b>judge</b>, prompt v1, held in 71% [52%, 85%] of 20 checks"
    assert any("60% [40%, 80%] balanced accuracy" in words for words in said)
    assert any("scores the pattern 4 of 5" in words for words in said)
    view = FeatureView(
        FeatureRecord(1), None, 0, None, [suggestion(evidence, "llm: <b>judge</b>, prompt v1")]
    )
    assert "<b>judge" not in labels_html(view) and "&lt;b&gt;judge" in labels_html(view)
    named = suggestion(evidence | {"description": "It says sorry."}, "llm: judge, prompt v1")
    assert described(named) == "line of code or …: It says sorry."
    lost = how_far(suggestion(evidence | {"holds": False}, "llm: judge, prompt v1"))
    assert any("no better than chance among 9 names" in words for words in lost)
    assert how_far(suggestion({}, "llm: judge, prompt v1"))[1] == "not checked on pairs of answers"
