"""`sarm learn` on a real small model: what is written is what was proved; what holds nothing is refused with 1."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pytest

from sarm_core import Steering, load_sarm
from sarm_core.cli.parser import main
from tests.sarm_core.tiny_models import chatml, reference_checkpoint

N = 80
BITS = list(product([0, 1], repeat=8))
WORDS = ["rice", "tea", "the sea", "a bridge", "old maps", "snow", "a violin", "bread"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return reference_checkpoint(
        tmp_path_factory.mktemp("model") / "m", n_features=64, k=6, tokenizer=chatml()
    )


@pytest.fixture(scope="module")
def rows(model):
    """Pairs in the order that a steered model gives them, so that there is something to learn; `ann` and `bob`."""
    asked = [f"What of {WORDS[i % 8]} number {i}?" for i in range(N)]
    texts = [
        (f"{WORDS[(3 * i) % 8]}, {i} times.", f"No {WORDS[(5 * i + 1) % 8]} today, {i}.") for i in range(N)
    ]
    flat = [{"prompt": p, "response": text} for p, both in zip(asked, texts, strict=True) for text in both]
    matrix = load_sarm(model).score(flat).matrix
    left, right = np.arange(0, 2 * N, 2), np.arange(1, 2 * N, 2)

    def turned(person: Steering) -> int:
        rewards = person.rewards(matrix)
        return int(((rewards[left] > rewards[right]) != (matrix.rewards[left] > matrix.rewards[right])).sum())

    most = np.argsort(-matrix.carried)[:8].tolist()
    people = [Steering(scale={i: float(2 * bit) for i, bit in zip(most, bits, strict=True)}) for bits in BITS]
    person = max(people, key=turned)
    assert turned(person) > N / 4
    rewards = person.rewards(matrix)
    made = []
    for i in range(N):
        first = rewards[2 * i] > rewards[2 * i + 1]
        chosen, rejected = texts[i] if first else texts[i][::-1]
        made.append({"prompt": asked[i], "chosen": chosen, "rejected": rejected, "who": "ann"})
    return made, person


@pytest.fixture
def pairs(tmp_path):
    def write(rows):
        path = tmp_path / "pairs.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return write


@pytest.mark.slow
def test_what_is_written_is_what_was_proved(rows, pairs, model, tmp_path, capsys):
    made, person = rows
    path, out, report = pairs(made), tmp_path / "s.json", tmp_path / "r.json"
    given = ["learn", str(path), "--model", str(model), "--cache", str(tmp_path / "cache"), "--out", str(out)]
    assert main([*given, "--complement", str(path), "--report", str(report), "--json"]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert json.loads(report.read_text(encoding="utf-8")) == found
    steering = Steering.read(out)
    assert json.loads(steering.to_json()) == found["steering"]
    first = found["features"][0]
    assert (first["after"] - 1) * (person.scale[first["feature"]] - 1) > 0, "towards what the person has"
    assert found["told_apart"] and found["held_out"]["gain"]["low"] > 0
    assert found["elsewhere"]["pairs"] == N and found["elsewhere"]["flipped"] > 0
    assert "accuracy" in said.err and f"written to {out}" in said.err and "not used: who" in said.err
    assert found["held_out"]["before"]["n"] + found["learned_from"]["pairs"] == N
    limited = tmp_path / "few.json"
    assert main([*given[:-1], str(limited), "--max-features", "1", "--low", "0.5"]) in (0, 1)
    if limited.exists():
        scale = Steering.read(limited).multipliers()
        assert len(scale) == 1 and min(scale.values()) >= 0.5


@pytest.mark.slow
def test_labels_that_mean_nothing_write_no_steering_and_end_with_1(rows, pairs, model, tmp_path, capsys):
    coin = np.random.default_rng(1).random(N) < 0.5
    turned = [
        row | {"chosen": row["rejected"], "rejected": row["chosen"]} if side else row
        for row, side in zip(rows[0], coin, strict=True)
    ]
    out, report = tmp_path / "s.json", tmp_path / "r.json"
    given = ["--model", str(model), "--no-cache", "--out", str(out), "--report", str(report)]
    assert main(["learn", str(pairs(turned)), *given]) == 1
    said = [line for line in capsys.readouterr().err.splitlines() if "no steering is written" in line]
    assert len(said) == 1 and not out.exists()
    found = json.loads(report.read_text(encoding="utf-8"))
    assert found["steering"] is None and found["why_not"] in said[0]


@pytest.mark.slow
def test_one_steering_a_person_in_a_folder_of_files(rows, pairs, model, tmp_path, capsys):
    made, _ = rows
    bob = [row | {"chosen": row["rejected"], "rejected": row["chosen"], "who": "../bob\x1b"} for row in made]
    path, out = pairs([*made, *bob]), tmp_path / "steerings"
    given = [
        "learn",
        str(path),
        "--model",
        str(model),
        "--no-cache",
        "--by",
        "who",
        "--out",
        str(out),
        "--json",
    ]
    assert main(given) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert set(found["profiles"]) == {"ann", "../bob\x1b"}
    assert (out / "ann.json").exists() and {p.name for p in out.iterdir()} <= {"ann.json", "_bob_.json"}
    assert "\x1b" not in said.err and "../bob\\x1b" in said.err
    assert len(found["crossed"]) == 4 and found["differences"]
    alone = [
        "learn",
        str(pairs(made)),
        "--model",
        str(model),
        "--no-cache",
        "--out",
        str(tmp_path / "a.json"),
    ]
    assert main([*alone, "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain["features"] == found["profiles"]["ann"]["features"]
    assert Steering.read(tmp_path / "a.json") == Steering.read(out / "ann.json")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--out", "x.json", "--report", "x.json"], "--report and --out have the same name"),
        (["--out", "x.json", "--max-collateral", "0.1"], "--max-collateral needs --complement"),
        (["--out", "x.json", "--by", "team"], "no 'team', the column that should say"),
        (["--out", "x.json", "--max-collateral", "2"], "not a share"),
    ],
)
def test_what_cannot_be_asked_is_one_line(options, words, pairs, tmp_path, monkeypatch, capsys):
    path = pairs([{"prompt": "a", "chosen": "b", "rejected": "c"}])
    monkeypatch.chdir(tmp_path)
    try:
        code = main(["learn", str(path), "--model", "absent", *options])
    except SystemExit as stop:
        code = stop.code
    said = capsys.readouterr().err
    assert code == 2 and said.count("\n") == 1 and words in said, said
    assert not (tmp_path / "x.json").exists()
