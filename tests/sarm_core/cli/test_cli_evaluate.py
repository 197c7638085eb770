"""`sarm evaluate`: figures against plain loops, one encoding for every steering, refusals."""

import json
import re

import numpy as np
import pytest

from sarm_core import Steering, load_sarm
from sarm_core.__main__ import main
from sarm_core.score.encoder import Encoder
from tests.sarm_core.tiny_models import reference_checkpoint


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return reference_checkpoint(tmp_path_factory.mktemp("model") / "tiny")


def write(path, rows):
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return path


def pairs(n, seed=0):
    rng = np.random.default_rng(seed)

    def ids():
        return rng.integers(2, 290, rng.integers(4, 20)).tolist()

    names = ("respond", "refuse")
    return [
        {"chosen_input_ids": ids(), "rejected_input_ids": ids(), "subset": names[i % 2], "id": f"pair {i}"}
        for i in range(n)
    ]


def run(tmp_path, kind, *arguments):
    return main(
        ["evaluate", kind, *map(str, arguments), "--cache", str(tmp_path / "cache"), "--resamples", "50"]
    )


@pytest.fixture
def steering(model, tmp_path):
    """Turns the three features that move most over."""
    matrix = load_sarm(model).score([{"input_ids": row["chosen_input_ids"]} for row in pairs(20)]).matrix
    load = np.abs(matrix.csr.toarray() * matrix.head).sum(0)
    path = tmp_path / "s.json"
    Steering(scale={int(i): -1.5 for i in np.argsort(-load)[:3]}).write(path)
    return path


@pytest.mark.slow
def test_scores_before_and_after_are_shares_of_pairs_counted_by_hand(model, tmp_path, steering):
    rows = pairs(20)
    source, out = write(tmp_path / "in.jsonl", rows), tmp_path / "o.json"
    assert run(tmp_path, "pairs", source, "--model", model, "--steering", steering, "--out", out) == 0
    report = json.loads(out.read_text())
    scorer = load_sarm(model)
    sides = [
        scorer.score([{"input_ids": row[f"{side}_input_ids"]} for row in rows])
        for side in ("chosen", "rejected")
    ]
    plain = [side.rewards for side in sides]
    steered = [side.steered(Steering.read(steering)).rewards for side in sides]
    for scores, (right, wrong) in ((report["scores"], plain), (report["scores_steered"], steered)):
        won = right > wrong
        assert scores["total"] == pytest.approx(won.mean())
        for name in ("respond", "refuse"):
            assert scores[name] == pytest.approx(won[[row["subset"] == name for row in rows]].mean())
    flipped = {f"pair {i}" for i in np.flatnonzero((plain[0] > plain[1]) != (steered[0] > steered[1]))}
    assert flipped, "the steering must flip something for this test to say anything"
    assert {flip["id"] for flip in report["flips"]} == flipped
    assert report["won"] + report["lost"] == len(flipped) == report["collateral"]["flipped"]
    change = report["change"]["total"]
    assert change["change"] == pytest.approx(change["after"] - change["before"])
    assert change["low"] <= change["change"] <= change["high"]
    moved = np.concatenate([a != b for a, b in zip(plain, steered, strict=True)])
    assert report["collateral"]["share_moved"] == pytest.approx(moved.mean())
    assert sum(report["distribution"]["after"]["counts"]) == 40
    assert report["model"]["fingerprint"] == scorer.fingerprint


@pytest.mark.slow
def test_another_steering_does_not_run_the_model(model, tmp_path, steering, monkeypatch):
    source, out = write(tmp_path / "in.jsonl", pairs(20)), tmp_path / "o.json"
    assert run(tmp_path, "pairs", source, "--model", model, "--out", out) == 0
    plain = json.loads(out.read_text())
    assert "scores_steered" not in plain

    def refuse(*_, **__):
        raise AssertionError("the model ran")

    monkeypatch.setattr(Encoder, "encode", refuse)
    assert run(tmp_path, "pairs", source, "--model", model, "--steering", steering, "--out", out) == 0
    steered = json.loads(out.read_text())
    assert steered["scores"] == plain["scores"] and steered["scores_steered"] != plain["scores"]


def test_a_complement_the_steering_does_not_touch_has_not_moved(model, tmp_path):
    source, out = write(tmp_path / "in.jsonl", pairs(8)), tmp_path / "o.json"
    other = write(tmp_path / "other.jsonl", [*pairs(4, seed=5), {"input_ids": [5, 6, 7]}])
    scored = load_sarm(model).score([{"input_ids": ids} for ids in _ids_of(other)])
    silent = np.flatnonzero(~(scored.matrix.csr.toarray() != 0).any(0))
    Steering(scale={int(silent[0]): 4.0}).write(tmp_path / "s.json")
    arguments = [
        source,
        "--model",
        model,
        "--steering",
        tmp_path / "s.json",
        "--complement",
        other,
        "--out",
        out,
    ]
    assert run(tmp_path, "pairs", *arguments) == 0
    beside = json.loads(out.read_text())["complement"]
    assert beside["collateral"] == {
        "answers": 9, "moved": 0, "share_moved": 0.0, "nan": 0, "mean_change": 0.0, "largest_change": 0.0,
        "pairs": 4, "flipped": 0, "share_flipped": 0.0, "pairs_nan": 0,
    }  # fmt: skip
    assert beside["file"]["name"] == "other.jsonl"


def _ids_of(path):
    for line in path.read_text().splitlines():
        row = json.loads(line)
        yield from (value for key, value in row.items() if key.endswith("input_ids"))


def test_bad_rows_are_refused_or_listed_never_dropped(model, tmp_path, capsys):
    rows = pairs(5)
    rows.insert(2, {"chosen_input_ids": [3]})
    source, out = write(tmp_path / "in.jsonl", rows), tmp_path / "o.json"
    assert run(tmp_path, "pairs", source, "--model", model, "--out", out) == 2
    assert re.match(r"error: .*in\.jsonl, row 3: ", capsys.readouterr().err) and not out.exists()
    assert run(tmp_path, "pairs", source, "--model", model, "--skip-bad", "--out", out) == 0
    report = json.loads(out.read_text())
    assert report["items"] == 5 and "row 3" in report["skipped_rows"][0] and report["notes"]


@pytest.mark.parametrize(
    ("kind", "row", "steering", "message"),
    [
        (
            "rm-bench",
            {"prompt": "p", "chosen": ["a"], "rejected": ["b"], "domain": "chat"},
            None,
            "'chosen' must",
        ),
        ("rewardbench2", {"prompt": "p", "chosen": ["a"], "rejected": ["b"]}, None, "row 1: no 'subset'"),
        ("pairs", {"prompt": "p", "chosen": "a", "rejected": "b"}, None, "row 1: .*no tokenizer"),
        (
            "pairs",
            {"chosen_input_ids": [1], "rejected_input_ids": [2]},
            {"9999": ["*", 2.0]},
            "feature 9999 does not",
        ),
        ("pairs", {"chosen_input_ids": [1], "rejected_input_ids": [2]}, [], r"s\.json: expected an object"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(model, tmp_path, capsys, kind, row, steering, message):
    source, out = write(tmp_path / "in.jsonl", [row]), tmp_path / "o.json"
    extra = []
    if steering is not None:
        (tmp_path / "s.json").write_text(json.dumps(steering))
        extra = ["--steering", tmp_path / "s.json"]
    assert run(tmp_path, kind, source, "--model", model, *extra, "--out", out) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ") and captured.err.count("\n") == 1 and captured.out == ""
    assert re.search(message, captured.err)
    assert not out.exists() and not (tmp_path / "cache").exists()
