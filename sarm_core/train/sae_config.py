"""Settings of stage 1."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch

from sarm_core.errors import SarmError
from sarm_core.model.backbone import native_bfloat16
from sarm_core.train.positions import KINDS

__all__ = ["SAEConfig", "check_settings", "resolved"]

KINDS_OF_SAE = ("topk", "batch-topk")
PRODUCTS = ("auto", "bfloat16", "float32")


@dataclass(frozen=True)
class SAEConfig:
    """Settings of one SAE run."""

    backbone: str = "demo"
    """"demo", a folder or a Hub id"""
    layer: int = 15
    """L: how many blocks run"""
    backbone_dtype: str = "auto"
    """numbers the backbone computes in: bfloat16, float32, or auto for bfloat16 where hardware multiplies it"""
    scored_token: str = "last-special-token"
    """which token is scored: "last-special-token" (the end of the turn), "last-token" (what an ordinary reward model
    scores) or the text of a token"""
    n_features: int = 4608
    """M, width of the dictionary"""
    k: int = 27
    """active features per position"""
    kind: str = "topk"
    """"topk": k at every position; "batch-topk": k a position on average, saved with one threshold (JumpReLU)"""
    data: list[str] = field(default_factory=list)
    """files of conversations, pairs or texts"""
    max_length: int = 1024
    """tokens of a text that are read; longer ones are cut on the left"""
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
    """peak learning rate of Adam"""
    warm_up: float = 0.05
    """share of the steps in which the learning rate rises to its peak, linearly"""
    decay: float = 0.95
    """share of the steps in which it falls again, linearly, to a fiftieth"""
    aux_k: int = 128
    """dead features that reconstruct the residual in the auxiliary loss; 0 for no such loss"""
    dead_after: int = 60
    """steps without firing after which a feature counts as dead"""
    device: str = "cpu"
    """where it trains: cpu, cuda, cuda:1, mps"""
    products: str = "auto"
    """numbers that dense products are computed in, with float32 weights: bfloat16, float32, or auto for bfloat16 where
    the processor multiplies it in hardware"""
    checkpoint_every: int = 500
    """steps between checkpoints; a killed run goes on from the last one"""
    log_every: int = 100
    """steps between entries of the metrics"""
    tensorboard: bool = False
    """whether the metrics go to TensorBoard as well, into OUT.tensorboard"""
    pairs: list[str] = field(default_factory=list)
    """files of preference pairs: a head on the reconstruction is compared with one on x"""
    seed: int = 0
    """seed of initialisation, positions and batches"""
    cache: str = "runs/cache"
    """folder of stored activations"""
    out: str = "runs/sae"
    """folder the SAE and its report are written to"""


def resolved(config: SAEConfig) -> SAEConfig:
    """With the `backbone_dtype` that "auto" is on its device: a report says which numbers were computed in."""
    if config.backbone_dtype != "auto":
        return config
    return replace(config, backbone_dtype="bfloat16" if native_bfloat16(config.device) else "float32")


def check_settings(config: SAEConfig) -> None:
    """Raises SarmError, naming the setting, for a value that no run can have."""
    if config.kind not in KINDS_OF_SAE:
        raise SarmError(f"kind is {config.kind!r}: use one of {', '.join(KINDS_OF_SAE)}")
    if config.products not in PRODUCTS:
        raise SarmError(f"products is {config.products!r}: use one of {', '.join(PRODUCTS)}")
    if config.backbone_dtype not in PRODUCTS:
        raise SarmError(f"backbone_dtype is {config.backbone_dtype!r}: use one of {', '.join(PRODUCTS)}")
    if not 1 <= config.k <= config.n_features:
        raise SarmError(f"k is {config.k}: it must lie between 1 and n_features, {config.n_features}")
    for name in ("steps", "batch", "layer", "checkpoint_every", "log_every", "max_length", "dead_after"):
        if getattr(config, name) < 1:
            raise SarmError(f"{name} is {getattr(config, name)}: it must be at least 1")
    if not (config.warm_up >= 0 and config.decay >= 0 and config.warm_up + config.decay <= 1 + 1e-9):
        raise SarmError(
            f"warm_up {config.warm_up} and decay {config.decay} are shares of the steps, together at most 1"
        )
    if config.aux_k < 0:
        raise SarmError(f"aux_k is {config.aux_k}: it must be at least 0, which teaches no dead feature")
    unknown = [kind for kind in config.mix if kind not in KINDS]
    if unknown:
        raise SarmError(f"mix names {unknown[0]!r}: kinds of position are {', '.join(KINDS)}")
    for kind, share in config.mix.items():
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < float("inf"):
            raise SarmError(f"mix: the share of {kind!r} is {share!r}, not a number of at least 0")
    try:
        torch.empty(0, device=config.device)
    except (RuntimeError, AssertionError) as error:
        raise SarmError(f"device {config.device!r} is not available ({str(error).splitlines()[0]})") from None
