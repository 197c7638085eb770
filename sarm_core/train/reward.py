"""Stage 2: train the reward on preference pairs, -log sigmoid(r_chosen - r_rejected) [SARM, eq. 5] (`objective.py`).

Mode 0 trains the head on frozen features, a convex problem (`head_fit.py`): the only choice left is the weight decay,
made on the validation part. Modes 1 to 3, in which blocks move, are in `stage2.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sarm_core.train.data import Pair

__all__ = ["PairAccuracy", "RewardConfig", "accuracy", "by_source"]


@dataclass(frozen=True)
class RewardConfig:
    """Settings of one reward run."""

    sae: str = "runs/sae"
    """folder written by train-sae"""
    data: list[str] = field(default_factory=list)
    """files of preference pairs; a column `margin` says by how much the chosen answer is to be ahead"""
    ties: str = "out"
    """two answers called equally good: "out" leaves them out, "half" makes them half a win for each in training"""
    strength: str = "unused"
    """how strong a preference is said to be (HelpSteer, 1 to 3): "unused", "margin" or "weight" of its pair"""
    mode: int = 0
    """0: head only; 1: blocks + head, SAE frozen; 2: blocks + SAE on pairs and reconstruction; 3: as 2, but the
    reconstruction does not move the blocks"""
    scored_token: str | None = None
    """the scored token, as in train-sae; that of the SAE's run when not given"""
    decays: list[float] = field(default_factory=lambda: [10.0**e for e in np.arange(-4, 1.01, 0.5)])
    """weight decays tried in mode 0; the validation part decides"""
    epochs: int = 3
    """modes 1 to 3: passes over the pairs"""
    batch: int = 512
    """modes 1 to 3: pairs a step, on all devices together"""
    per_device: int = 8
    """modes 1 to 3: pairs in one pass of a device; a step adds as many passes as it needs"""
    max_length: int = 4096
    """modes 1 to 3: tokens of a conversation; longer ones are cut on the left"""
    lr: float = 4e-6
    """modes 1 to 3: peak learning rate of AdamW, cosine with 3 % warm-up; the head's is a hundred times as high"""
    weight_decay: float = 1e-3
    """modes 1 to 3: AdamW's weight decay"""
    reconstruction_weight: float = 1.0
    """modes 2 and 3: weight of the reconstruction beside the pairs' loss"""
    lora_rank: int = 0
    """modes 1 to 3: train LoRA matrices of this rank instead of the blocks' weights; 0 trains these"""
    source_weights: dict[str, float] = field(default_factory=dict)
    """modes 1 to 3: weight of the pairs of a source, by its name; 1 for those that are not named"""
    every: int = 0
    """modes 1 to 3: steps between checkpoints, at which the validation part is measured too; 0 for neither"""
    resume: bool = False
    """modes 1 to 3: go on with the last checkpoint of an interrupted run"""
    bfloat16: bool = False
    """modes 1 to 3: run the blocks in bfloat16 (autocast); weights, SAE and head stay float32"""
    recompute: bool = False
    """modes 1 to 3: recompute activations in the backward pass, which takes less memory and more time"""
    device: str = "auto"
    """modes 1 to 3: "cpu", or "auto" for the accelerator where there is one"""
    report_to: list[str] = field(default_factory=list)
    """modes 1 to 3: loggers of Hugging Face's Trainer, "tensorboard" for example"""
    evaluate: str | None = None
    """RM-Bench file to report on; never trained on"""
    seed: int = 0
    """seed of the order of pairs"""
    cache: str = "runs/cache"
    """folder of stored activations"""
    name: str = "SARM"
    """name shown in the app"""
    remarks: list[str] = field(default_factory=list)
    """paragraphs for the model card: what was tried, how to read the figures"""
    out: str = "runs/sarm"
    """folder the checkpoint is written to"""


@dataclass(frozen=True)
class PairAccuracy:
    """Share of pairs with r_chosen strictly above r_rejected, with Wilson's 95 % interval."""

    n: int
    accuracy: float
    low: float
    high: float
    ties: int


def accuracy(margins: npt.NDArray[np.floating]) -> PairAccuracy:
    """Accuracy of margins r_chosen - r_rejected [n]; a tie counts as wrong and is reported."""
    n = len(margins)
    if n == 0:
        return PairAccuracy(0, float("nan"), float("nan"), float("nan"), 0)
    right = int((margins > 0).sum())
    z = 1.959964
    centre = (right + z * z / 2) / (n + z * z)
    half = z * np.sqrt(right * (n - right) / n + z * z / 4) / (n + z * z)
    return PairAccuracy(n, right / n, float(centre - half), float(centre + half), int((margins == 0).sum()))


def by_source(pairs: Sequence[Pair], margins: npt.NDArray[np.floating]) -> dict[str, PairAccuracy]:
    """Accuracy per data source; the corpus's categories together, and all pairs as "all"."""
    names = np.array(
        [pair.source.split("/")[0] if pair.source.startswith("corpus/") else pair.source for pair in pairs]
    )
    out = {str(name): accuracy(margins[names == name]) for name in sorted(set(names))}
    out["all"] = accuracy(margins)
    return out
