"""Stage 2 with moving blocks in several processes: what one does, also after both were killed."""

import json
import shutil
import signal
import time
from dataclasses import asdict

import pytest
import torch
import yaml
from safetensors.torch import load_file

from sarm_core.__main__ import main
from tests.processes import together
from tests.sarm_core.train.test_training import place, reward_config, stage1

__all__ = ["place", "stage1"]  # fixtures


@pytest.mark.train
@pytest.mark.parametrize("mode", [1, 2, 3])
def test_two_processes_train_what_one_does(place, stage1, tmp_path, mode):
    """With the same pairs a step: losses, figures of held-out pairs and of a benchmark, and every weight written."""
    sides = {"chosen": ["Yes, gladly.", "Of course.", "Sure!"], "rejected": ["No.", "Never!", "I can't."]}
    bench = [{"id": f"{i}", "prompt": f"Question {i}?", **sides, "domain": "chat"} for i in range(5)]
    (tmp_path / "bench.json").write_text(json.dumps(bench))
    outs, commands = [tmp_path / "one", tmp_path / "two"], []
    for out in outs:
        config = reward_config(
            place, out, mode=mode, epochs=2, batch=12, per_device=3, lr=1e-3, device="cpu", every=4,
            evaluate=str(tmp_path / "bench.json"),
        )  # fmt: skip
        out.with_suffix(".yaml").write_text(yaml.safe_dump(asdict(config)))
        commands.append(["train-reward", str(out.with_suffix(".yaml"))])
    assert main(commands[0]) == 0
    codes, said = zip(*(program.ended() for program in together(*commands[1])), strict=True)
    assert codes == (0, 0), said
    one, two = (json.loads((out / "report.json").read_text())["stage2"] for out in outs)
    assert len(one["losses"]) == len(two["losses"]) > 8
    assert two["losses"] == pytest.approx(one["losses"], abs=1e-5)
    for mine, other in zip(one["validation"], two["validation"], strict=True):
        assert other == pytest.approx(mine, abs=1e-5)
    assert two["test"] == one["test"] and two["rm_bench_chat"] == pytest.approx(one["rm_bench_chat"])
    for file in ("sarm.safetensors", "backbone/model.safetensors"):
        weights = [load_file(out / file) for out in outs]
        for name, tensor in weights[0].items():
            torch.testing.assert_close(weights[1][name], tensor, rtol=1e-4, atol=1e-5, msg=name)
    assert {path.name for path in outs[0].rglob("*")} == {path.name for path in outs[1].rglob("*")}


@pytest.mark.train
def test_two_killed_processes_go_on_to_the_weights_of_a_whole_run_also_as_one(place, stage1, tmp_path):
    def command(name, **changes):
        given = {
            "mode": 1,
            "epochs": 3,
            "batch": 12,
            "per_device": 3,
            "lr": 1e-3,
            "device": "cpu",
            "every": 2,
        }
        config = reward_config(place, tmp_path / name, **given, **changes)
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(asdict(config)))
        return ["train-reward", str(tmp_path / f"{name}.yaml")]

    assert all(program.ended()[0] == 0 for program in together(*command("whole")))
    programs = together(*command("killed"))
    training = tmp_path / "killed.training"
    while not (training / "checkpoint-8" / "trainer_state.json").exists():  # amid the second epoch
        assert programs[0].process.is_alive()
        time.sleep(0.01)
    for program in programs:
        program.signalled(signal.SIGKILL)
        program.ended()
    shutil.copytree(training, tmp_path / "alone.training")
    assert all(program.ended()[0] == 0 for program in together(*command("killed", resume=True)))
    assert main(command("alone", resume=True)) == 0
    for file in ("sarm.safetensors", "backbone/model.safetensors"):
        whole, killed, alone = (load_file(tmp_path / name / file) for name in ("whole", "killed", "alone"))
        for name, tensor in whole.items():
            assert torch.equal(killed[name], tensor), name
            torch.testing.assert_close(alone[name], tensor, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.train
def test_several_processes_say_once_what_they_refuse(place, stage1, tmp_path):
    for changes, said in (
        ({"mode": 0}, "start it without a launcher"),
        ({"mode": 1, "batch": 9}, "batch 9 is not a multiple of per_device 8 on 2 processes"),
    ):
        settings = asdict(reward_config(place, tmp_path / "out", device="cpu", **changes))
        (tmp_path / "reward.yaml").write_text(yaml.safe_dump(settings))
        programs = together("train-reward", str(tmp_path / "reward.yaml"))
        codes, lines = zip(*(program.ended() for program in programs), strict=True)
        assert codes == (2, 2) and said in lines[0] and "error" not in lines[1]
        assert not (tmp_path / "out").exists()
