"""Stored pairs under a steering, against a plain loop over a real store."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from app.compare.stored_pairs import stored_comparison
from app.session.stored_pairs import StoredPairs
from feature_db import EncodingRecord, ModelRecord, Store, TextRecord
from sarm_core.steering import Steering

M = 16


def fill(path: Path, answers: dict[str, int], seed: int = 0) -> tuple[Store, dict[str, list[np.ndarray]]]:
    """A store with `answers[prompt]` encoded answers to each prompt, and the dense z by prompt."""
    rng = np.random.default_rng(seed)
    store = Store.open(path, create=ModelRecord("f" * 64, "tiny", M, {}))
    texts, encodings, dense = [], [], {}
    for prompt, n in answers.items():
        dense[prompt] = []
        for i in range(n):
            z = (rng.normal(size=M) * (rng.random(M) < 0.4)).astype(np.float32)
            messages = [
                {"role": "user", "content": prompt},
                {"role": "assistant", "content": f"{prompt} {i}"},
            ]
            ids = np.flatnonzero(z)
            encodings.append(EncodingRecord(text=len(texts), features=ids, values=z[ids]))
            texts.append(TextRecord(messages=messages, token_ids=[1, 2], tokens=["a", "b"]))
            dense[prompt].append(z)
    store.import_harvest(texts=texts, encodings=encodings)
    return store, dense


@pytest.mark.parametrize("seed", range(4))
def test_flips_are_those_of_a_loop_over_all_pairs(tmp_path: Path, seed: int) -> None:
    store, dense = fill(tmp_path / "s.db", {"p": 6, "q": 5, "alone": 1}, seed)
    head = np.random.default_rng(seed + 9).normal(size=M).astype(np.float32)
    steering = Steering(scale={0: -2.0, 3: 4.0, 5: 0.0}, set={7: 1.5}, offset={1: 3.0})
    with store:
        pairs = StoredPairs.read(store, head)
    assert pairs is not None

    def steered(z: np.ndarray) -> float:
        out = z.astype(float).copy()
        for i, m in steering.scale.items():
            out[i] *= m
        out[7] = 1.5 if z[7] else 0.0
        return float(out @ head)

    turned = {}
    for prompt, answers in dense.items():
        turned[prompt] = sum(
            (float(a @ head) - float(b @ head)) * (steered(a) - steered(b)) < 0
            for a, b in combinations(answers, 2)
        )
    found = pairs.flips(steering)
    assert found.pairs == 15 + 10
    assert found.turned == sum(turned.values()) > 0
    assert {prompt: n for prompt, n, _ in found.by_prompt} == {prompt: n for prompt, n in turned.items() if n}
    assert pairs.flips(Steering()).turned == 0


def test_a_store_without_two_answers_to_one_prompt_says_nothing(tmp_path: Path) -> None:
    for number, answers in enumerate(({}, {"p": 1}, {"p": 1, "q": 1})):
        store, _ = fill(tmp_path / f"{number}.db", answers)
        with store:
            assert StoredPairs.read(store, np.ones(M, dtype=np.float32)) is None


def test_what_turns_elsewhere_leaves_out_the_prompts_asked_about_and_pairs_without_an_order(
    tmp_path: Path,
) -> None:
    store, _ = fill(tmp_path / "s.db", {"p": 4, "q": 3, "alone": 1})
    head = np.random.default_rng(9).normal(size=M).astype(np.float32)
    with store:
        pairs = StoredPairs.read(store, head)
        assert pairs is not None
        texts = {row: store.text(int(text)).messages for row, text in enumerate(pairs.texts)}
    assert len(pairs.complement.pairs) == 6 + 3
    elsewhere = pairs.elsewhere({(("user", "p"),)})
    assert len(elsewhere.pairs) == 3
    for one, two in elsewhere.pairs.tolist():
        assert pairs.question_of(one) == pairs.question_of(two) == texts[one][0]["content"] == "q"
    assert pairs.elsewhere({(("user", "unknown"),)}) is pairs.complement
    steering = Steering(scale=dict.fromkeys(range(M), -1.0))
    turned = pairs.flips(steering)
    assert turned.turned == turned.pairs == 9
    silent = StoredPairs(
        pairs.matrix.select(np.zeros(len(pairs.matrix), dtype=int)),
        pairs.left,
        pairs.right,
        pairs.prompt,
        pairs.prompts,
        pairs.texts,
    )
    assert len(silent.complement.pairs) == 0, "equal answers are in no order that could turn"


def test_a_turned_prompt_opens_with_all_its_stored_answers(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store, _ = fill(path, {"p": 3, "alone": 1, "q": 4})

    class OfThisStore:
        def store(self) -> Store:
            return Store.open(path)

    with store:
        pairs = StoredPairs.read(store, np.ones(M, np.float32))
    assert pairs is not None and pairs.questions == ["p", "q"]
    opened = stored_comparison(OfThisStore(), pairs.texts_of(1))  # type: ignore[arg-type]
    assert opened.question == "q"
    assert [answer.text for answer in opened.answers] == [f"q {i}" for i in range(4)]
    found = pairs.flips(Steering(scale=dict.fromkeys(range(M), -1.0)))
    assert [pairs.questions[i] for i in found.prompts] == [prompt for prompt, _, _ in found.by_prompt]
