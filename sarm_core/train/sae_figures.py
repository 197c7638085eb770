"""What a dictionary reached: reconstruction, and which features fire how often."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sarm_core.model.sae import SAE, standardise
from sarm_core.train.positions import Positions

__all__ = ["MEASURED", "SAEReport", "firing_histogram", "measure", "never_firing"]

MEASURED = 200_000
"""Positions of one part and kind that a figure is taken over, at most"""


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


def firing_histogram(fired: Tensor, positions: int) -> dict[str, int]:
    """How many features fired at which share of the positions: never, and by powers of ten."""
    share = fired.double().cpu().numpy() / max(positions, 1)
    found = {"never": int((share == 0).sum())}
    for power in range(-5, 0):
        low = 0.0 if power == -5 else 10.0**power
        found[f"to 1e{power + 1}"] = int(((share > low) & (share <= 10.0 ** (power + 1))).sum())
    return found


@torch.no_grad()
def measure(sae: SAE, positions: Positions, *, split: str, kind: str) -> SAEReport:
    """Reconstruction figures on one part and kind of position, at most MEASURED evenly spread ones."""
    place = (split, kind)
    total, n = torch.zeros(positions.d, dtype=torch.float64), 0
    for chunk in positions.spread(place, MEASURED):
        total += standardise(torch.from_numpy(chunk)).double().sum(0)
        n += len(chunk)
    mean = (total / n).float()
    error = variance = mse = 0.0
    fired = torch.zeros(sae.n_features, dtype=torch.bool)
    for chunk in positions.spread(place, MEASURED):
        x = standardise(torch.from_numpy(chunk))
        x_hat, codes = sae(x)
        squared = (x_hat - x).pow(2)
        error += squared.sum().item()
        variance += (x - mean).pow(2).sum().item()
        mse += (squared.mean(-1) / x.pow(2).mean(-1)).sum().item()
        fired[codes.fired()] = True
    return SAEReport(n, error / variance, mse / n, int(fired.sum()))


@torch.no_grad()
def never_firing(sae: SAE, positions: Positions) -> int:
    """How many features are active at no position, of at most MEASURED evenly spread ones of each part and kind."""
    fired = torch.zeros(sae.n_features, dtype=torch.bool)
    for place in positions.counts:
        for chunk in positions.spread(place, MEASURED):
            fired[sae.encode(standardise(torch.from_numpy(chunk))).fired()] = True
    return int((~fired).sum())
