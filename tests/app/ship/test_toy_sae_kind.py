"""A kind of SAE that somebody adds: one class, and it loads, scores on the command line, shows and exports."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest
from torch import Tensor

from app.session.engine import load_engine
from sarm_core import Steering, export_auto, load_sarm, open_checkpoint
from sarm_core.__main__ import main
from sarm_core.model.sae import SAE, JumpReLU, Rows, SAEKind, register
from tests.app.demo_pages import MAIN, PATIENCE, checked
from tests.sarm_core.tiny_models import chatml, own_checkpoint


@register
@dataclass(frozen=True)
class Toy(SAEKind):
    """z = a where |a| > floor."""

    floor: float
    kind: ClassVar[str] = "toy"

    def activate(self, sae: SAE, a: Tensor) -> Rows:
        return Rows.where(a.abs() > self.floor, a)

    @property
    def words(self) -> str:
        return f"beyond {self.floor:g}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return own_checkpoint(tmp_path_factory.mktemp("toy") / "own", Toy(0.75), tokenizer=chatml())


@pytest.fixture
def page(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], AppTest]]:
    monkeypatch.setenv("SARM_MODEL", str(folder))
    monkeypatch.setenv("SARM_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("SARM_CACHE", str(tmp_path / "cache"))
    load_engine.clear()

    def run() -> AppTest:
        test = AppTest.from_file(str(MAIN), default_timeout=PATIENCE)
        test.switch_page("app_pages/model.py")
        return checked(test.run())

    yield run
    load_engine.clear()


ROWS = [
    {"prompt": "Is it safe?", "response": text} for text in ("Yes.", "No! Never do that...", "Thank you.")
]


def test_it_loads_and_scores_on_the_command_line(folder: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    assert main(["score", str(source), "--model", str(folder), "--out", str(out), "--top", "64"]) == 0
    scored = [json.loads(line) for line in out.read_text().splitlines()]
    matrix = load_sarm(folder).score(ROWS).matrix
    for row, wanted, active in zip(scored, matrix.rewards, matrix.n_active, strict=True):
        assert row["reward"] == pytest.approx(float(wanted), abs=1e-5)
        assert row["n_active"] == len(row["features"]) == active < 64
        assert all(abs(feature["activation"]) > 0.75 for feature in row["features"])
    assert len({row["n_active"] for row in scored}) > 1


def test_the_model_page_says_which_features_are_active_and_offers_the_layout_that_holds_it(
    page: Callable[[], AppTest],
) -> None:
    test = page()
    assert {metric.label: metric.value for metric in test.metric}["Active per answer"] == "beyond 0.75"
    layouts = next(group for group in test.button_group if group.key == "export_layout")
    assert list(layouts.options) == ["own"]


@pytest.mark.slow
def test_a_public_dictionary_s_kind_is_offered_for_transformers_and_shown_from_that_layout(
    page: Callable[[], AppTest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = JumpReLU(input="as is", centred=False)
    source = own_checkpoint(tmp_path / "own", kind, tokenizer=chatml())
    target = export_auto(open_checkpoint(source), Steering(), tmp_path / "auto")
    for model in (source, target):
        monkeypatch.setenv("SARM_MODEL", str(model))
        test = page()
        shown = {metric.label: metric.value for metric in test.metric}
        assert shown["Active per answer"] == "those above their threshold"
        layouts = next(group for group in test.button_group if group.key == "export_layout")
        assert list(layouts.options) == ["own", "auto"]


@pytest.mark.slow
def test_it_exports_with_a_steering_and_is_refused_where_it_cannot_be_said(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steering = tmp_path / "s.json"
    scorer = load_sarm(folder)
    matrix = scorer.score(ROWS).matrix
    feature = int(matrix.activations(0)[0][0])
    steering.write_text(json.dumps({str(feature): ["*", -3.0]}))
    export = ["export", "--model", str(folder), "--steering", str(steering)]
    assert main([*export, "--out", str(tmp_path / "out")]) == 0
    again = load_sarm(tmp_path / "out")
    assert again.checkpoint.shape.sae == Toy(0.75)
    head = scorer.head.astype(np.float64)
    head[feature] *= -3.0
    np.testing.assert_allclose(again.score(ROWS).rewards, matrix.csr.toarray() @ head, atol=1e-4)
    assert "beyond 0.75" in (tmp_path / "out" / "README.md").read_text()
    for layout in ("reference", "auto"):
        capsys.readouterr()
        assert main([*export, "--layout", layout, "--out", str(tmp_path / layout)]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert f"the {layout} layout has no word for an SAE of kind 'toy'" in line
        assert line.endswith("export it with --layout own")
        assert not (tmp_path / layout).exists()


@pytest.mark.parametrize("value", ["high", None, True, float("inf"), [0.5]])
def test_a_broken_setting_is_one_line(folder: Path, tmp_path: Path, value: object) -> None:
    stated = json.loads((folder / "sarm.json").read_text())
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "sarm.safetensors").symlink_to(folder / "sarm.safetensors")
    (copy / "backbone").symlink_to(folder / "backbone")
    (copy / "sarm.json").write_text(json.dumps({**stated, "floor": value}))
    with pytest.raises(Exception, match=r"sarm\.json: floor is .*, not a finite number"):
        load_sarm(copy)
