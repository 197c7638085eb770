"""TopK sparse autoencoder over standardised residual-stream vectors [SARM, sec. 3 and eq. 1-3].

x      (h - mean(h)) / (std(h) + 1e-6), per token over d, unbiased std
a      W_enc (x - b_pre) + b_latent          pre-activations, one per feature
z      the k largest SIGNED entries of a     no ReLU: a negative value can survive
x_hat  W_dec z + b_pre
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

__all__ = ["SparseCodes", "TopKSAE", "standardise"]


class SparseCodes(NamedTuple):
    """The active features of n positions: `indices` int64 [n, k] and their activations `values` [n, k]."""

    indices: Tensor
    values: Tensor


def standardise(h: Tensor) -> Tensor:
    """x = (h - mean) / (std + 1e-6) over the last dimension, in float32, with the unbiased std [SARM, eq. 1]."""
    h = h.float()
    return (h - h.mean(-1, keepdim=True)) / (h.std(-1, keepdim=True) + 1e-6)


class TopKSAE(nn.Module):
    """Encoder, decoder and biases, with the reference implementation's tensor names.

    `d` is the width of the residual stream, `n_features` (M) that of the dictionary. With `k=None`
    every feature is active: the "woTopK" checkpoints score with the dense pre-activations.
    """

    def __init__(self, d: int, n_features: int, k: int | None):
        super().__init__()
        if k is not None and not 1 <= k <= n_features:
            raise ValueError(f"k = {k} is not between 1 and the {n_features} features of the dictionary")
        self.k = k
        self.pre_bias = nn.Parameter(torch.zeros(d))
        self.latent_bias = nn.Parameter(torch.zeros(n_features))
        self.encoder = nn.Linear(d, n_features, bias=False)
        self.decoder = nn.Linear(n_features, d, bias=False)

    @property
    def n_features(self) -> int:
        """M, the width of the dictionary."""
        return int(self.latent_bias.shape[0])

    def pre_activations(self, x: Tensor) -> Tensor:
        """a = W_enc (x - b_pre) + b_latent, [n, d] -> [n, M]."""
        return self.encoder(x - self.pre_bias) + self.latent_bias

    def select(self, a: Tensor) -> SparseCodes:
        """The active features of pre-activations a [n, M]: the k largest signed ones, or all without k."""
        if self.k is None:
            return SparseCodes(torch.arange(a.shape[-1], device=a.device).expand(a.shape), a)
        values, indices = torch.topk(a, self.k, dim=-1, sorted=False)
        return SparseCodes(indices, values)

    def encode(self, x: Tensor) -> SparseCodes:
        """Active features of standardised x [n, d]."""
        return self.select(self.pre_activations(x))

    def decode(self, codes: SparseCodes) -> Tensor:
        """x_hat = W_dec z + b_pre, [n, k] -> [n, d].

        Gathers k decoder columns per position instead of multiplying an [n, M] matrix of zeros.
        """
        if self.k is None:
            return self.decoder(codes.values) + self.pre_bias
        columns = self.decoder.weight.t()
        return (
            nn.functional.embedding_bag(
                codes.indices, columns, per_sample_weights=codes.values.to(columns.dtype), mode="sum"
            )
            + self.pre_bias
        )

    def forward(self, x: Tensor) -> tuple[Tensor, SparseCodes]:
        """Reconstruction [n, d] and codes of standardised x [n, d]."""
        codes = self.encode(x)
        return self.decode(codes), codes

    @torch.no_grad()
    def normalise_decoder(self) -> None:
        """Scale every decoder column to unit norm (training keeps activations comparable that way)."""
        self.decoder.weight.div_(self.decoder.weight.norm(dim=0, keepdim=True).clamp_min(1e-8))
