"""Names made of pairs: what was planted is found, chance is not, and no two features are called the same unawares."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from feature_db import EncodingRecord, FeatureRecord, ModelRecord, Store, TextRecord
from feature_db.records import PAIRS_METHOD
from sarm_core.cli.parser import main
from sarm_core.harvest.pairwise import AnswerSet, PairwiseName, names_of, with_words
from sarm_core.harvest.suggest_pairs import METHOD, suggest_pairs, tags_in
from sarm_core.text.answer_traits import Trait, TraitTable

PROMPTS, ANSWERS = 60, 6
TRAITS = tuple(Trait(f"has {name}", f"no {name}") for name in "abcdefgh")


def planted(features: int, seed: int = 0, **columns: int) -> tuple[np.ndarray, np.ndarray, AnswerSet]:
    """Random traits and activations of PROMPTS x ANSWERS answers; `f3=2` makes feature 3 stronger with trait 2, -2 (as
    `f3=-2`) weaker."""
    rng = np.random.default_rng(seed)
    n = PROMPTS * ANSWERS
    traits = rng.integers(0, 2, (n, len(TRAITS))).astype(np.float32)
    z = rng.random((n, features)).astype(np.float32)
    for name, trait in columns.items():
        z[:, int(name[1:])] += 2 * np.sign(trait) * traits[:, abs(trait)] + 2 * (trait < 0)
    prompt = np.repeat(np.arange(PROMPTS), ANSWERS)
    held = AnswerSet(
        sparse.csr_matrix(z), TraitTable(TRAITS, traits), prompt, [f"prompt {number}" for number in prompt]
    )
    return z, traits, held


def by_feature(names: list[PairwiseName]) -> dict[int, str]:
    return {name.feature: name.text for name in names}


def test_what_makes_a_feature_stronger_or_weaker_is_its_name() -> None:
    z, traits, held = planted(6, f0=2, f1=-3)
    names = names_of(held)
    assert by_feature(names) == {0: "has c", 1: "no d"}
    # Counted again without any of it: over the checking prompts' pairs, a pair alike in the trait is half a forecast.
    evidence = names[0].evidence
    right = decided = pairs = 0
    prompts = set()
    import hashlib

    for number in range(PROMPTS):
        if hashlib.sha256(f"prompt {number}".encode()).digest()[0] < 128:
            continue
        rows = range(number * ANSWERS, (number + 1) * ANSWERS)
        prompts.add(number)
        for a in rows:
            for b in range(a + 1, rows.stop):
                pairs += 1
                if traits[a, 2] != traits[b, 2]:
                    decided += 1
                    right += (traits[a, 2] > traits[b, 2]) == (z[a, 0] > z[b, 0])
    assert evidence["traits"] == [["has c", right, decided]]
    assert evidence["auc"] == pytest.approx((right + (pairs - decided) / 2) / pairs, abs=1e-4)
    assert (evidence["pairs"], evidence["prompts"]) == (pairs, len(prompts))
    assert 0.5 < evidence["low"] < evidence["auc"] < evidence["high"]


@pytest.mark.parametrize("seed", range(5))
def test_chance_has_no_name(seed: int) -> None:
    _, _, held = planted(150, seed)
    assert len(names_of(held)) <= 1


def test_equal_names_are_told_apart_or_said_to_be_alike() -> None:
    z, traits, held = planted(4, f0=1, f1=1, f2=1)
    z[:, 1] += 1.0 * traits[:, 4]  # weaker than trait 1, and holds by itself
    held = AnswerSet(sparse.csr_matrix(z), held.traits, held.group, held.prompt)
    called = by_feature(names_of(held))
    assert called[1] == "has b; has e"
    alike = sorted(called[i] for i in (0, 2))
    assert alike[0] == "has b" and alike[1] in ("has b (like #0)", "has b (like #2)")


def test_only_answers_of_one_group_are_compared() -> None:
    z, traits, held = planted(2)
    source = np.arange(len(z)) % 2
    traits[:, 5], z[:, 0] = source, z[:, 0] + 2 * source
    table = TraitTable(TRAITS, traits)
    assert by_feature(
        names_of(AnswerSet(held.z * 0 + sparse.csr_matrix(z), table, held.group, held.prompt))
    ) == {0: "has f"}
    apart = held.group * 2 + source
    assert names_of(AnswerSet(sparse.csr_matrix(z), table, apart, held.prompt)) == []


def test_nothing_to_compare_is_no_name() -> None:
    _, _, held = planted(3, f0=2)
    alone = np.arange(len(held.prompt))
    assert names_of(AnswerSet(held.z, held.traits, alone, held.prompt)) == []


def test_words_that_some_answers_to_many_prompts_have_are_traits() -> None:
    texts = [(f"question {i // 2}", "purple zebra" if i % 2 else "plain and to the point") for i in range(60)]
    table = with_words(
        TraitTable((), np.zeros((60, 0), np.float32)), texts, [question for question, _ in texts]
    )
    assert table.traits == ()  # each is in half of all answers
    texts += [(f"other {i}", "nothing") for i in range(80)]
    table = with_words(
        TraitTable((), np.zeros((140, 0), np.float32)), texts, [question for question, _ in texts]
    )
    assert "says “zebra”" in [trait.more for trait in table.traits]
    assert table.values[:, [t.more for t in table.traits].index("says “zebra”")].sum() == 30


def test_many_answers_to_one_prompt_are_compared_by_a_sample_of_their_pairs() -> None:
    from sarm_core.harvest.pairwise import MOST_PAIRS, pairs_within

    left, right = pairs_within(np.array([0] * 3 + [1] * 5_000))
    assert len(left) == 3 + MOST_PAIRS and len(set(zip(left.tolist(), right.tolist(), strict=True))) == len(
        left
    )
    assert (left < right).all() and set(left[:3].tolist()) == {0, 1} and left[3:].min() >= 3
    assert [part.tolist() for part in pairs_within(np.array([0] * 3 + [1] * 5_000))] == [
        left.tolist(),
        right.tolist(),
    ]


# -- in a store --------------------------------------------------------------------------------------------------


def store_of(path: Path, features: int = 3) -> Store:
    """A store with answers of which every other is a list; feature 0 is strong there, feature 1 where it is tagged."""
    store = Store.open(path, create=ModelRecord("f" * 64, "tiny", features))
    rng = np.random.default_rng(1)
    texts, encodings = [], []
    for prompt in range(50):
        for place in range(4):
            answer = (
                f"- one {place}.\n- two {prompt}."
                if place % 2
                else f"Just a line of number {place} on {prompt}."
            )
            messages = [{"role": "user", "content": f"q{prompt}"}, {"role": "assistant", "content": answer}]
            text = TextRecord(messages, source="a file")
            z = np.array([1 + 2 * (place % 2), 1 + 2 * (place < 2), 1], dtype=np.float32)
            texts.append(text)
            encodings.append(
                EncodingRecord(len(encodings), np.arange(3), z + rng.random(3).astype(np.float32))
            )
    store.import_harvest([FeatureRecord(i) for i in range(features)], texts, encodings)
    return store


def test_a_store_names_its_features_from_its_answers_and_from_tags(tmp_path: Path) -> None:
    with store_of(tmp_path / "s.db") as store:
        assert METHOD == PAIRS_METHOD
        assert suggest_pairs(store) == 1
        assert [(s.feature, s.text.split(";")[0]) for s in store.suggestions(METHOD)] == [(0, "bullet list")]
        rows = [
            {
                "prompt": f"q{prompt}",
                "answers": [
                    {
                        "text": f"- one {place}.\n- two {prompt}."
                        if place % 2
                        else f"Just a line of number {place} on {prompt}.",
                        "varied": {"tone": "early" if place < 2 else "late"},
                    }
                    for place in range(4)
                ],
            }
            for prompt in range(50)
        ]
        file = tmp_path / "tags.jsonl"
        file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        assert suggest_pairs(store, tags_in([file])) == 2
        called = {i: title.text for i, title in store.titles([0, 1, 2]).items()}
        assert called[1] in ("early", "not late") and 2 not in called
        assert store.titles([1])[1].mark == "suggested"


def test_files_without_tags_say_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"prompt": "q", "response": "a"}\n{"answers": "x"}\n{"answers": [1, {"varied": 2}]}'
    )
    (tmp_path / "b.bin").write_bytes(b"\x00\xff")
    assert tags_in([tmp_path / "a.jsonl", tmp_path / "b.bin", tmp_path / "none.jsonl", tmp_path]) == {}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            '{"prompt": "q", "answers": [{"text": "a", "varied": {"tone": "kind"}}]}\n{broken',
            "tags.jsonl, row 2",
        ),
        ('{"prompt": "q", "response": "a"}', "no row of it has answers with tags"),
        ("", "tags.jsonl"),
        (None, "tags.jsonl"),
    ],
)
def test_a_file_that_is_named_for_its_tags_is_read_whole_or_refused(
    tmp_path: Path, content: str | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store_of(tmp_path / "s.db").close()
    file = tmp_path / "tags.jsonl"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    assert main(["suggest", str(tmp_path / "s.db"), "--tags", str(file)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert said in line
    with Store.open(tmp_path / "s.db") as store:
        assert store.suggestions() == []


def test_a_store_without_answers_to_one_prompt_has_no_names(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s.db", create=ModelRecord("f" * 64, "tiny", 2)) as store:
        assert suggest_pairs(store) == 0
        text = TextRecord([{"role": "assistant", "content": "alone"}])
        store.import_harvest(
            [FeatureRecord(0)],
            [text],
            [EncodingRecord(0, np.array([0]), np.ones(1, np.float32))],
        )
        assert suggest_pairs(store) == 0
