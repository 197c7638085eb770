"""`sarm perturb`: the file says what scoring every rewrite one by one says, and its refusals."""

import json
import re

import numpy as np
import pytest

from sarm_core import load_sarm
from sarm_core.__main__ import main
from sarm_core.cli.perturb import RULE_NAMES
from sarm_core.prove.perturb import rewritten
from sarm_core.steering import Steering
from sarm_core.text.answers import pair_of
from sarm_core.text.rewrites import REWRITES
from tests.sarm_core.tiny_models import backbone, chatml, reference_checkpoint

ROWS = [
    {
        "id": "x",
        "prompt": "How?",
        "chosen": "It is big. You often begin here.",
        "rejected": "- tea\n- milk\n- a snack",
    },
    {"prompt": "Why?", "chosen": "Many mistakes, usually. Never mind.", "rejected": "Hello! It is quick."},
    {"prompt": "Is it?", "chosen": "Yes. It is.\n\nMaybe.", "rejected": "No! A big mistake. Sometimes."},
    {"prompt": "Well?", "chosen": "I hope this helps.", "rejected": "The whole day."},
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    tokenizer = chatml()
    return reference_checkpoint(
        tmp_path_factory.mktemp("model") / "tiny",
        model=backbone("llama", vocabulary=len(tokenizer)),
        tokenizer=tokenizer,
    )


def write(path, rows):
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n")
    return path


def run(tmp_path, *arguments):
    return main(["perturb", *map(str, arguments), "--cache", str(tmp_path / "cache")])


def one_by_one(scorer, steering, seed):
    """(flips, rates) by plain loops: every version scored alone."""

    def reward(conversation):
        matrix = scorer.score([conversation]).matrix
        return float((steering.apply(matrix) if steering else matrix).exact_rewards[0])

    def order(a, b):
        return (a > b) - (a < b)

    flips, rates = set(), {}
    for rule in REWRITES:
        asked = flipped = 0
        for number, row in enumerate(ROWS):
            chosen, rejected = pair_of(row)
            new = rewritten(chosen, rule, seed), rewritten(rejected, rule, seed)
            for side, (a, b) in {
                "both": new,
                "chosen": (new[0], rejected),
                "rejected": (chosen, new[1]),
            }.items():
                if a is None or b is None:
                    continue
                asked += 1
                if order(reward(a), reward(b)) != order(reward(chosen), reward(rejected)):
                    flipped += 1
                    flips.add((rule, number + 1, side))
        rates[rule] = (flipped, asked)
    return flips, rates


@pytest.mark.slow
def test_flips_and_rates_are_those_of_plain_loops_with_and_without_a_steering(model, tmp_path, capsys):
    scorer = load_sarm(model)
    strongest = np.argsort(-np.abs(scorer.head))[:5].tolist()
    steering = Steering(scale=dict.fromkeys(strongest, -1.0))
    steering.write(tmp_path / "s.json")
    source, out = write(tmp_path / "in.jsonl", ROWS), tmp_path / "o.json"
    given = ["--model", model, "--out", out, "--steering", tmp_path / "s.json", "--seed", "3"]
    assert run(tmp_path, source, *given) == 0
    report = json.loads(out.read_text())
    assert (report["format"], report["pairs"], report["seed"]) == ("sarm-perturbation/1", 4, 3)
    for part, under in (("plain", None), ("steered", steering)):
        flips, rates = one_by_one(scorer, under, 3)
        assert {(f["rule"], f["row"], f["side"]) for f in report[part]["flips"]} == flips
        for row in report[part]["rules"]:
            flipped, asked = rates[row["rule"]]
            assert row["flips"] == flipped
            assert sum(row[f"pairs_{side}"] for side in ("both", "chosen", "rejected")) == asked
            assert row["flip_rate"] == pytest.approx(flipped / asked)
            assert isinstance(row["answers"], int) and isinstance(row["pairs"], int)
    assert report["plain"]["flips"], "a test without a flip would hold nothing"
    assert report["model"]["fingerprint"] == scorer.fingerprint
    said = capsys.readouterr().err
    assert re.search(r"whitespace: \d+ of \d+ orders changed .*; steered \d+ of", said)

    assert run(tmp_path, source, *given) == 0
    assert json.loads(out.read_text()) == report
    assert re.search(r"(\d+) of \1 texts were read from the cache", capsys.readouterr().err)


@pytest.mark.slow
def test_a_flip_holds_the_texts_that_were_compared(model, tmp_path):
    source, out = write(tmp_path / "in.jsonl", ROWS), tmp_path / "o.json"
    assert run(tmp_path, source, "--model", model, "--out", out) == 0
    scorer = load_sarm(model)
    for flip in json.loads(out.read_text())["plain"]["flips"]:
        row = ROWS[flip["row"] - 1]
        for name in ("chosen", "rejected"):
            assert (flip[f"{name}_answer"] != row[name]) == (flip["side"] in (name, "both"))
        rewards = scorer.score(
            [{"prompt": row["prompt"], "response": flip[f"{name}_answer"]} for name in ("chosen", "rejected")]
        ).rewards
        assert flip["margin_after"] == pytest.approx(float(rewards[0] - rewards[1]), abs=1e-4)


def test_only_the_rules_asked_for(model, tmp_path):
    source, out = write(tmp_path / "in.jsonl", ROWS), tmp_path / "o.json"
    rules = ["--rule", "reordered-list", "--rule", "suffix", "--rule", "suffix", "--top", "2"]
    assert run(tmp_path, source, "--model", model, "--out", out, *rules) == 0
    report = json.loads(out.read_text())
    assert [row["rule"] for row in report["plain"]["rules"]] == ["reordered list", "suffix"]
    for rule in ("reordered list", "suffix"):
        assert sum(row["rule"] == rule for row in report["plain"]["features"]) == 2
    assert tuple(REWRITES) == RULE_NAMES


def test_answers_no_rule_can_rewrite_are_counted_and_have_no_rate(model, tmp_path, capsys):
    ids = [{"chosen_input_ids": [5, 6], "rejected_input_ids": [7]}]
    source, out = write(tmp_path / "in.jsonl", ids), tmp_path / "o.json"
    assert run(tmp_path, source, "--model", model, "--out", out) == 0
    report = json.loads(out.read_text())
    assert all(row["not_applicable"] == 2 and not row["answers"] for row in report["plain"]["rules"])
    assert all(row.get("flip_rate") is None for row in report["plain"]["rules"])
    assert report["plain"]["flips"] == report["plain"]["features"] == []
    assert "greeting: no answer to rewrite" in capsys.readouterr().err


def test_bad_rows_are_left_out_when_asked_and_listed(model, tmp_path, capsys):
    rows = [ROWS[0], {"prompt": "p", "chosen": "a"}, "not json", ROWS[1]]
    source, out = write(tmp_path / "in.jsonl", rows), tmp_path / "o.json"
    assert run(tmp_path, source, "--model", model, "--out", out, "--skip-bad") == 0
    report = json.loads(out.read_text())
    assert report["pairs"] == 2 and len(report["skipped_rows"]) == 2
    assert sorted(re.search(r"row \d", line)[0] for line in report["skipped_rows"]) == ["row 2", "row 3"]
    assert {flip["row"] for flip in report["plain"]["flips"]} <= {1, 4}
    assert "2 bad rows were left out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("rows", "extra", "message"),
    [
        ([{"prompt": "p", "chosen": "a"}], [], r"in\.jsonl, row 1: no 'rejected'"),
        ([*ROWS, "{"], [], r"in\.jsonl, row 5: not valid JSON"),
        (
            [*ROWS, {"chosen_input_ids": [1], "rejected_input_ids": [9999]}],
            [],
            r"in\.jsonl, row 5: .*vocabulary",
        ),
        ([{"prompt": "p", "chosen": "a"}], ["--skip-bad"], "none of the 1 rows can be used"),
        (ROWS, ["--steering", "STEERING"], "feature 5000 does not exist"),
        (ROWS, ["--steering", "nothing.json"], "nothing.json: cannot be read"),
        (ROWS, ["nothing.jsonl"], "nothing.jsonl: cannot be read"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(model, tmp_path, capsys, rows, extra, message):
    source, out = write(tmp_path / "in.jsonl", rows), tmp_path / "o.json"
    (tmp_path / "s.json").write_text('{"5000": ["*", 2.0]}')
    extra = [str(tmp_path / "s.json") if word == "STEERING" else word for word in extra]
    assert run(tmp_path, source, *extra, "--model", model, "--out", out) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ") and captured.err.count("\n") == 1
    assert re.search(message, captured.err)
    assert captured.out == "" and not out.exists()


def test_an_unknown_rule_is_refused_before_anything_is_loaded(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        run(tmp_path, "in.jsonl", "--out", "o.json", "--rule", "magic")
    assert stop.value.code == 2 and "magic" in capsys.readouterr().err


@pytest.mark.slow
def test_rewrites_that_push_the_prompt_out_are_left_out_and_counted(model, tmp_path, capsys):
    scorer = load_sarm(model)
    lengths = sorted(len(s) for row in ROWS for s in scorer.tokens(list(pair_of(row))))
    limit = lengths[len(lengths) // 2]
    short = load_sarm(model, max_length=limit)
    answers = list(dict.fromkeys(answer for row in ROWS for answer in pair_of(row)))
    apart = {}
    for rule in REWRITES:
        made = [(a, v) for a in answers if (v := rewritten(a, rule)) is not None]
        apart[rule] = sum(len({s.n_cut for s in short.tokens([a, v])}) > 1 for a, v in made)
    assert 0 < apart["suffix"] < len(answers)
    source, out = write(tmp_path / "in.jsonl", ROWS), tmp_path / "o.json"
    assert run(tmp_path, source, "--model", model, "--out", out, "--max-length", limit) == 0
    report = json.loads(out.read_text())
    assert {row["rule"]: row["cut"] for row in report["plain"]["rules"]} == apart
    assert "left out because rewrite and original were cut apart" in capsys.readouterr().err
