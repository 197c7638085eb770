"""`sarm share` on a real small model: rows, file and page are one comparison."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sarm_core import load_sarm
from sarm_core.cli.parser import main
from sarm_core.share.shared import Shared
from tests.sarm_core.tiny_models import chatml, reference_checkpoint

ROWS = [
    {"prompt": "Is it safe?", "response": "Yes."},
    {"prompt": "Another?", "chosen": "This.", "rejected": "That."},
    {"prompt": "Is it safe?", "response": "I'm sorry, I can't help."},
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return reference_checkpoint(
        tmp_path_factory.mktemp("model") / "m", n_features=64, k=6, tokenizer=chatml()
    )


@pytest.fixture
def shared(tmp_path, model, capsys):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")

    def run(source, out, *options, ends=0):
        given = [
            "share",
            str(source or rows),
            "--model",
            str(model),
            "--no-cache",
            "--out",
            str(tmp_path / out),
        ]
        assert main([*given, "--made", "today", *options]) == ends
        return capsys.readouterr().err if ends else tmp_path / out

    return run


def test_rows_a_page_and_a_file_are_one_comparison(shared, model):
    page = shared(None, "c.html")
    found = Shared.from_json(page.read_text(encoding="utf-8"))
    assert [answer.text for answer in found.answers] == ["Yes.", "I'm sorry, I can't help."]
    scored = load_sarm(model).score([ROWS[0], ROWS[2]])
    assert np.allclose(found.matrix.exact_rewards, scored.matrix.exact_rewards, atol=1e-5)
    file = shared(page, "c.json")
    assert shared(file, "again.html").read_bytes() == page.read_bytes()
    texts = shared(file, "t.json", "--texts")
    assert "scored" not in json.loads(texts.read_text())
    anew = Shared.from_json(shared(texts, "t.html").read_text())
    assert anew.answers == found.answers and np.allclose(
        anew.matrix.exact_rewards, found.matrix.exact_rewards, atol=1e-5
    )


def test_a_prompt_is_chosen_and_a_steering_goes_along(shared, tmp_path):
    steering = tmp_path / "s.json"
    steering.write_text('{"3": ["*", 0.0]}')
    found = Shared.from_json(shared(None, "c.json", "--prompt", "2", "--steering", str(steering)).read_text())
    assert [(answer.text, answer.note) for answer in found.answers] == [
        ("This.", "chosen"),
        ("That.", "rejected"),
    ]
    assert 3 in found.sliders and found.steering.scale == {3: 0.0}


@pytest.mark.parametrize(
    ("out", "options", "said"),
    [
        ("c.pdf", (), "end it in .html"),
        ("c.html", ("--texts",), "ends in .json"),
        ("c.html", ("--prompt", "3"), "has 2 prompts"),
        ("c.html", ("--store", "absent.db"), "no such store"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_writes_nothing(shared, tmp_path, out, options, said):
    assert said in shared(None, out, *options, ends=2)
    assert not (tmp_path / out).exists()
