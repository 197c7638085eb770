"""Names that a language model wrote: kept apart, never before what holds, and out in the auto-labels' format."""

from __future__ import annotations

import json
from pathlib import Path

from feature_db import Store, SuggestionRecord
from feature_db.exchange.auto_labels import AutoLabels, export_auto_labels, import_auto_labels
from feature_db.exchange.format import Look
from feature_db.features.evidence_kinds import evidence_kinds

JUDGE = "llm: judge, prompt v1"
HELD = {"auc": 0.9, "low": 0.6, "high": 0.98, "pairs": 20, "ties": 1, "holds": True, "tried": 3}
WRITTEN = {
    **HELD,
    "description": "The answer says sorry.",
    "score": 4,
    "contexts": ["I'm sorry."],
    "response": '{"name": "x"}',
    "detection": {"value": 0.8, "low": 0.5, "high": 0.9, "n": 10, "right": 8},
    "prompt_hash": "0123abcd",
}


def add(store: Store, method: str, feature: int, text: str, evidence: dict) -> None:
    store.add_suggestions([SuggestionRecord(feature, method, text, evidence)])


def test_a_name_that_does_not_hold_comes_behind_every_other(store: Store) -> None:
    failed = HELD | {"holds": False}
    for feature in (1, 2, 3):
        add(store, "log-odds", feature, "words", {})
        add(store, JUDGE, feature, "judged", failed if feature == 1 else HELD)
    add(store, "pairs", 3, "longer", {"auc": 0.7, "low": 0.6, "high": 0.8, "pairs": 20})
    add(store, JUDGE, 4, "judged", failed)
    names = {i: text for i, (text, _) in store.first_suggestions([1, 2, 3, 4]).items()}
    assert names[1] == "words" and names[3] == "longer" and names[4] == "judged"
    kinds = evidence_kinds(store)
    assert (kinds[1], kinds[2], kinds[4]) == ("suggested", "pairs", "suggested")
    assert store.titles([4])[4].mark == "suggested"


def test_models_and_prompts_are_kept_apart(store: Store) -> None:
    other = "llm: judge, prompt v2"
    add(store, JUDGE, 1, "a", HELD)
    add(store, other, 1, "b", HELD)
    store.replace_suggestions(other, [SuggestionRecord(1, other, "c", HELD)])
    assert [(s.method, s.text) for s in store.suggestions() if s.method.startswith("llm: ")] == [
        (JUDGE, "a"),
        (other, "c"),
    ]


def test_out_and_in_again_in_the_format_of_auto_labels(store: Store, tmp_path: Path) -> None:
    add(store, JUDGE, 5, "apologises", WRITTEN)
    path = tmp_path / "labels.json"
    assert export_auto_labels(store, path, "judge, prompt v1").counts == {"suggestions": 1}
    data = json.loads(path.read_text(encoding="utf-8"))
    assert data["engine"] == "judge, prompt v1" and data["features_scored"] == 1
    entry = data["results"]["5"]
    assert (entry["score"], entry["explanation"]) == (4, "The answer says sorry.")
    assert entry["contexts"] == ["I'm sorry."] and entry["response"] == '{"name": "x"}'
    assert entry["name"] == "apologises" and entry["checks"]["detection"]["value"] == 0.8
    assert AutoLabels().recognises(Look(path))
    import_auto_labels(store, path)
    (back,) = store.suggestions("auto-label: judge, prompt v1")
    assert (back.feature, back.text, back.evidence["score"]) == (5, "The answer says sorry.", 4)
    assert back.evidence["other"]["name"] == "apologises"
    (still,) = store.suggestions(JUDGE)
    assert still.text == "apologises", "what came in is another method's"
