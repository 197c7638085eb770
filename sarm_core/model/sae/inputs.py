"""What dictionaries make of a residual-stream vector h before they encode it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

__all__ = ["INPUTS", "standardise"]


def standardise(h: Tensor) -> Tensor:
    """x = (h - mean) / (std + 1e-6) over the last dimension, in float32, with the unbiased std [SARM, eq. 1]."""
    return _normed(h, 1e-6)


def _normed(h: Tensor, eps: float) -> Tensor:
    h = h.float()
    return (h - h.mean(-1, keepdim=True)) / (h.std(-1, keepdim=True) + eps)


def _as_is(h: Tensor) -> Tensor:
    return h.float()


def _layer_norm(h: Tensor) -> Tensor:
    return _normed(h, 1e-5)


def _constant_norm(h: Tensor) -> Tensor:
    """Scaled to the length sqrt(d)."""
    h = h.float()
    return h * (h.shape[-1] ** 0.5 / h.norm(dim=-1, keepdim=True))


INPUTS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "standardised": standardise,
    "as is": _as_is,
    "layer norm": _layer_norm,
    "constant norm": _constant_norm,
}
"""By the name that `sarm.json` has for it: h [n, d] -> x, float32 [n, d]. Layer norm is SAELens' (unbiased std,
epsilon 1e-5, no weights), as is its constant norm."""
