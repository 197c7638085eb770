"""`sarm propose` on a real small model: what it writes keeps the wishes, a conflict is one line."""

from __future__ import annotations

import json

import pytest

from sarm_core import RowError, Steering, load_sarm
from sarm_core.cli.parser import main
from sarm_core.text.answers import Reader
from tests.sarm_core.tiny_models import chatml, reference_checkpoint

PROMPT = "Is it safe to reheat rice?"
ANSWERS = ["No.", "Yes, if you cool it quickly first.", "Great question!", "I do not know."]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return reference_checkpoint(
        tmp_path_factory.mktemp("model") / "m", n_features=64, k=6, tokenizer=chatml()
    )


@pytest.fixture
def wishes(tmp_path):
    def write(*rows):
        path = tmp_path / "wishes.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return write


def test_the_written_steering_keeps_every_wish_and_says_its_price(wishes, model, tmp_path, capsys):
    order = [2, 0, 3, 1]
    path = wishes({"prompt": PROMPT, "answers": ANSWERS, "order": order})
    out = tmp_path / "s.json"
    given = [str(path), "--model", str(model), "--no-cache", "--out", str(out)]
    assert (
        main(["propose", *given, "--complement", str(path), "--high", "20", "--margin", "0.01", "--json"])
        == 0
    )
    found = json.loads(capsys.readouterr().out)
    steering = Steering.read(out)
    assert json.loads(steering.to_json()) == found["steering"]
    scored = load_sarm(model).score([{"prompt": PROMPT, "response": answer} for answer in ANSWERS])
    rewards = scored.steered(steering).rewards[order]
    assert (rewards[:-1] - rewards[1:] > 0.0099).all()
    assert len(found["wishes"]) == 3, "what two others imply is left out"
    assert found["elsewhere"]["pairs"] == 6 and found["elsewhere"]["flipped"] > 0


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "x", "chosen": "a", "rejected": "a"},
        {"prompt": "x", "answers": ["a", "b", "b"], "order": [0, 2, 1]},
    ],
)
def test_a_wish_between_two_answers_that_are_the_same_is_refused_with_its_row(
    wishes, model, tmp_path, capsys, row
):
    path = wishes({"prompt": "y", "chosen": "a", "rejected": "b"}, row)
    out = tmp_path / "s.json"
    assert main(["propose", str(path), "--model", str(model), "--no-cache", "--out", str(out)]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert f"{path}, row 2: " in said and "the same text" in said
    assert not out.exists()


def test_wishes_against_each_other_are_named_and_nothing_is_written(wishes, model, tmp_path, capsys):
    one = {"prompt": PROMPT, "answers": ANSWERS[:3], "order": [2, 0]}
    path = wishes(one, {"prompt": "x", "chosen": "a", "rejected": "b"}, one | {"order": [0, 2]})
    out = tmp_path / "s.json"
    assert main(["propose", str(path), "--model", str(model), "--no-cache", "--out", str(out)]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert (
        "keep these 2 wishes together: 'Great question!' over 'No.'" in said
        and f"{path} row 1" in said
        and f"{path} row 3" in said
    )
    assert not out.exists()


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ([0, 3], "'order' holds 3: give numbers"),
        ([1, 1], "names answer 1 twice"),
        ([0.5], "'order' holds 0.5"),
    ],
)
def test_an_order_that_is_none_refuses_its_row(wishes, order, words):
    path = wishes({"prompt": PROMPT, "answers": ANSWERS[:3], "order": order})
    with pytest.raises(RowError, match=words) as refused:
        list(Reader().pairs(path))
    assert "row 1" in str(refused.value)


def test_an_order_beside_grades_is_refused_and_another_column_of_that_name_is_not_used():
    texts = [{"text": answer, "quality": i} for i, answer in enumerate(ANSWERS)]
    row = {"prompt": PROMPT, "answers": texts, "order": [1, 0]}
    with pytest.raises(RowError, match="'order' and grades or ranks inside the answers both say"):
        Reader().answers(row)
    with pytest.raises(RowError, match="'grades' and grades or ranks inside the answers both say"):
        Reader().answers({"prompt": PROMPT, "answers": texts, "grades": [1, 2, 3, 4]})
    reader = Reader()
    assert len(reader.answers(row | {"order": 7}).pairs) == 6
    assert any("not used: order" in line for line in reader.said())
    text = Reader().answers({"prompt": PROMPT, "answers": ANSWERS, "order": "[2, 0, 3]"})
    assert {(pair.better, pair.worse) for pair in text.pairs} == {(2, 0), (2, 3), (0, 3)}
