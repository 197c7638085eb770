"""A peer's optimiser step as its own trainer takes it, in its environment: asked by `sae_step.py`, a line for a line.

Reads {"steps": n} from standard input, trains on the next n batches, and answers with the seconds of processor time of
each; {"held_out": true} is answered with the fraction of variance unexplained on the last rows of the data.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable

os.environ["SPARSIFY_DISABLE_TRITON"] = "1"

import numpy as np
import torch
from torch import Tensor

Step = Callable[[Tensor, float], None]
Reconstruct = Callable[[Tensor], Tensor]


def sparsify(x: Tensor, asked: dict) -> tuple[Step, Reconstruct]:
    """eai-sparsify's `Trainer`: unit norm, forward, backward, parallel gradient removed, Adam, counters."""
    from sparsify import SparseCoder, SparseCoderConfig

    config = SparseCoderConfig(num_latents=asked["features"], k=asked["k"])
    coder = SparseCoder(x.shape[1], config, device="cpu", dtype=torch.float32)
    coder.b_dec.data.copy_(x.mean(0))
    adam = torch.optim.Adam(coder.parameters(), lr=asked["lr"])
    silent = torch.zeros(asked["features"], dtype=torch.int64)

    def step(batch: Tensor, lr: float) -> None:
        adam.param_groups[0]["lr"] = lr
        coder.set_decoder_norm_to_unit_norm()
        with mixed(asked):
            out = coder(batch, dead_mask=silent > asked["dead_after"] * len(batch))
        (out.fvu + out.auxk_loss / 32).backward()
        coder.remove_gradient_parallel_to_decoder_directions()
        adam.step()
        adam.zero_grad()
        fired = torch.zeros(asked["features"], dtype=torch.bool)
        fired[out.latent_indices.flatten()] = True
        silent.add_(len(batch))
        silent[fired] = 0

    return step, lambda batch: coder(batch).sae_out


def saelens(x: Tensor, asked: dict) -> tuple[Step, Reconstruct]:
    """SAELens' `SAETrainer._train_step`: forward, counters, backward, clipping, Adam."""
    from sae_lens.saes.sae import TrainStepInput
    from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig

    config = TopKTrainingSAEConfig(
        d_in=x.shape[1],
        d_sae=asked["features"],
        k=asked["k"],
        apply_b_dec_to_input=True,
    )
    sae = TopKTrainingSAE(config)
    sae.b_dec.data.copy_(x.mean(0))
    adam = torch.optim.Adam(sae.parameters(), lr=asked["lr"], betas=(0.9, 0.999))
    silent = torch.zeros(asked["features"])
    frequency = torch.zeros(asked["features"])

    def step(batch: Tensor, lr: float) -> None:
        adam.param_groups[0]["lr"] = lr
        with mixed(asked):
            out = sae.training_forward_pass(
                TrainStepInput(
                    sae_in=batch,
                    coefficients={},
                    dead_neuron_mask=silent > asked["dead_after"],
                    n_training_steps=0,
                    is_logging_step=False,
                )
            )
            with torch.no_grad():
                firing = out.feature_acts.bool().float()
                fired = firing.sum(-2).bool()
                silent.add_(1)
                silent[fired] = 0
                frequency.add_(firing.sum(0))
        out.loss.backward()
        torch.nn.utils.clip_grad_norm_(sae.parameters(), 1.0)
        adam.step()
        adam.zero_grad()

    return step, lambda batch: sae(batch)


def mixed(asked: dict) -> contextlib.AbstractContextManager:
    return torch.autocast("cpu", torch.bfloat16, enabled=asked["how"] == "autocast")


def main() -> None:
    asked = json.loads(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the packages print is no answer
    torch.set_num_threads(1)
    torch.manual_seed(0)
    x = torch.from_numpy(np.load(asked["data"]))
    held = x[-asked["held_out"] :]
    train = x[: -asked["held_out"]]
    step, reconstruct = {"sparsify": sparsify, "saelens": saelens}[asked["peer"]](train, asked)
    print("{}", file=answers, flush=True)
    done = 0
    for line in sys.stdin:
        question = json.loads(line)
        times = []
        for _ in range(question.get("steps", 0)):
            at = done * asked["batch"] % (len(train) - asked["batch"] + 1)
            begun = time.process_time()
            step(train[at : at + asked["batch"]], asked["lr"] * min(1.0, (done + 1) / 20))
            times.append(time.process_time() - begun)
            done += 1
        said: dict = {"times": times}
        if question.get("held_out"):
            with torch.no_grad():
                error = sum((reconstruct(part) - part).square().sum().item() for part in held.split(1024))
            said = {"unexplained": error / (held - held.mean(0)).square().sum().item()}
        print(json.dumps(said), file=answers, flush=True)


if __name__ == "__main__":
    main()
