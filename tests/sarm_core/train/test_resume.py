"""A run of train-sae that was killed, stopped or refused by the disk goes on to the same weights, bit for bit."""

import json
import random
import re
import signal
import time

import pytest
import yaml
from safetensors.torch import load_file

from sarm_core.errors import SarmError
from sarm_core.train.activations import Corpus, Reader, Taken, collect
from sarm_core.train.sae import train_sae
from sarm_core.train.sae_config import SAEConfig
from sarm_core.train.sae_run import run_sae
from sarm_core.train.unfinished import Unfinished
from tests.processes import Program
from tests.sarm_core.tiny_models import backbone, chatml

STEPS = 30


def rows():
    return [
        {
            "prompt": f"Question {i}?",
            "chosen": f"Yes, {i} it is. Gladly said.",
            "rejected": f"No. Never, not {i}!",
        }
        for i in range(60)
    ]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resume")
    backbone("llama").save_pretrained(folder / "tiny")
    chatml().save_pretrained(folder / "tiny")
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows()))
    return folder


def settings(place, out, **changes):
    stated = {
        "backbone": str(place / "tiny"),
        "layer": 2,
        "n_features": 64,
        "k": 6,
        "data": [str(place / "pairs.jsonl")],
        "tokens_per_text": 4,
        "difference_weight": 0.5,
        "steps": STEPS,
        "batch": 64,
        "dead_after": 4,
        "checkpoint_every": 4,
        "log_every": 3,
        "cache": str(place / "cache"),
        "out": str(out),
    }
    return {**stated, **changes}


@pytest.fixture(scope="module")
def positions(place):
    corpus = Corpus([place / "pairs.jsonl"])
    return collect(Reader(str(place / "tiny"), 2), corpus, Taken(4), place / "cache")


def trained(positions, config, unfinished):
    weights = train_sae(positions, config, unfinished=unfinished, log=False).state_dict()
    return {
        name: tensor.numpy().tobytes() for name, tensor in weights.items()
    }, unfinished.metrics.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["topk", "batch-topk"])
@pytest.mark.parametrize("died_at", [[4], [3, 9, 22], [29]])
def test_a_run_that_died_at_any_step_ends_as_if_it_had_not(
    place, positions, tmp_path, monkeypatch, kind, died_at
):
    from sarm_core.train import sae

    config = SAEConfig(**settings(place, tmp_path / "out", kind=kind))
    with Unfinished(tmp_path / "whole").opened(resume=False) as unfinished:
        whole = trained(positions, config, unfinished)
    real = sae._Run.advance
    left = list(died_at)

    def advance(self, log):
        if left and self.step == left[0]:
            left.pop(0)
            raise RuntimeError("killed")
        real(self, log)

    monkeypatch.setattr(sae._Run, "advance", advance)
    for _ in died_at:
        with pytest.raises(RuntimeError), Unfinished(tmp_path / "cut").opened(resume=True) as unfinished:
            trained(positions, config, unfinished)
    with Unfinished(tmp_path / "cut").opened(resume=True) as unfinished:
        assert trained(positions, config, unfinished) == whole


def test_a_run_does_not_go_on_with_other_settings_or_without_being_asked(
    place, positions, tmp_path, monkeypatch
):
    from sarm_core.train import sae

    real = sae._Run.advance

    def advance(self, log):
        if self.step == 9:
            raise KeyboardInterrupt
        real(self, log)

    with monkeypatch.context() as patched:
        patched.setattr(sae._Run, "advance", advance)
        with pytest.raises(KeyboardInterrupt):
            run_sae(SAEConfig(**settings(place, tmp_path / "out")))
    with pytest.raises(SarmError, match=r"out\.unfinished holds an unfinished run: add --resume"):
        run_sae(SAEConfig(**settings(place, tmp_path / "out")))
    with pytest.raises(SarmError, match="was begun with k 6, not 5"):
        run_sae(SAEConfig(**settings(place, tmp_path / "out", k=5)), resume=True)
    checkpoint = tmp_path / "out.unfinished" / "checkpoint.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:200])
    with pytest.raises(SarmError, match="damaged"):
        run_sae(SAEConfig(**settings(place, tmp_path / "out")), resume=True)


def test_two_processes_do_not_train_in_one_folder(tmp_path):
    with (
        Unfinished(tmp_path / "out").opened(resume=False),
        pytest.raises(SarmError, match="another run is going on there"),
        Unfinished(tmp_path / "out").opened(resume=True),
    ):
        pass


# -- as processes ------------------------------------------------------------------------------------------


def started(place, name, *more, limit=None, **changes):
    file = place / f"{name}.yaml"
    file.write_text(yaml.safe_dump(settings(place, place / name, **changes)))
    return Program("train-sae", str(file), *more, file_limit=limit)


def at_step(program, step):
    """Read what it says until it has taken so many steps."""
    for line in program.lines():
        found = re.match(r"\s+step\s+(\d+)", line)
        if found and int(found[1]) >= step:
            return
    raise AssertionError("it ended before")


@pytest.mark.slow
def test_kill_9_at_random_steps_costs_no_bit(place):
    long = {"steps": 400, "checkpoint_every": 12, "log_every": 10}
    assert started(place, "whole", **long).ended()[0] == 0
    dice = random.Random(5)
    for reached in (20, 120, 260):
        program = started(place, "killed", "--resume", **long)
        at_step(program, reached)
        time.sleep(dice.random() / 10)
        program.signalled(signal.SIGKILL)
        assert program.ended()[0] == -signal.SIGKILL
        assert not (place / "killed").exists()
    code, said = started(place, "killed", "--resume", **long).ended()
    assert "step" in said and code == 0
    for name in ("sae.safetensors", "metrics.jsonl"):
        assert (place / "killed" / name).read_bytes() == (place / "whole" / name).read_bytes()
    assert not (place / "killed.unfinished").exists()


@pytest.mark.slow
def test_ctrl_c_keeps_the_step_it_came_at_and_says_how_to_go_on(place):
    program = started(place, "stopped", steps=3000, checkpoint_every=100_000, log_every=20)
    at_step(program, 40)
    program.signalled(signal.SIGINT)
    code, said = program.ended()
    assert code == 130 and "--resume goes on from here" in said and "Traceback" not in said
    kept = Unfinished(place / "stopped").read()
    assert kept is not None and kept[1]["step"] >= 40


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_costs_the_last_interval_at_most(place):
    wide = {"n_features": 2048, "checkpoint_every": 10, "log_every": 5}
    # The checkpoint is larger, all else smaller.
    code, said = started(place, "full", limit=300_000, **wide).ended()
    assert code == 2 and "Traceback" not in said
    assert re.search(
        r"checkpoint\.safetensors: cannot be written .* make room, and go on with --resume",
        said.splitlines()[-1],
    )
    assert not (place / "full").exists()
    assert started(place, "full", "--resume", **wide).ended()[0] == 0
    assert load_file(place / "full" / "sae.safetensors")
