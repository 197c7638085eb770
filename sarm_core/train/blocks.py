"""Stage 2, mode 1: train the backbone's blocks and the head, the SAE frozen [SARM, sec. 3.3]."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from sarm_core.files import whole_folder
from sarm_core.model.backbone import cut_backbone
from sarm_core.model.checkpoint import Shape
from sarm_core.model.sae import SAE
from sarm_core.model.sarm import SARM
from sarm_core.score.encoder import padded
from sarm_core.ship.export import sae_tensors, write_own
from sarm_core.train.activations import Reader
from sarm_core.train.data import Pair
from sarm_core.train.reward import RewardConfig, accuracy

__all__ = ["run_blocks", "train_blocks"]

Batch = tuple[torch.Tensor, ...]


def train_blocks(model: SARM, batches: Sequence[Batch], config: RewardConfig) -> list[float]:
    """Mode 1: train blocks and head on `batches`, the SAE frozen; returns the loss of each step.

    A batch is (chosen ids, chosen mask, rejected ids, rejected mask, weights): int64 [B, T], and float32 [B] with mean
    1 over all batches, by which the losses of pairs are multiplied. The head gets 100 times
    the blocks' rate since it starts at zero. Deterministic for a seed, machine and thread count.
    """
    model.train().requires_grad_(True)
    model.sae.requires_grad_(False)
    optimiser = torch.optim.AdamW(
        [
            {"params": [p for p in model.model.parameters() if p.requires_grad], "lr": config.lr},
            {"params": [model.score.weight], "lr": config.lr * 100},
        ],
        weight_decay=config.weight_decay,
    )
    steps = config.epochs * len(batches)
    warm = max(1, round(0.03 * steps))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda step: (
            (step + 1) / warm
            if step < warm
            else 0.5 * (1 + np.cos(np.pi * (step - warm) / max(1, steps - warm)))
        ),
    )
    generator = torch.Generator().manual_seed(config.seed)
    losses = []
    for _ in range(config.epochs):
        for at in torch.randperm(len(batches), generator=generator).tolist():
            chosen, chosen_mask, rejected, rejected_mask, weights = batches[at]
            margin = model(chosen, chosen_mask).logits - model(rejected, rejected_mask).logits
            loss = (weights * torch.nn.functional.softplus(-margin)[:, 0]).mean()
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
    model.eval().requires_grad_(False)
    return losses


def run_blocks(
    config: RewardConfig,
    shape: Shape,
    sae: SAE,
    pairs: Sequence[Pair],
    reader: Reader,
    stage1: dict[str, Any],
) -> Path:
    """Train on the train part of `pairs`, measure on its test part, write a whole checkpoint with report."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = SARM(cut_backbone(reader.folder, shape.layer, torch.float32), sae).to(device)
    sides = {name: [pair for pair in pairs if pair.split == name] for name in ("train", "test")}

    def batches(rows: Sequence[Pair]) -> list[Batch]:
        out: list[Batch] = []
        mean = np.mean([pair.weight for pair in rows]) if rows else 1.0
        for at in range(0, len(rows), config.batch):
            part = rows[at : at + config.batch]
            chosen = [s.input_ids for s in reader.format.tokens([pair.chosen for pair in part])]
            rejected = [s.input_ids for s in reader.format.tokens([pair.rejected for pair in part])]
            weights = torch.tensor([pair.weight / mean for pair in part], dtype=torch.float32, device=device)
            out.append(
                (
                    *padded(chosen, left=False, device=device),
                    *padded(rejected, left=False, device=device),
                    weights,
                )
            )
        return out

    losses = train_blocks(model, batches(sides["train"]), config)
    with torch.inference_mode():
        margins = [
            (model(b[0], b[1]).logits - model(b[2], b[3]).logits)[:, 0].cpu().numpy()
            for b in batches(sides["test"])
        ]
    held_out = accuracy(np.concatenate(margins) if margins else np.zeros(0))
    with whole_folder(config.out) as folder:
        (folder / "backbone").mkdir()
        model.config.save_pretrained(folder / "backbone")
        blocks = {n: t.detach().cpu().contiguous() for n, t in model.model.state_dict().items()}
        save_file(blocks, folder / "backbone" / "model.safetensors", metadata={"format": "pt"})
        reader.format.tokenizer.save_pretrained(folder / "backbone")
        write_own(
            folder,
            shape=shape,
            tensors=sae_tensors(model.sae),
            head=model.score.weight[0].detach().cpu().numpy(),
            backbone="backbone",
            rule=reader.format.rule,
            chat_template=reader.format.template,
            name=config.name,
        )
        whole = {
            "stage1": stage1,
            "stage2": {"config": asdict(config), "losses": losses, "test": asdict(held_out)},
        }
        (folder / "report.json").write_text(json.dumps(whole, indent=1), encoding="utf-8")
    return Path(config.out)
