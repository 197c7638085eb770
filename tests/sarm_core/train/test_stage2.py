"""Stage 2 with moving blocks: the objective, and Hugging Face's Trainer over it, against plain loops."""

import importlib.util
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import nn

from sarm_core import load_sarm
from sarm_core.__main__ import main
from sarm_core.errors import SarmError
from sarm_core.model.backbone import cut_backbone
from sarm_core.model.sae import SAE, TopK
from sarm_core.model.sarm import SARM
from sarm_core.train.activations import Reader
from sarm_core.train.data import read_pairs
from sarm_core.train.objective import MODES, PairObjective, batch_of
from sarm_core.train.reward import RewardConfig
from sarm_core.train.runs import run_reward
from sarm_core.train.stage2 import HEAD_RATE, encoded, trainer_for
from tests.sarm_core.tiny_models import backbone, chatml
from tests.sarm_core.train.test_training import place, preferences, reward_config, stage1

__all__ = ["place", "stage1"]  # fixtures

LAYER, M, K = 2, 48, 6


@pytest.fixture(scope="module")
def pairs(place):
    """Encoded train pairs, some with a margin or as ties."""
    reader = Reader(str(place / "tiny"), LAYER)
    plain = [p for p in read_pairs(place / "pairs.jsonl") if p.split == "train"][:20]
    changes = [{"margin": 0.5}, {"tie": True}, {"margin": -0.2, "weight": 0.5}, {}] * 5
    return encoded([replace(p, **c) for p, c in zip(plain, changes, strict=True)], reader, {})


def fresh(place, head: float = 0.0) -> SARM:
    """A SARM with a random SAE, the same each time."""
    torch.manual_seed(5)
    blocks = cut_backbone(place / "tiny", LAYER, torch.float32)
    model = SARM(blocks, SAE(blocks.config.hidden_size, M, TopK(K)))
    nn.init.normal_(model.sae.encoder.weight)
    nn.init.normal_(model.sae.decoder.weight)
    nn.init.normal_(model.score.weight, std=head) if head else None
    return model.eval()


def plain_loss(model: SARM, mode: int, pairs, weight: float) -> torch.Tensor:
    """The loss again, one answer at a time, from the formulas; dense, and without any padding."""
    total = torch.zeros(())
    for pair in pairs:
        rewards, errors = [], []
        for sequence in (pair.chosen, pair.rejected):
            ids = torch.from_numpy(sequence.input_ids.astype("int64"))[None]
            h = model.model(input_ids=ids, use_cache=False).last_hidden_state[0]
            h = h.detach() if mode == 0 else h

            def coded(h):
                x = (h - h.mean(-1, keepdim=True)) / (h.std(-1, keepdim=True) + 1e-6)
                a = (x - model.sae.pre_bias) @ model.sae.encoder.weight.T + model.sae.latent_bias
                kept = a >= a.topk(K, dim=-1).values[:, -1:]
                return x, a * kept

            rewards.append((coded(h)[1][-1] * model.score.weight[0]).sum())
            answer = (h.detach() if mode == 3 else h)[sequence.answer_start :]
            x, z = coded(answer)
            x_hat = z @ model.sae.decoder.weight.T + model.sae.pre_bias
            errors.append((((x_hat - x) ** 2).mean(-1) / (x**2).mean(-1)).mean())
        ahead = rewards[0] - rewards[1] - pair.margin
        wins = torch.log(torch.sigmoid(ahead))
        if pair.tie:
            wins = wins / 2 + torch.log(torch.sigmoid(rewards[1] - rewards[0])) / 2
        total = total - pair.weight * wins
        if mode >= 2:
            total = total + weight * (errors[0] + errors[1]) / 2
    return total / len(pairs)


@pytest.mark.parametrize("mode", MODES)
def test_loss_and_gradients_are_those_of_the_formulas(place, pairs, mode):
    ours, plain = fresh(place, head=0.5), fresh(place, head=0.5)
    some = pairs[:3]
    objective = PairObjective(ours, mode, 0.7)
    out = objective(**batch_of(some))
    (out["loss"] / len(some)).backward()
    expected = plain_loss(plain, mode, some, 0.7)
    expected.backward()
    assert out["loss"].item() / len(some) == pytest.approx(expected.item(), rel=1e-5)
    theirs = dict(plain.named_parameters())
    compared = 0
    for name, parameter in ours.named_parameters():
        moves = (
            name == "score.weight"
            or (name.startswith("model.") and mode)
            or (name.startswith("sae.") and mode > 1)
        )
        assert (parameter.grad is not None) <= bool(moves), name
        if parameter.grad is not None:
            torch.testing.assert_close(parameter.grad, theirs[name].grad, rtol=2e-3, atol=2e-5, msg=name)
            compared += 1
    assert compared == sum(
        p.grad is not None
        for n, p in theirs.items()
        if n == "score.weight" or (n.startswith("model.") and mode) or (n.startswith("sae.") and mode > 1)
    )


def test_under_autocast_sae_and_head_stay_in_float32(place, pairs):
    """What a trainer's bfloat16 changes is the blocks' doing alone: the margins are those of h as it came out."""
    model = fresh(place, head=0.5)
    batch = batch_of(pairs[:4])
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        h = model.hidden(batch["input_ids"], batch["attention_mask"])
        margins = PairObjective(model, 1)(**batch)["margins"]
    last = batch["attention_mask"].sum(-1) - 1
    rewards = model.reward(model.codes(h[torch.arange(len(h)), last].float()))
    assert margins.dtype == torch.float32
    torch.testing.assert_close(margins, rewards[:4] - rewards[4:], rtol=1e-5, atol=1e-5)


def test_weights_of_sources_are_checked(place):
    reader = Reader(str(place / "tiny"), LAYER)
    some = list(read_pairs(place / "pairs.jsonl"))[:4]
    with pytest.raises(SarmError, match="no pair comes from 'other'; sources: planted"):
        encoded(some, reader, {"other": 2.0})
    with pytest.raises(SarmError, match="that of 'planted' is 0"):
        encoded(some, reader, {"planted": 0})
    assert [pair.weight for pair in encoded(some, reader, {"planted": 3.0})] == [1.0] * 4


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("accelerate") is not None, reason="accelerate is here")
def test_without_accelerate_it_is_one_line(place, stage1, tmp_path, capsys):
    settings = {
        "sae": str(stage1),
        "data": [str(place / "pairs.jsonl")],
        "out": str(tmp_path / "x"),
        "mode": 1,
    }
    (tmp_path / "reward.yaml").write_text(yaml.safe_dump(settings))
    assert main(["train-reward", str(tmp_path / "reward.yaml")]) == 2
    error = capsys.readouterr().err
    assert error.splitlines()[-1].endswith("needs accelerate: pip install -r requirements-train.txt")
    assert not (tmp_path / "x").exists()


# -- with Hugging Face's Trainer ----------------------------------------------------------------------------


def settings(tmp_path, **changes) -> RewardConfig:
    given = {
        "batch": 20,
        "per_device": 4,
        "epochs": 4,
        "lr": 1e-3,
        "device": "cpu",
        "out": str(tmp_path / "sarm"),
    }
    return RewardConfig(**{**given, **changes})


@pytest.mark.train
@pytest.mark.parametrize("mode", MODES)
def test_trainer_s_losses_are_those_of_a_plain_loop(place, pairs, tmp_path, mode):
    config = settings(tmp_path, mode=mode, weight_decay=0.01, reconstruction_weight=0.5)
    objective = PairObjective(fresh(place), mode, config.reconstruction_weight)
    before = {name: tensor.clone() for name, tensor in objective.sarm.state_dict().items()}
    trainer = trainer_for(objective, pairs, pairs[:5], config, tmp_path / "training")
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]

    model = fresh(place)
    blocks = [p for p in model.model.parameters() if mode]
    groups = [{"params": [model.score.weight], "lr": config.lr * HEAD_RATE}]
    groups += [{"params": blocks, "lr": config.lr}] if mode else []
    groups += [{"params": list(model.sae.parameters()), "lr": config.lr}] if mode > 1 else []
    optimiser = torch.optim.AdamW(groups, weight_decay=config.weight_decay)
    rates = [group["lr"] for group in optimiser.param_groups]
    plain = []
    for step in range(
        config.epochs
    ):  # every step sees every pair, so their order says nothing; warm-up is one step
        factor = 0.0 if step == 0 else 0.5 * (1 + np.cos(np.pi * (step - 1) / (config.epochs - 1)))
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * factor
        loss = plain_loss(model, mode, pairs, config.reconstruction_weight)
        optimiser.zero_grad()
        loss.backward()
        moving = [p for group in groups for p in group["params"] if p.grad is not None]
        nn.utils.clip_grad_norm_(moving, 1.0)
        optimiser.step()
        plain.append(loss.item())
    assert losses == pytest.approx(plain, abs=1e-4)
    assert losses[-1] < losses[0]
    after = objective.sarm.state_dict()
    frozen = [
        n for n in before if (n.startswith("sae.") and mode < 2) or (n.startswith("model.") and mode == 0)
    ]
    assert all(torch.equal(before[name], after[name]) for name in frozen)
    moved = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"score"} | ({"model"} if mode else set()) | ({"sae"} if mode > 1 else set())


@pytest.mark.train
def test_a_step_is_the_same_however_it_is_divided(place, pairs, tmp_path):
    """Also the last step of an epoch, which has fewer pairs: 20 pairs in steps of 8."""
    losses = []
    for per_device in (8, 4, 1):
        config = settings(tmp_path, mode=2, batch=8, per_device=per_device, epochs=2)
        trainer = trainer_for(PairObjective(fresh(place), 2), pairs, [], config, tmp_path / str(per_device))
        trainer.train()
        losses.append([entry["loss"] for entry in trainer.state.log_history if "loss" in entry])
    assert len(losses[0]) == 6
    assert losses[1] == pytest.approx(losses[0], rel=1e-6) and losses[2] == pytest.approx(losses[0], rel=1e-6)


@pytest.mark.train
def test_a_killed_run_goes_on_to_the_same_weights(place, stage1, tmp_path):
    common = {
        "sae": str(stage1),
        "data": [str(place / "pairs.jsonl")],
        "mode": 3,
        "epochs": 6,
        "batch": 8,
        "lr": 1e-3,
        "device": "cpu",
        "every": 3,
    }
    paths = {}
    for name in ("whole", "killed"):
        paths[name] = tmp_path / f"{name}.yaml"
        paths[name].write_text(yaml.safe_dump({**common, "out": str(tmp_path / name)}))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    run = [sys.executable, "-m", "sarm_core", "train-reward"]
    subprocess.run([*run, str(paths["whole"])], env=environment, check=True, capture_output=True)
    process = subprocess.Popen(
        [*run, str(paths["killed"])], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    training = Path(f"{tmp_path / 'killed'}.training")
    while process.poll() is None and not list(training.glob("checkpoint-6/trainer_state.json")):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed").exists()
    (training / "checkpoint-15").mkdir()
    (training / "checkpoint-15" / "trainer_state.json").touch()  # as a kill amid writing leaves it
    again = subprocess.run([*run, str(paths["killed"])], env=environment, capture_output=True, text=True)
    assert again.returncode == 2 and "holds a run that was not finished" in again.stderr
    subprocess.run(
        [*run, str(paths["killed"]), "resume=true"], env=environment, check=True, capture_output=True
    )
    for file in ("sarm.safetensors", "backbone/model.safetensors"):
        whole, killed = (load_file(tmp_path / name / file) for name in ("whole", "killed"))
        assert all(torch.equal(tensor, killed[name]) for name, tensor in whole.items()), file
    report = json.loads((tmp_path / "killed" / "report.json").read_text())["stage2"]
    assert (
        report["losses"] == json.loads((tmp_path / "whole" / "report.json").read_text())["stage2"]["losses"]
    )
    assert [entry["step"] for entry in report["validation"]] == list(range(3, len(report["losses"]) + 1, 3))


@pytest.mark.train
def test_lora_moves_nothing_else_and_exports_merged_and_as_an_adapter(place, stage1, tmp_path):
    from peft import PeftModel

    config = reward_config(
        place, tmp_path / "sarm", mode=1, lora_rank=4, epochs=8, batch=16, lr=1e-3, device="cpu"
    )
    out = run_reward(config)
    start = cut_backbone(place / "tiny", LAYER, torch.float32)
    merged = PeftModel.from_pretrained(cut_backbone(place / "tiny", LAYER, torch.float32), out / "adapter")
    written = load_file(out / "backbone" / "model.safetensors")
    expected = merged.merge_and_unload().state_dict()
    moved = set()
    for name, tensor in start.state_dict().items():
        torch.testing.assert_close(written[name], expected[name], msg=name)
        moved |= {name} if not torch.equal(written[name], tensor) else set()
    assert moved and all(name.endswith(("proj.weight",)) for name in moved)
    rows = preferences(140)[100:]
    scorer = load_sarm(out, dtype="float32")
    chosen = scorer.score([{"prompt": r["prompt"], "response": r["chosen"]} for r in rows]).rewards
    rejected = scorer.score([{"prompt": r["prompt"], "response": r["rejected"]} for r in rows]).rewards
    assert np.mean(chosen > rejected) > 0.85


@pytest.mark.train
def test_a_benchmark_is_watched_while_training_and_is_that_of_the_written_model(
    place, stage1, tmp_path, capsys
):
    sides = {"chosen": ["Yes, gladly.", "Of course.", "Sure!"], "rejected": ["No.", "Never!", "I can't."]}
    rows = [{"id": f"{i}", "prompt": f"Question {i}?", **sides, "domain": "chat"} for i in range(4)]
    (tmp_path / "bench.json").write_text(json.dumps(rows))
    config = reward_config(
        place, tmp_path / "sarm", mode=1, epochs=3, batch=16, lr=1e-3, device="cpu", every=4,
        evaluate=str(tmp_path / "bench.json"),
    )  # fmt: skip
    out = run_reward(config)
    stage2 = json.loads((out / "report.json").read_text())["stage2"]
    assert stage2["validation"] and all(0 <= entry["rm_bench_total"] <= 1 for entry in stage2["validation"])
    command = [
        "evaluate",
        "rm-bench",
        str(tmp_path / "bench.json"),
        "--model",
        str(out),
        "--dtype",
        "float32",
    ]
    assert main([*command, "--out", str(tmp_path / "scores.json")]) == 0
    written = json.loads((tmp_path / "scores.json").read_text())
    assert stage2["rm_bench_chat"] == pytest.approx(
        {n: written["scores"][n] for n in stage2["rm_bench_chat"]}
    )


@pytest.mark.train
def test_recomputed_activations_change_no_loss(place, pairs, tmp_path):
    losses = []
    for recompute in (False, True):
        config = settings(tmp_path, mode=1, recompute=recompute, epochs=3)
        trainer = trainer_for(PairObjective(fresh(place), 1), pairs, [], config, tmp_path / str(recompute))
        trainer.train()
        losses.append([entry["loss"] for entry in trainer.state.log_history if "loss" in entry])
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.train
def test_mode_1_trains_blocks_and_head_with_the_sae_frozen(place, stage1, tmp_path, kind):
    folder = tmp_path / kind
    backbone(kind).save_pretrained(folder)
    chatml().save_pretrained(folder)
    report = json.loads((stage1 / "report.json").read_text())
    report["config"]["backbone"] = str(folder)
    frozen = tmp_path / "sae"
    frozen.mkdir()
    (frozen / "report.json").write_text(json.dumps(report))
    (frozen / "sae.safetensors").write_bytes((stage1 / "sae.safetensors").read_bytes())
    config = reward_config(
        place,
        tmp_path / "sarm",
        sae=str(frozen),
        mode=1,
        device="cpu",
        epochs=12,
        batch=16,
        lr=1e-3,
        weight_decay=0.0,
    )
    out = run_reward(config)
    stage2 = json.loads((out / "report.json").read_text())["stage2"]
    assert stage2["losses"][0] == pytest.approx(np.log(2), abs=1e-6)  # the head starts at zero
    assert np.mean(stage2["losses"][-4:]) < 0.5
    scorer = load_sarm(out, dtype="float32")
    before, after = load_file(frozen / "sae.safetensors"), load_file(out / "sarm.safetensors")
    for name, tensor in before.items():
        assert torch.equal(tensor.float(), after[f"sae.{name}"].float()), name
    start = cut_backbone(folder, 2, torch.float32).state_dict()
    moved = [n for n, t in scorer.model.model.state_dict().items() if not torch.allclose(t, start[n])]
    assert moved
    rows = preferences(140)[100:]
    chosen = scorer.score([{"prompt": r["prompt"], "response": r["chosen"]} for r in rows]).rewards
    rejected = scorer.score([{"prompt": r["prompt"], "response": r["rejected"]} for r in rows]).rewards
    assert np.mean(chosen > rejected) > 0.85


@pytest.mark.train
def test_mode_1_is_the_same_for_the_same_seed(place, stage1, tmp_path):
    outs = [
        run_reward(
            reward_config(place, tmp_path / f"m{i}", mode=1, device="cpu", epochs=1, batch=16, lr=1e-3)
        )
        for i in range(2)
    ]
    heads = [load_file(out / "sarm.safetensors")["score.weight"] for out in outs]
    assert torch.equal(*heads) and heads[0].abs().sum() > 0


@pytest.mark.train
def test_mode_1_weighs_the_pairs_of_a_graded_prompt_as_one(place, stage1, tmp_path):
    """A prompt of three grades is three pairs of a third each: like every other pair written three times."""
    graded = [
        {
            "prompt": row["prompt"],
            "answers": [
                {"text": row["chosen"], "quality": 3},
                {"text": "Neither good nor bad.", "quality": 2},
                {"text": row["rejected"], "quality": 1},
            ],
        }
        for row in preferences(10)
    ]
    single = preferences(30)[10:]
    as_pairs = [
        {"prompt": row["prompt"], "chosen": good["text"], "rejected": bad["text"]}
        for row in graded
        for good, bad in itertools.permutations(row["answers"], 2)
        if good["quality"] > bad["quality"]
    ]

    def losses(name, rows):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        config = reward_config(
            place, tmp_path / name, mode=1, device="cpu", epochs=6, batch=1000, lr=1e-3, data=[str(path)]
        )
        return json.loads((run_reward(config) / "report.json").read_text())["stage2"]["losses"]

    weighed = losses("weighed", [*single, *graded])
    assert weighed == pytest.approx(losses("repeated", [*single * 3, *as_pairs]), abs=1e-4)
    assert weighed != pytest.approx(losses("alike", [*single, *as_pairs]), abs=1e-3)
