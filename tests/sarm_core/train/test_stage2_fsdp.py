"""Stage 2 under FSDP: two processes that hold half of the weights each train and write what one does.

accelerate shards nothing on a CPU. Here it is told that it does: PyTorch's FSDP then shards for gloo as for NCCL.
"""

import json
import os
import shutil
import socket
import sys
from dataclasses import asdict

import pytest
import torch
import yaml
from safetensors.torch import load_file

from sarm_core.__main__ import main
from tests.processes import forked
from tests.sarm_core.train.test_training import place, reward_config, stage1

__all__ = ["place", "stage1"]  # fixtures

LAUNCHED = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_USE_ORIG_PARAMS": "true",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_TRANSFORMER_CLS_TO_WRAP": "LlamaDecoderLayer",
    "FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT",
}
"""What `accelerate launch --use_fsdp` sets"""


def sharded(words, errors):
    """`sarm WORDS` in this process, one of those that share the weights."""
    from accelerate.state import AcceleratorState
    from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

    really = AcceleratorState.__init__

    def told(self, *given, **how):
        really(self, *given, **how)
        if self.distributed_type == DistributedType.MULTI_CPU:
            self.distributed_type = DistributedType.FSDP
            self.fsdp_plugin = how.get("fsdp_plugin") or FullyShardedDataParallelPlugin()

    AcceleratorState.__init__ = told
    torch.set_num_threads(1)
    with open(errors, "w") as sys.stderr:
        sys.exit(main(words))


def as_accelerate_has_it(words, errors):
    """The same without being told so."""
    torch.set_num_threads(1)
    with open(errors, "w") as sys.stderr:
        sys.exit(main(words))


def together(place, *words, version="2", function=sharded):
    """(exit code, what was said) of each of two such processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    started = []
    for rank in range(2):
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {
                **LAUNCHED,
                **meeting,
                "FSDP_VERSION": version,
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
            }.items():
                patch.setenv(name, value)
            errors = place / f"said-{os.getpid()}-{rank}"
            started.append((forked(function, list(words), str(errors)), errors))
    found = []
    for process, errors in started:
        process.join()
        found.append((process.exitcode, errors.read_text()))
    return found


def command(place, out, **changes):
    """Words of a run of twelve steps, with a checkpoint after each fourth."""
    how = {"epochs": 2, "batch": 12, "per_device": 3, "lr": 1e-3, "device": "cpu", "every": 4}
    config = reward_config(place, out, **{**how, **changes})
    out.with_suffix(".yaml").write_text(yaml.safe_dump(asdict(config)))
    return ["train-reward", str(out.with_suffix(".yaml"))]


def same_weights(one, other, **close):
    for file in ("sarm.safetensors", "backbone/model.safetensors"):
        wanted, found = load_file(one / file), load_file(other / file)
        assert wanted.keys() == found.keys()
        for name, tensor in wanted.items():
            torch.testing.assert_close(found[name], tensor, **close, msg=name)


@pytest.mark.train
@pytest.mark.parametrize(
    "changes", [{"mode": 1}, {"mode": 2}, {"mode": 3}, {"mode": 1, "lora_rank": 2}], ids=str
)
def test_two_processes_with_half_of_the_weights_train_what_one_does(place, stage1, tmp_path, changes):
    outs = [tmp_path / "one", tmp_path / "two"]
    commands = [command(place, out, **changes) for out in outs]
    assert main(commands[0]) == 0
    codes, said = zip(*together(tmp_path, *commands[1]), strict=True)
    assert codes == (0, 0), said
    assert "shards nothing" not in said[0]
    one, two = (json.loads((out / "report.json").read_text())["stage2"] for out in outs)
    assert two["losses"] == pytest.approx(one["losses"], abs=1e-5) and len(one["losses"]) == 12
    for mine, other in zip(one["validation"], two["validation"], strict=True):
        assert other == pytest.approx(mine, abs=1e-5)
    assert two["test"] == one["test"]
    same_weights(*outs, rtol=1e-4, atol=1e-5)
    if changes["mode"] == 1:  # what is frozen is gathered to the bit
        wanted, found = (load_file(out / "sarm.safetensors") for out in outs)
        assert all(
            torch.equal(found[name], tensor) for name, tensor in wanted.items() if name.startswith("sae.")
        )
    assert {path.name for path in outs[0].rglob("*")} == {path.name for path in outs[1].rglob("*")}


@pytest.mark.train
def test_a_sharded_run_goes_on_from_its_checkpoint_to_the_same_weights(place, stage1, tmp_path):
    out = tmp_path / "out"
    assert [code for code, _ in together(tmp_path, *command(place, out, mode=1))] == [0, 0]
    whole = out.rename(tmp_path / "whole")
    kept = tmp_path / "out.training" / "checkpoint-8"
    assert (kept / "pytorch_model_fsdp_0").is_dir() and not list(kept.glob("*.safetensors"))  # a share each
    shutil.rmtree(tmp_path / "out.training" / "checkpoint-12")
    codes, said = zip(*together(tmp_path, *command(place, out, mode=1, resume=True)), strict=True)
    assert codes == (0, 0), said
    same_weights(whole, out, rtol=0, atol=0)


@pytest.mark.train
def test_what_sharded_weights_cannot_do_is_refused_and_that_nothing_is_sharded_is_said(
    place, stage1, tmp_path
):
    row = {"id": "a", "prompt": "Is it?", "chosen": ["Yes."] * 3, "rejected": ["No."] * 3, "domain": "chat"}
    (tmp_path / "bench.json").write_text(json.dumps([row]))
    measured = command(place, tmp_path / "measured", mode=1, evaluate=str(tmp_path / "bench.json"))
    for words, version, reason in (
        (measured, "2", "leave it out under FSDP"),
        (command(place, tmp_path / "out", mode=1), "1", "--fsdp_version 2"),
    ):
        (code, said), (other, nothing) = together(tmp_path, *words, version=version)
        assert (code, other) == (2, 2) and reason in said and "error" not in nothing
        assert not {path.name for path in tmp_path.iterdir() if path.is_dir()}
    codes, said = zip(*together(tmp_path, *measured, function=as_accelerate_has_it), strict=True)
    assert codes == (0, 0) and "accelerate shards nothing on CPUs" in said[0] and "shards" not in said[1]
