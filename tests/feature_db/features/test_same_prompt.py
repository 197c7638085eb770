"""Other answers to a prompt in which a feature is silent: against reading every text of the store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from feature_db import EncodingRecord, ExampleRecord, FeatureRecord, ModelRecord, Store, TextRecord
from feature_db.features.evidence import StoredExample
from feature_db.features.same_prompt import _SQL as SQL
from feature_db.features.same_prompt import CLEARLY_LESS, QuietAnswer, quiet_answers

N_TEXTS, N_FEATURES = 60, 12


@pytest.fixture
def answers(tmp_path: Path) -> Iterator[Store]:
    """Five prompts of twelve answers from two sources; some are examples, some kept for testing, one has no prompt."""
    rng = np.random.default_rng(3)
    texts = [
        TextRecord(
            [
                {"role": "system", "content": "s"},
                {"role": "user", "content": f"a question that ends alike? {'x' * 90} {i % 5 // 2} {i % 5}"},
                {"role": "assistant", "content": f"answer {i}"},
            ],
            source=("file", "sampled")[i // 5 % 2],
        )
        for i in range(N_TEXTS)
    ]
    texts[7] = TextRecord([{"role": "text", "content": "no prompt"}])
    texts[13] = TextRecord([{"role": "text", "content": "none here either"}])
    features = [FeatureRecord(i, head_weight=0.1, firing_count=9, denominator=90) for i in range(N_FEATURES)]
    examples = []
    for feature in range(N_FEATURES):
        for rank, text in enumerate(rng.permutation(N_TEXTS)[:24].tolist()):
            silent = rank >= 16
            z = 0.0 if silent else float(rng.choice([-1.0, 1.0, 1.0]) * rng.uniform(0.2, 3.0))
            purpose = "check" if rank % 4 == 3 else "label"
            examples.append(ExampleRecord(feature, text, "silent" if silent else "top", rank, purpose, z))
    encodings = []
    for text in range(0, N_TEXTS, 2):  # of every other text nothing is known but its examples
        ids = np.sort(rng.choice(N_FEATURES, 3, replace=False))
        encodings.append(EncodingRecord(text, ids, rng.normal(size=3).astype(np.float32)))
    with Store.open(tmp_path / "s.db", create=ModelRecord("e" * 64, "tiny", N_FEATURES)) as store:
        store.import_harvest(features=features, texts=texts, encodings=encodings, examples=examples)
        yield store


def known(store: Store, feature: int, text: int) -> tuple[float | None, bool]:
    """The largest |z| that is known of a feature in a text, and whether from an example."""
    peaks = [abs(e.activation) for e in store.examples(feature, purpose=None) if e.text.id == text]
    encoded = store.encoding(text)
    ends = [] if encoded is None else [abs(float(encoded[1][encoded[0] == feature].sum()))]
    return max([*peaks, *ends], default=None), bool(peaks)


def oracle(store: Store, feature: int, example: StoredExample) -> list[tuple[float, int, bool, bool]]:
    """(activation, text, whole, same source) of every answer that may stand beside an example."""
    aside = {e.text.id for e in store.examples(feature, purpose="check")}
    prompt, found = example.text.messages[:-1], []
    for text in range(1, N_TEXTS + 1):
        other = store.text(text)
        z, whole = known(store, feature, text)
        usable = other.messages[:-1] == prompt != [] and text != example.text.id and text not in aside
        if usable and z is not None and z < abs(example.activation):
            found.append((z, text, whole, other.source == example.text.source))
    return found


def test_it_is_the_weakest_that_reading_every_text_finds(answers: Store) -> None:
    none = 0
    for feature in range(N_FEATURES):
        shown = answers.examples(feature, kind="top")
        found = quiet_answers(answers, feature, shown)
        for example in shown:
            wanted = oracle(answers, feature, example)
            near = [z for z, _, _, alike in wanted if alike and z <= CLEARLY_LESS * abs(example.activation)]
            if not wanted:
                none += 1
                assert example.text.id not in found
                continue
            got = found[example.text.id]
            assert (pytest.approx(got.activation), got.text.id, got.whole, got.same_source) in wanted
            assert got.activation == pytest.approx(min(near) if near else min(z for z, *_ in wanted))
            assert got.same_source or not near
    assert none, "the store has examples without another answer"


def test_what_is_kept_for_testing_labels_is_never_given(answers: Store) -> None:
    for feature in range(N_FEATURES):
        aside = {e.text.id for e in answers.examples(feature, purpose="check")}
        found = quiet_answers(answers, feature, answers.examples(feature))
        assert aside and not aside & {answer.text.id for answer in found.values()}


def test_silent_everywhere_comes_before_silent_at_the_end(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "q"}]
    texts = [TextRecord([*turns, {"role": "assistant", "content": word}], source="f") for word in "abcd"]
    with Store.open(tmp_path / "s.db", create=ModelRecord("e" * 64, "tiny", 2)) as store:
        store.import_harvest(
            features=[FeatureRecord(0)],
            texts=texts,
            encodings=[EncodingRecord(i, [1], np.ones(1, np.float32)) for i in (1, 3)],
            examples=[
                ExampleRecord(0, 0, "top", 0, "label", 2.0),
                ExampleRecord(0, 2, "silent", 0, "label", 0.0),
            ],
        )
        (found,) = quiet_answers(store, 0, store.examples(0)).values()
        assert found == QuietAnswer(found.text, 0.0, True, True) and found.text.messages[-1]["content"] == "c"
        assert quiet_answers(store, 0, []) == {}
        assert quiet_answers(store, 0, store.examples(0, kind="silent")) == {}, (
            "nothing is quieter than silence"
        )


def test_the_lookup_reads_an_index_and_no_table_of_texts(answers: Store) -> None:
    plan = [
        str(row["detail"])
        for row in answers.rows(f"EXPLAIN QUERY PLAN {SQL}", {"feature": 0, "texts": json.dumps([1, 2])})
    ]
    assert any("texts_prompt" in step for step in plan) and any("examples_place" in step for step in plan)
    assert not [step for step in plan if step.startswith("SCAN") and "texts" in step]
