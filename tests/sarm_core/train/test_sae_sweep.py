"""A sweep: every combination once, what stands in its table is what the runs report, and it goes on."""

import csv
import json

import pytest
import yaml

from sarm_core.__main__ import main
from sarm_core.train import sae_sweep
from tests.sarm_core.tiny_models import backbone, chatml


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    backbone("llama").save_pretrained(folder / "tiny")
    chatml().save_pretrained(folder / "tiny")
    rows = [{"prompt": f"Question {i}?", "response": f"It is {i}. That is all."} for i in range(60)]
    (folder / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def written(place, out, **changes):
    settings = {
        "backbone": str(place / "tiny"),
        "layer": [1, 2],
        "n_features": 48,
        "k": [3, 6],
        "data": [str(place / "texts.jsonl")],
        "tokens_per_text": 4,
        "steps": 5,
        "batch": 32,
        "cache": str(place / "cache"),
        "out": str(out),
        **changes,
    }
    file = out.with_suffix(".yaml")
    file.write_text(yaml.safe_dump(settings))
    return str(file)


@pytest.mark.slow
def test_a_sweep_writes_every_combination_a_table_and_a_plot(place, tmp_path, monkeypatch, capsys):
    out = tmp_path / "sweep"
    calls = []
    real = sae_sweep.run_sae

    def run(config, *given, **named):
        calls.append((config.layer, config.k))
        if len(calls) == 3:
            raise KeyboardInterrupt  # as Ctrl-C in the third run
        return real(config, *given, **named)

    monkeypatch.setattr(sae_sweep, "run_sae", run)
    assert main(["train-sae", written(place, out)]) == 130
    assert main(["train-sae", written(place, out)]) == 2  # not over what is there
    assert main(["train-sae", written(place, out), "--resume"]) == 0
    assert calls == [(1, 3), (1, 6), (2, 3), (2, 3), (2, 6)]
    with (out / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["layer"], row["k"]) for row in rows] == [("1", "3"), ("1", "6"), ("2", "3"), ("2", "6")]
    for row in rows:
        report = json.loads((out / f"layer-{row['layer']}-k-{row['k']}" / "report.json").read_text())
        stated = report["reconstruction"]["validation/token"]["variance_unexplained"]
        assert float(row["unexplained validation token"]) == stated
        assert f"| {row['layer']} | 48 | {row['k']} |" in (out / "sweep.md").read_text()
    page = (out / "sweep.html").read_text()
    assert "layer 1, token" in page and 'src="http' not in page


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"k": []}, "list different values"),
        ({"k": [3, 3]}, "list different values"),
        ({"k": [3, 1000]}, "k is 1000: it must lie between 1 and n_features, 48"),
        ({"k": [3, "many"]}, "k is 'many', not a whole number"),
        ({"n_features": [0, 48]}, "between 1 and n_features, 0"),
        ({"batch": [32, 64]}, "batch is [32, 64], not a whole number"),
        ({"tensorboard": "yes please"}, "tensorboard is 'yes please', not yes or no"),
        ({"kind": "gated"}, "kind is 'gated': use one of topk, batch-topk"),
        ({"device": "cuda:9"}, "device 'cuda:9' is not available"),
        ({"mix": {"words": 1.0}}, "mix names 'words'"),
        ({"mix": {"token": "half"}}, "mix: the share of 'token' is 'half'"),
        ({"warm_up": 0.5, "decay": 0.9}, "together at most 1"),
    ],
)
def test_settings_that_no_run_can_have_are_refused_before_the_first(place, tmp_path, capsys, changes, said):
    assert main(["train-sae", written(place, tmp_path / "out", **changes)]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_tensorboard_is_refused_by_name_where_it_is_absent(place, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    assert main(["train-sae", written(place, tmp_path / "out", layer=1, k=3, tensorboard=True)]) == 2
    assert "tensorboard is not installed: pip install tensorboard" in capsys.readouterr().err
