"""What a file says about how sure a preference is: a column `margin`, ties, the strength of HelpSteer."""

import json

import numpy as np
import pytest

from sarm_core.errors import RowError, SarmError
from sarm_core.text.answers import Reader
from sarm_core.train.data import check_parts, read_all_pairs, read_pairs, said_of, split_of
from sarm_core.train.pair_study import PairStudy
from sarm_core.train.reward import RewardConfig

PAIR = {"prompt": "p", "chosen": "a", "rejected": "b"}


@pytest.fixture
def written(tmp_path):
    def written(*rows):
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return written


def test_a_margin_is_read_and_not_said_to_be_unused(written):
    reader = Reader()
    path = written({**PAIR, "margin": 1.5, "other": 1}, {**PAIR, "margin": None}, {**PAIR, "margin": -2})
    found = list(read_pairs(path, reader))
    assert [pair.margin for pair in found] == [1.5, 0, -2]
    assert reader.said() == ["read as preference pairs (chosen, rejected); not used: other"]
    assert said_of(found) == "3 pairs (2 with a margin, 1 of them below 0)"
    assert [pair.margin for pair in read_pairs(path, Reader(ignore=["margin"]))] == [0, 0, 0]
    mapped = Reader(mapping={"margin": "other"}, ignore=[])
    assert next(iter(read_pairs(written({**PAIR, "other": 3}), mapped))).margin == 3
    ids = {"chosen_ids": [1, 2], "rejected_ids": [1, 3], "margin": 0.25}
    assert next(iter(read_pairs(written(ids)))).margin == 0.25


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({**PAIR, "margin": "much"}, "'margin' is 'much', not a number"),
        ({**PAIR, "margin": True}, "'margin' is True, not a number"),
        ({**PAIR, "margin": [1.0]}, "'margin' must be a number, not a list"),
        ({"prompt": "p", "answers": ["a", "b", "c"], "scores": [1, 2, 3], "margin": 1}, "is in several"),
        ({"prompt": "p", "response_1": "a", "response_2": "b", "winner": "tie", "margin": 1}, "beside a tie"),
    ],
)
def test_a_margin_that_is_none_is_refused_with_its_row(written, row, said):
    with pytest.raises(RowError, match=f"rows.jsonl, row 2: .*{said}"):
        list(read_pairs(written(PAIR, row), ties=True))


def test_the_strength_of_a_preference_is_a_margin_or_a_weight_where_it_is_asked_for(written):
    row = {"prompt": "p", "response_1": "a", "response_2": "b", "preference_strength": -3}
    path = written(row, {**row, "preference_strength": 1}, PAIR)
    how = {
        s: [(p.weight, p.margin) for p in read_pairs(path, strength=s)]
        for s in ("unused", "margin", "weight")
    }
    assert how == {
        "unused": [(1, 0)] * 3,
        "margin": [(1, 3), (1, 1), (1, 0)],
        "weight": [(3, 0), (1, 0), (1, 0)],
    }
    with pytest.raises(RowError, match=r"row 1: .*both 'margin' and the strength"):
        list(read_pairs(written({**row, "margin": 1}), strength="margin"))


def test_held_out_pairs_weigh_what_they_do_without_ties_and_strengths(written):
    rows = [
        {"prompt": f"p{i}", "answers": ["a", "b", "c", "d"], "scores": [2, 2, 1, 1], "id": i}
        for i in range(80)
    ] + [
        {"prompt": f"q{i}", "response_1": "a", "response_2": "b", "preference_strength": 3} for i in range(80)
    ]
    path = written(*rows)
    plain = read_all_pairs([path])
    how = read_all_pairs([path], ties="half", strength="weight")
    assert plain.ties == how.ties == 160 and not any(pair.tie for pair in plain.pairs)
    for part in ("train", "validation", "test"):
        before, after = ([p for p in read.pairs if p.split == part and not p.tie] for read in (plain, how))
        assert len(before) == len(after) > 0
        weights = [[p.weight for p in pairs] for pairs in (before, after)]
        if part == "train":
            assert {*weights[0]} == {1 / 4, 1} and {*weights[1]} == {1 / 6, 3}
        else:
            assert weights[0] == weights[1]
    tied = [p for p in how.pairs if p.tie]
    assert {p.split for p in tied} == {"train"} and {p.weight for p in tied} == {1 / 6}
    assert len(tied) == 2 * sum(split_of(p.chosen) == "train" for p in plain.pairs if p.weight == 1 / 4) / 4


def test_a_part_that_has_ties_alone_is_refused(written):
    row = {"prompt": "p", "response_1": "a", "response_2": "b", "winner": "tie"}
    with pytest.raises(SarmError, match="no preference pair, but ties"):
        check_parts(list(read_pairs(written(row), ties=True)))
    pairs = list(read_pairs(written(*({**row, "prompt": f"p{i}"} for i in range(80)), PAIR), ties=True))
    assert {pair.split for pair in pairs} == {"train", "validation", "test"}
    with pytest.raises(SarmError, match="no pair falls in the validation part"):
        check_parts(pairs)


def test_ties_train_and_are_not_measured(written):
    rows = [
        {"prompt": f"p{i}", "response_1": "a", "response_2": "b", "winner": winner}
        for i in range(60)
        for winner in ("tie", "model_a")
    ]
    pairs = list(read_pairs(written(*rows), ties=True))
    assert said_of(pairs) == "120 pairs (60 ties)"
    study = PairStudy(pairs, np.arange(240))
    for name, part in study.parts(np.eye(240, dtype=np.float32)).items():
        n = sum(pair.split == name for pair in pairs)
        ties = 0 if part.tied is None else part.tied.sum()
        assert (len(part.weights), ties) == ((n, n // 2) if name == "train" else (n // 2, 0))
        assert len(study.held_out[name].weights) == study.ordered[name].sum() == n // 2
    counts = study.counts(60)
    assert counts["pairs"] == counts["train"] + counts["validation"] + counts["test"] == 60
    assert counts["ties_half"] == counts["train"]


def test_choices_that_there_are_not_are_refused(written, tmp_path, monkeypatch):
    from sarm_core.train import runs

    for said, changes in (
        ("ties is 'win': use one of out, half", {"ties": "win"}),
        ("strength is 'much': use one of unused, margin, weight", {"strength": "much"}),
        ("strength is 'weight', but no row says how strong", {"strength": "weight"}),
    ):
        monkeypatch.setattr(runs, "_stage1", lambda _: {"config": {"k": 1, "layer": 1, "n_features": 2}})
        monkeypatch.setattr(runs, "read_sae", lambda *_: None)
        config = RewardConfig(data=[str(written(PAIR))], out=str(tmp_path / "out"), **changes)
        with pytest.raises(SarmError, match=said):
            runs.run_reward(config)
