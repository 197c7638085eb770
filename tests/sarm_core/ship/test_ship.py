"""What leaves says what it is, was loaded again before it appeared, and is not there when it does not hold."""

import json

import numpy as np
import pytest

import sarm_core.ship.ship as shipping
from sarm_core import Steering, load_sarm
from sarm_core.__main__ import main
from sarm_core.model.checkpoint import Shape, open_checkpoint
from sarm_core.model.sae import TopK
from sarm_core.ship.export import reference_name
from sarm_core.ship.layouts import LAYOUTS
from sarm_core.ship.ship import FOLDED, README
from sarm_core.steering import Group
from tests.sarm_core.tiny_models import chatml, own_checkpoint, reference_checkpoint, text_checkpoint


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return text_checkpoint(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def steering(tmp_path):
    made = Steering(scale={3: 0.0, 7: -1.5}, groups={"a `group`\n# of mine": Group((7, 9), 2.0)})
    made.write(tmp_path / "steering.json")
    return made


def export(model, tmp_path, *more, out="out"):
    arguments = ["export", "--model", str(model), "--steering", str(tmp_path / "steering.json")]
    return main([*arguments, "--out", str(tmp_path / out), *more])


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_says_what_was_folded_into_what_and_was_loaded_again(
    layout, model, steering, tmp_path, capsys
):
    assert export(model, tmp_path, "--layout", layout) == 0
    said = capsys.readouterr()
    assert said.out.strip() == str(tmp_path / "out")
    assert "loaded again (float32)" in said.err and "is allowed)" in said.err
    assert ("_Latent64_Layer2_K6_" in said.err) == (layout == "reference")
    assert Steering.read(tmp_path / "out" / FOLDED) == steering
    text = (tmp_path / "out" / README).read_text()
    assert load_sarm(model).fingerprint in text and "Checked: loaded again (float32)" in text
    assert all(row in text for row in ("| 3 | x 0 |", "| 7 | x -3 |", "| 9 | x 2 |"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "steering.json"]


@pytest.mark.slow
def test_without_a_steering_the_model_leaves_as_it_is(tmp_path, capsys):
    """As for one that was built on a public dictionary, which the reference layout cannot say."""
    kind = TopK(6, relu=True, input="as is", centred=False)
    source = own_checkpoint(tmp_path / "built", kind, tokenizer=chatml())
    words = ["export", "--model", str(source), "--out", str(tmp_path / "out"), "--layout"]
    assert main([*words, "reference"]) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert "k 6, positive" in line and "reading h as is, not centred" in line
    assert line.endswith("export it with --layout auto or --layout own") and not (tmp_path / "out").exists()
    assert main([*words, "auto"]) == 0
    assert load_sarm(tmp_path / "out").fingerprint == load_sarm(source).fingerprint
    text = (tmp_path / "out" / README).read_text()
    assert "active at the scored token: k 6, positive" in text and "reads h as is, not centred" in text
    assert "Nothing: the head is the one of the model it was made from." in text


@pytest.mark.slow
def test_a_folder_whose_rewards_differ_is_not_kept(model, tmp_path, capsys, monkeypatch):
    Steering(scale=dict.fromkeys(range(64), 2.0)).write(tmp_path / "steering.json")
    monkeypatch.setattr(shipping, "export_layout", _without_folding(shipping.export_layout))
    assert export(model, tmp_path) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and "head weights that were written are not the folded ones" in error
    assert [path.name for path in tmp_path.iterdir()] == ["steering.json"]
    # Nor is it handed out by leaving the check out, until the check holds again.
    assert export(model, tmp_path, "--no-check") == 2
    said = capsys.readouterr().err
    assert "when it was checked before: it is not handed out unchecked" in said
    assert [path.name for path in tmp_path.iterdir()] == ["steering.json"]
    assert export(model, tmp_path, "--no-check", "--layout", "auto", out="other") == 0
    monkeypatch.undo()
    assert export(model, tmp_path) == 0 and export(model, tmp_path, "--no-check", out="again") == 0


def _without_folding(real):
    return lambda checkpoint, steering, *rest: real(checkpoint, Steering(), *rest)


def test_what_cannot_be_folded_is_refused_before_a_model_is_loaded(model, tmp_path, capsys, monkeypatch):
    import sarm_core.score.scorer

    monkeypatch.setattr(sarm_core.score.scorer, "load_sarm", None)
    (tmp_path / "steering.json").write_text(json.dumps({"3": ["+", 1.0]}))
    assert export(model, tmp_path) == 2
    assert "would need a bias" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["steering.json"]


def test_without_the_check_no_model_is_loaded_and_the_readme_says_so(
    model, steering, tmp_path, capsys, monkeypatch
):
    import sarm_core.score.scorer

    monkeypatch.setattr(sarm_core.score.scorer, "load_sarm", None)
    assert export(model, tmp_path, "--no-check") == 0
    assert "not loaded again" in capsys.readouterr().err
    assert "Not checked" in (tmp_path / "out" / README).read_text()


@pytest.mark.slow
def test_under_the_proposed_name_nothing_is_said_about_names(steering, tmp_path, capsys):
    wordless = reference_checkpoint(tmp_path / "source")
    name = reference_name(open_checkpoint(wordless).shape)
    assert export(wordless, tmp_path, "--layout", "reference", out=name) == 0
    assert "folder's name" not in capsys.readouterr().err
    assert Shape.from_name(name) == open_checkpoint(tmp_path / name).shape


def test_names_from_elsewhere_stay_on_their_line(tmp_path):
    source = text_checkpoint(tmp_path / "tiny")
    target = tmp_path / "out"
    shipping.ship(open_checkpoint(source), Steering(), target, "own", None)
    told = json.loads((target / "sarm.json").read_text()) | {"name": "x`\n# Run this: `rm -rf`"}
    (target / "sarm.json").write_text(json.dumps(told))
    shipping.ship(open_checkpoint(target), Steering(), tmp_path / "again", "own", None)
    text = (tmp_path / "again" / README).read_text()
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "# A SARM with a steering folded into its head",
        "## Load it",
        "## What was folded",
    ]
    assert "`x # Run this: rm -rf `" in text
    rows = [{"prompt": "Is it safe?", "response": "Yes."}]
    np.testing.assert_array_equal(
        load_sarm(tmp_path / "again").score(rows).rewards, load_sarm(source).score(rows).rewards
    )
