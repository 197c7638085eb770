"""Stage 1: pretrain a TopK SAE on residual-stream activations [SARM, sec. 3.1].

Differences from the paper, each because it measured better here: b_pre starts at the mean (at block 15 of
the demo backbone the mean carries 94 % of the squared norm), the loss is the fraction of VARIANCE
unexplained, the decoder is renormalised every step, an auxiliary loss revives dead features, answers are also
scored as if they had stopped earlier (`cuts.py`), and differences between answers to one prompt count extra.
"""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sarm_core.model.sae import SAE, TopK, standardise
from sarm_core.train.activations import KINDS, Activations
from sarm_core.train.sae_step import Dictionary, standardised

__all__ = ["SAEConfig", "SAEReport", "measure", "never_firing", "train_sae"]


@dataclass(frozen=True)
class SAEConfig:
    """Settings of one SAE run."""

    backbone: str = "demo"
    """"demo", a folder or a Hub id"""
    layer: int = 15
    """L: how many blocks run"""
    scored_token: str = "last-special-token"
    """which token is scored: "last-special-token" (the end of the turn), "last-token" (what an ordinary reward model
    scores) or the text of a token"""
    n_features: int = 4608
    """M, width of the dictionary"""
    k: int = 27
    """active features per position"""
    data: list[str] = field(default_factory=list)
    """files of conversations or pairs"""
    tokens_per_text: int = 12
    """random answer tokens taken from each text, beside its sentence ends"""
    cut_texts: int = 0
    """texts whose answers are also scored as if they had stopped earlier"""
    cuts_per_text: int = 16
    """random places at which each of them is cut"""
    mix: dict[str, float] = field(default_factory=lambda: {"scored": 0.2, "sentence": 0.4, "token": 0.4})
    """share of each kind of position in a batch"""
    difference_weight: float = 0.0
    """weight of the loss on differences between two answers to one prompt; half of each batch is such pairs"""
    steps: int = 1500
    """optimiser steps"""
    batch: int = 1024
    """positions a step"""
    lr: float = 5e-4
    """peak learning rate of Adam, with warm-up and linear decay"""
    aux_k: int = 128
    """dead features that reconstruct the residual in the auxiliary loss"""
    dead_after: int = 60
    """steps without firing after which a feature counts as dead"""
    seed: int = 0
    """seed of initialisation, positions and batches"""
    cache: str = "runs/cache"
    """folder of stored activations"""
    out: str = "runs/sae"
    """folder the SAE and its report are written to"""


@dataclass(frozen=True)
class SAEReport:
    """What a run reached on one part of the data, at one kind of position."""

    n: int
    """positions measured"""
    variance_unexplained: float
    """sum |x_hat - x|^2 / sum |x - mean(x)|^2"""
    normalised_mse: float
    """mean_d (x_hat - x)^2 / mean_d x^2, averaged: the paper's loss"""
    features_firing: int
    """features active at least once"""


def train_sae(
    activations: Activations,
    config: SAEConfig,
    pairs: npt.NDArray[np.int64] | None = None,
    log: bool = True,
) -> SAE:
    """Train on the train part of `activations`. Deterministic for a seed, machine and thread count.

    `pairs` [p, 2] are rows of two answers to one prompt; needed with `difference_weight`. What a reward
    model says is a difference between such rows, a small part of the variance between all rows: without
    this term the dictionary spends its features on what the prompts differ in.
    """
    generator = torch.Generator().manual_seed(config.seed)
    h = torch.from_numpy(activations.h)
    train = activations.split == 0
    pools = [torch.from_numpy(np.flatnonzero(train & (activations.kind == i))) for i in range(len(KINDS))]
    n_pairs = config.batch // 4 if config.difference_weight and pairs is not None and len(pairs) else 0
    shares = _batch_shares(config, [len(pool) for pool in pools], config.batch - 2 * n_pairs)
    mean = _mean(h, torch.from_numpy(np.flatnonzero(train)))
    dictionary = Dictionary(
        torch.randn(config.n_features, h.shape[1], generator=generator),
        mean,
        k=config.k,
        lr=config.lr,
        aux_k=config.aux_k,
        dead_after=config.dead_after,
    )
    started = time.monotonic()
    for step in range(config.steps):
        picks = [
            pool[torch.randint(len(pool), (n,), generator=generator)]
            for pool, n in zip(pools, shares, strict=True)
            if n
        ]
        if n_pairs and pairs is not None:
            chosen = pairs[torch.randint(len(pairs), (n_pairs,), generator=generator).numpy()]
            picks += [torch.from_numpy(chosen[:, 0]), torch.from_numpy(chosen[:, 1])]
        x = standardised(h[torch.cat(picks)])
        figures = dictionary.step(
            x,
            (x - mean).square().sum(),
            config.lr * _schedule(step, config.steps),
            n_pairs=n_pairs,
            difference_weight=config.difference_weight,
        )
        if log and (step % 100 == 0 or step == config.steps - 1):
            rate = (step + 1) / (time.monotonic() - started)
            print(
                f"  step {step:5d}  variance unexplained {figures.loss.item():.4f}  "
                f"of differences {figures.differences.item():.4f}  dead {figures.n_dead:5d}  "
                f"{rate:.1f} steps/s  {(config.steps - step) / rate:,.0f} s left",
                file=sys.stderr,
                flush=True,
            )
    sae = SAE(h.shape[1], config.n_features, TopK(config.k))
    dictionary.copy_to(sae)
    return sae.eval().requires_grad_(False)


@torch.no_grad()
def measure(sae: SAE, activations: Activations, *, split: int, kind: str) -> SAEReport:
    """Reconstruction figures on one part (0 train, 1 validation, 2 test) and kind of position."""
    where = (activations.split == split) & (activations.kind == KINDS.index(kind))
    x = standardise(torch.from_numpy(activations.h[where]))
    mean = x.mean(0)
    error = variance = mse = 0.0
    fired = torch.zeros(sae.n_features, dtype=torch.bool)
    for chunk in x.split(4096):
        x_hat, codes = sae(chunk)
        squared = (x_hat - chunk).pow(2)
        error += squared.sum().item()
        variance += (chunk - mean).pow(2).sum().item()
        mse += (squared.mean(-1) / chunk.pow(2).mean(-1)).sum().item()
        fired[codes.fired()] = True
    n = len(x)
    return SAEReport(n, error / variance, mse / n, int(fired.sum()))


@torch.no_grad()
def never_firing(sae: SAE, activations: Activations) -> int:
    """How many features are active at no position at all."""
    fired = torch.zeros(sae.n_features, dtype=torch.bool)
    for chunk in torch.from_numpy(activations.h).split(4096):
        fired[sae.encode(standardise(chunk)).fired()] = True
    return int((~fired).sum())


def _batch_shares(config: SAEConfig, available: list[int], size: int) -> list[int]:
    wanted = [config.mix.get(kind, 0.0) if n else 0.0 for kind, n in zip(KINDS, available, strict=True)]
    total = sum(wanted)
    if total <= 0:
        raise ValueError("mix names no kind of position that the data contains")
    return [round(size * share / total) for share in wanted]


def _mean(h: Tensor, rows: Tensor) -> Tensor:
    total = torch.zeros(h.shape[1], dtype=torch.float64)
    for chunk in rows.split(16_384):
        total += standardise(h[chunk]).double().sum(0)
    return (total / len(rows)).float()


def _schedule(step: int, steps: int) -> float:
    warm = max(1, steps // 20)
    if step < warm:
        return (step + 1) / warm
    return max(0.02, 1 - (step - warm) / max(1, steps - warm)) if steps > warm else math.nan
