"""A benchmark that is one class and its line in the registry works on command line, page and report."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from sarm_core.cli.parser import main
from sarm_core.errors import RowError
from sarm_core.prove.benchmarks import registry
from sarm_core.prove.benchmarks.benchmark import Benchmark, Entry, NamedAnswer
from sarm_core.prove.benchmarks.scores import Decisions, Leaf, Result
from sarm_core.steering import Steering
from sarm_core.text.answers import answer_to
from tests.sarm_core.html_page import Page

torch.set_num_threads(1)
MAIN = Path(__file__).parents[3] / "app" / "main.py"


class OneOfThree(Benchmark):
    """One true answer among three."""

    kind = "toy"
    title = "One of three"
    hint = "Rows of `question` + `true` + two `false`."
    sample = ({"question": "1 + 1?", "true": "2", "false": ["3", "4"]},)

    @classmethod
    def read_row(cls, row, source):
        try:
            answers = [("true", row["true"]), *(("false", text) for text in row["false"])]
            return Entry(
                [
                    NamedAnswer(answer_to(row["question"], text, name), name, name == "true")
                    for name, text in answers
                ]
            )
        except (KeyError, TypeError) as error:
            raise RowError(f"not a row of question, true and false ({error})") from None

    def result(self, rewards):
        values = self.checked_rewards(rewards)
        item, right, wrong = self.item_pairs
        won = (values[right] > values[wrong]).astype(float)
        nan = int(np.isnan(values[right] + values[wrong]).sum())
        return Result(
            benchmark=self,
            leaves=(Leaf("total", "all", won, self.prompts[item]),),
            composites=(),
            decisions=Decisions(
                item, np.full(item.size, "true > false"), right, wrong, values[right] - values[wrong], won
            ),
            n_nan=nan,
            n_tied=0,
            notes=tuple(self.notes_on(nan, 0, tie_rule="")),
        )


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setattr(registry, "BENCHMARKS", registry.BENCHMARKS)
    monkeypatch.setitem(registry.BENCHMARKS, "toy", OneOfThree)


def rows(n=12):
    return [
        {"question": f"question {i}", "true": f"yes, {i}", "false": [f"no {i * 3}", f"never {i * 7}"]}
        for i in range(n)
    ]


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows()))
    return path


@pytest.mark.slow
def test_on_the_command_line_and_in_the_report(toy, engine, source, tmp_path, capsys):
    model, steering, out = engine.choice.source, tmp_path / "s.json", tmp_path / "o.json"
    matrix = engine.scorer.score([answer_to("q", f"yes, {i}") for i in range(9)]).matrix
    Steering(scale={int(i): -1.0 for i in np.unique(matrix.csr.indices)}).write(steering)
    arguments = ["evaluate", "toy", source, "--model", model, "--steering", steering, "--resamples", "50"]
    assert main([*map(str, arguments), "--complement", "corpus", "--out", str(out)]) == 0
    assert "toy: total " in capsys.readouterr().err
    body = json.loads(out.read_text())
    scored = engine.scorer.score(
        [answer_to(row["question"], text) for row in rows() for text in (row["true"], *row["false"])]
    ).rewards.reshape(12, 3)
    assert body["scores"]["total"] == pytest.approx((scored[:, :1] > scored[:, 1:]).mean())
    assert body["change"]["total"]["low"] is not None and body["flips"]
    assert main(["report", "--evaluation", str(out), "--out", str(tmp_path / "r.html")]) == 0
    text = (tmp_path / "r.html").read_text()
    assert "One of three, 12 items" in text
    assert body["flips"][0]["prompt"] in Page.of(text).texts["items"]
    source.write_text("{}\n")
    assert main([*map(str, arguments), "--out", str(out)]) == 2
    assert f"{source}, row 1: not a row of question" in capsys.readouterr().err


@pytest.mark.slow
def test_on_the_page(toy, engine, source):
    script = AppTest.from_file(str(MAIN), default_timeout=120)
    script.run()
    script.switch_page("app_pages/evaluate.py").run()
    script.segmented_control(key="eval_source").set_value("My files").run()
    kinds = script.segmented_control(key="eval_kind")
    assert "One of three" in [option.content for option in kinds.proto.options]
    kinds.set_value("toy").run()
    assert any(OneOfThree.hint in caption.value for caption in script.caption)
    script.file_uploader(key="eval_files").set_value(
        [("mine.jsonl", source.read_bytes(), "application/json")]
    )
    script.run()
    next(b for b in script.button if b.key == "eval_go").click().run()
    assert not script.exception and not script.error
    of = script.session_state["evaluated"]
    held = script.session_state["steering_state"]
    held.change(Steering(scale={int(i): -1.0 for i in np.unique(of.matrix.csr.indices)}), by_server=True)
    script.run()
    assert not script.exception and not script.error
    (table,) = [frame.value for frame in script.dataframe if "verdict" in frame.value.columns]
    plain = of.benchmark.result(of.matrix.rewards)
    assert table["score"].tolist() == ["total"] and table["before"][0] == pytest.approx(plain.total)
