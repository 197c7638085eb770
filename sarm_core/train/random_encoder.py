"""A dictionary of the same kind and size that has learned nothing: what random directions would do in its place."""

from __future__ import annotations

import copy

import numpy as np
import numpy.typing as npt
import torch

from sarm_core.model.sae import SAE

__all__ = ["random_encoder"]

SAMPLE = 256
"""Answers by which the number of active features is matched."""


@torch.no_grad()
def random_encoder(sae: SAE, h: npt.NDArray[np.float32], seed: int) -> SAE:
    """`sae` with random unit rows for its encoder, centred on the mean of its inputs over `h` [answers, d].

    A kind that keeps what exceeds a threshold gets one bias for all features, such that as many are active as in
    `sae`, on average over a sample of the answers. Other tensors stay as they are.
    """
    generator = torch.Generator().manual_seed(seed)
    made = copy.deepcopy(sae)
    device = made.encoder.weight.device
    rows = torch.randn(made.encoder.weight.shape, generator=generator)
    made.encoder.weight.copy_(rows.div_(rows.norm(dim=1, keepdim=True)))
    mean = torch.zeros(sae.width, dtype=torch.float64, device=device)
    for part in np.array_split(h, max(1, len(h) // 1024)):
        mean += sae.inputs(torch.from_numpy(part).to(device)).double().sum(0) / len(h)
    made.pre_bias.copy_(mean)
    made.latent_bias.zero_()
    chosen = np.sort(np.random.default_rng(seed).permutation(len(h))[:SAMPLE])
    x = sae.inputs(torch.from_numpy(h[chosen]).to(device))
    wanted = _active(sae, x)
    if _active(made, x) != wanted:
        _match(made, x, wanted)
    return made


def _active(sae: SAE, x: torch.Tensor) -> float:
    """Active features of x [n, d], on average."""
    return sum(len(sae.encode(part).ids) for part in x.split(32)) / len(x)


def _match(made: SAE, x: torch.Tensor, wanted: float) -> None:
    """Find the bias of all features under which `wanted` are active: their number rises with it."""
    low, high = -1.0, 1.0
    for edge in range(2):
        for _ in range(20):
            made.latent_bias.fill_((low, high)[edge])
            found = _active(made, x)
            if (found <= wanted) if edge == 0 else (found >= wanted):
                break
            low, high = (2 * low, high) if edge == 0 else (low, 2 * high)
    for _ in range(20):
        middle = (low + high) / 2
        made.latent_bias.fill_(middle)
        low, high = (middle, high) if _active(made, x) < wanted else (low, middle)
