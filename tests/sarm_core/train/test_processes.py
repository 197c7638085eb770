"""Two real processes (gloo) train the dictionary that one trains, and nothing is lost when they are killed."""

import csv
import json
import re
import shutil
import signal

import pytest
import torch
import yaml
from safetensors.torch import load_file

from sarm_core.__main__ import main
from sarm_core.train.unfinished import Unfinished
from tests.processes import together
from tests.sarm_core.tiny_models import backbone, chatml
from tests.sarm_core.train.test_resume import at_step


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    backbone("llama").save_pretrained(folder / "tiny")
    chatml().save_pretrained(folder / "tiny")
    rows = [
        {
            "prompt": f"Question {i}?",
            "chosen": f"Yes, {i} it is. Gladly said.",
            "rejected": f"No. Never, not {i}!",
        }
        for i in range(150)  # 300 texts, two shards
    ]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def settings(place, name, **changes):
    stated = {
        "backbone": str(place / "tiny"),
        "layer": 2,
        "backbone_dtype": "float32",
        "products": "float32",
        "n_features": 192,
        "k": 4,
        "data": [str(place / "pairs.jsonl")],
        "tokens_per_text": 4,
        "cut_texts": 10,
        "difference_weight": 0.5,
        "steps": 20,
        "batch": 65,  # not divided evenly
        "dead_after": 1,
        "log_every": 1,
        "cache": str(place / "cache-of-two"),
        "out": str(place / name),
    }
    file = place / f"{name}.yaml"
    file.write_text(yaml.safe_dump({**stated, **changes}))
    return str(file)


def ended(programs):
    """Exit codes, and what each said."""
    codes, said = zip(*(program.ended() for program in programs), strict=True)
    return list(codes), list(said)


def contents(folder):
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "lock"]
    return {path.relative_to(folder): path.read_bytes() for path in files}


def metrics(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["topk", "batch-topk"])
def test_two_processes_collect_and_train_what_one_does(place, kind):
    one = settings(place, f"one-{kind}", kind=kind, cache=str(place / "cache-of-one"))
    assert main(["train-sae", one]) == 0
    codes, said = ended(together("train-sae", settings(place, f"two-{kind}", kind=kind)))
    assert codes == [0, 0] and said[1] == "", said
    positions = [next((place / f"cache-of-{name}").glob("positions-*")) for name in ("one", "two")]
    assert positions[0].name == positions[1].name
    assert contents(positions[0]) == contents(positions[1])
    assert len(list(positions[0].glob("shard-*"))) == 2
    weights = [load_file(place / f"{name}-{kind}" / "sae.safetensors") for name in ("one", "two")]
    for name, tensor in weights[0].items():  # written in float16
        torch.testing.assert_close(weights[1][name], tensor, rtol=1e-3, atol=1e-6, msg=name)
    figures = [metrics(place / f"{name}-{kind}") for name in ("one", "two")]
    assert max(entry["dead_share"] for entry in figures[0]) > 0.05  # the auxiliary loss takes part
    for mine, other in zip(*figures, strict=True):
        for key, value in mine.items():
            assert other[key] == pytest.approx(value, rel=1e-5), (key, mine["step"])


@pytest.mark.slow
def test_killed_processes_go_on_to_the_same_bits_and_a_lonely_one_ends_in_one_line(place, capsys):
    long = {"steps": 200, "checkpoint_every": 10, "log_every": 10}
    assert ended(together("train-sae", settings(place, "whole", **long)))[0] == [0, 0]
    again = ["train-sae", settings(place, "killed", **long), "--resume"]
    programs = together(*again)
    at_step(programs[0], 50)
    programs[1].signalled(signal.SIGKILL)
    codes, said = ended(programs)
    assert codes[0] == 2 and re.match("error: another of the 2 processes has ended", said[0].splitlines()[-1])
    assert "Traceback" not in said[0] and not (place / "killed").exists()
    programs = together(*again)
    at_step(programs[0], 120)
    for program in programs:
        program.signalled(signal.SIGKILL)
    assert ended(programs)[0] == [-signal.SIGKILL] * 2
    shutil.copytree(place / "killed.unfinished", place / "alone.unfinished")
    assert ended(together(*again))[0] == [0, 0]
    for name in ("sae.safetensors", "metrics.jsonl"):
        assert (place / "killed" / name).read_bytes() == (place / "whole" / name).read_bytes()
    assert not (place / "killed.unfinished").exists()
    assert main(["train-sae", settings(place, "alone", **long), "--resume"]) == 0
    assert "begun with 2 processes, going on with 1" in capsys.readouterr().err
    assert metrics(place / "alone")[-1]["variance_unexplained"] == pytest.approx(
        metrics(place / "whole")[-1]["variance_unexplained"], rel=1e-4
    )


@pytest.mark.slow
def test_ctrl_c_for_both_keeps_one_step_though_the_launcher_says_it_again(place):
    long = {"steps": 100_000, "checkpoint_every": 100_000, "log_every": 20}
    programs = together("train-sae", settings(place, "stopped", **long))
    at_step(programs[0], 40)
    for program in programs * 2:
        program.signalled(signal.SIGINT)
    codes, said = ended(programs)
    assert codes == [130, 130] and said[1] == ""
    assert "--resume goes on from here" in said[0] and "Traceback" not in said[0]
    kept = Unfinished(place / "stopped").read()
    assert kept is not None and kept[1]["step"] >= 40 and kept[1]["settings"]["processes"] == 2


@pytest.mark.slow
def test_two_processes_share_every_run_of_a_sweep(place):
    few = {"k": [4, 8], "steps": 3, "layer": 1, "cache": str(place / "cache-of-sweep")}
    codes, said = ended(together("train-sae", settings(place, "sweep", **few)))
    assert codes == [0, 0] and said[1] == "", said
    with (place / "sweep" / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["k"] for row in rows] == ["4", "8"]
    assert main(["train-sae", settings(place, "one-k", **few | {"k": 8})]) == 0
    report = json.loads((place / "one-k" / "report.json").read_text())
    alone = report["reconstruction"]["test/token"]["variance_unexplained"]
    assert float(rows[1]["unexplained test token"]) == pytest.approx(alone, rel=1e-3)


@pytest.mark.slow
def test_what_both_or_one_refuse_is_said_once(place):
    codes, said = ended(together("train-sae", settings(place, "small", batch=1)))
    assert codes == [2, 2]
    assert [len(re.findall("error: ", text)) for text in said] == [1, 0]
    assert "too small to be divided among 2 processes" in said[0]
    good, bad = settings(place, "good"), settings(place, "bad", k=1000)
    codes, said = ended(together("train-sae", good, second=("train-sae", bad)))
    assert codes == [2, 2] and "error: k is 1000" in said[1] and "error" not in said[0]
    assert not (place / "good").exists() and not (place / "good.unfinished").exists()
