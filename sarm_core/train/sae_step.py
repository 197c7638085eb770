"""One optimiser step of stage 1, with its gradients written out.

Only k of M features are active at a position, so of the five products of a step (encoder, decoder, the gradient of z,
of W_dec and of W_enc) four concern k entries a row. On a CPU these four gather; where dense products are cheap (an
accelerator) they are dense, in bfloat16. Master weights, moments and sums of gradients are float32 in both.
`tests/sarm_core/train/test_sae_step.py` holds every gradient to autograd's.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from torch.nn import functional

from sarm_core.model.backbone import native_bfloat16
from sarm_core.model.sae import SAE
from sarm_core.train.processes import ALONE, Processes

__all__ = ["Dictionary", "Entries", "Figures", "batch_top_k", "standardised", "top_k"]


ENCODER_NORM = 3**-0.5
"""Norm of an encoder's row at the start, in the direction of its decoder column: at 1, k columns overshoot x"""


def standardised(h: Tensor) -> Tensor:
    """x of residual-stream vectors h [n, d]: `model.sae.standardise` to rounding, in one pass."""
    d = h.shape[-1]
    h = h.float()
    shrunk = h.new_full((d,), ((d - 1) / d) ** 0.5)  # the standard deviation of a SARM is the unbiased one
    return functional.layer_norm(h, (d,), weight=shrunk, eps=1e-12)


@dataclass(frozen=True)
class Entries:
    """Which features are active where: those of position i are `ids[indptr[i] : indptr[i + 1]]`, int64."""

    indptr: Tensor
    ids: Tensor

    @classmethod
    def even(cls, ids: Tensor) -> Entries:
        """k features at every position, ids [n, k]."""
        n, k = ids.shape
        return cls(torch.arange(n + 1, device=ids.device) * k, ids.reshape(-1))

    @property
    def rows(self) -> Tensor:
        """The position of each entry, int64."""
        return torch.arange(len(self.indptr) - 1, device=self.ids.device).repeat_interleave(
            self.indptr.diff()
        )


def top_k(a: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Values and ids [n, k] of the k largest entries of a [n, M], in any order.

    On a CPU in two stages, exactly: the k largest entries lie in the k groups of features with the largest maxima
    (an entry outside them is below k maxima), so only those are searched.
    """
    n, width = a.shape
    groups = _groups(width, k) if a.device.type == "cpu" and n else 0
    if not groups:
        found = torch.topk(a, k, dim=-1, sorted=False)
        return found.values, found.indices
    each = width // groups
    largest = a.view(n, each, groups).amax(1)
    chosen = _largest(largest, k)
    candidates = (torch.arange(each)[:, None] * groups + chosen[:, None, :]).view(n, -1)
    ids = candidates.gather(1, _largest(a.gather(1, candidates), k))
    return a.gather(1, ids), ids


def _largest(values: Tensor, k: int) -> Tensor:
    """Columns [n, k] of the k largest values [n, m]: introselect, several times as fast as torch's heap here."""
    width = values.shape[1]
    if k == width:
        return torch.arange(width).expand(values.shape)
    return torch.from_numpy(np.argpartition(values.numpy(), width - k, axis=-1)[:, width - k :])


def _groups(width: int, k: int) -> int:
    """How many groups make the two searches together shortest; 0 where one search is as good."""
    fitting = [g for g in range(k + 1, width // 2 + 1) if width % g == 0]
    best = min(fitting, key=lambda g: g + k * width // g, default=0)
    return best if best and best + k * width // best < width // 2 else 0


def batch_top_k(a: Tensor, k: int, processes: Processes = ALONE) -> tuple[Entries, Tensor]:
    """The n k largest positive entries of the whole batch a [n, M], and their values (BatchTopK, arXiv 2412.06410).

    Of several processes' rows together, exactly: each sends its own n k largest, n being the rows of all.
    """
    flat = a.reshape(-1)
    wanted = int(processes.summed(torch.tensor(len(a)))[0]) * k
    largest = _largest_of_all(flat, min(wanted, flat.numel()))
    if processes.n > 1:
        pool = processes.gathered(functional.pad(largest, (0, wanted - len(largest)), value=-torch.inf))
        largest = _largest_of_all(pool, wanted)
    active = (a >= largest.min()) & (a > 0)
    indptr = torch.cat([active.new_zeros(1, dtype=torch.int64), active.sum(-1).cumsum(0)])
    return Entries(indptr, active.nonzero()[:, 1]), a[active]


def _largest_of_all(flat: Tensor, n: int) -> Tensor:
    """The n largest of flat [m], in any order."""
    if flat.device.type == "cpu":
        return torch.from_numpy(np.partition(flat.numpy(), len(flat) - n)[len(flat) - n :])
    return torch.topk(flat, n, sorted=False).values


class _Gathered:
    """Products over the entries alone."""

    def __init__(self, entries: Entries, n_features: int):
        self.entries, self.n_features = entries, n_features
        indptr, ids = entries.indptr.numpy(), entries.ids.numpy()
        shape = (len(indptr) - 1, n_features)
        by_feature = sparse.csr_matrix((np.arange(len(ids)), ids, indptr), shape=shape).tocsc()
        self.order = torch.from_numpy(by_feature.data)
        self.rows = torch.from_numpy(by_feature.indices).long()
        self.starts = torch.from_numpy(by_feature.indptr).long()

    def combined(self, values: Tensor, vectors: Tensor) -> Tensor:
        """sum_j value_ij v_j, [n, d], for vectors [M, d]."""
        return functional.embedding_bag(
            self.entries.ids,
            vectors,
            self.entries.indptr,
            per_sample_weights=values,
            mode="sum",
            include_last_offset=True,
        )

    def against(self, left: Tensor, vectors: Tensor) -> Tensor:
        """left_i . v_j of each entry (i, j), for left [n, d] and vectors [M, d]."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "in beta state"
            pattern = torch.sparse_csr_tensor(
                self.entries.indptr,
                self.entries.ids,
                left.new_zeros(len(self.entries.ids)),
                (len(left), self.n_features),
                check_invariants=False,
            )
            return torch.sparse.sampled_addmm(pattern, left, vectors.t(), beta=0.0).values()

    def summed(self, values: Tensor, left: Tensor) -> Tensor:
        """sum_i value_ij left_i of each feature j, [M, d], for left [n, d]."""
        return functional.embedding_bag(
            self.rows,
            left,
            self.starts,
            per_sample_weights=values[self.order],
            mode="sum",
            include_last_offset=True,
        )

    def totals(self, values: Tensor) -> Tensor:
        """sum_i value_ij of each feature j, [M]."""
        return values.new_zeros(self.n_features).index_add_(0, self.entries.ids, values)


class _Dense:
    """The same as products of whole matrices, in `dtype`."""

    def __init__(self, entries: Entries, n_features: int, dtype: torch.dtype):
        self.entries, self.n_features, self.dtype = entries, n_features, dtype
        self.rows = entries.rows

    def _spread(self, values: Tensor) -> Tensor:
        zeros = values.new_zeros(len(self.entries.indptr) - 1, self.n_features, dtype=self.dtype)
        return zeros.index_put_((self.rows, self.entries.ids), values.to(self.dtype))

    def combined(self, values: Tensor, vectors: Tensor) -> Tensor:
        return (self._spread(values) @ vectors.to(self.dtype)).float()

    def against(self, left: Tensor, vectors: Tensor) -> Tensor:
        return (left.to(self.dtype) @ vectors.to(self.dtype).t())[self.rows, self.entries.ids].float()

    def summed(self, values: Tensor, left: Tensor) -> Tensor:
        return (self._spread(values).t() @ left.to(self.dtype)).float()

    def totals(self, values: Tensor) -> Tensor:
        return values.new_zeros(self.n_features).index_add_(0, self.entries.ids, values)


@dataclass(frozen=True)
class Figures:
    """What a step saw, each a scalar or [M] tensor on the device: asking for a number waits for it."""

    loss: Tensor
    """fraction of the batch's variance unexplained"""
    differences: Tensor
    """fraction of the differences between paired rows unexplained"""
    fired: Tensor
    """positions of the batch at which each feature is active, int64 [M]"""
    n_dead: int
    """features dead before the step"""


class Dictionary:
    """Master weights of an SAE in training, float32: `columns` (W_dec transposed) and `encoder` [M, d], the biases.

    `kind` is "topk" or "batch-topk" with `k`; `dead_after` and `aux_k` are those of `SAEConfig`. `dtype` is that of
    the dense products. `dense` overrules which of the two ways of multiplying is taken. Each of `processes` has a share
    of every batch and ends a step with the weights of all the others.
    """

    def __init__(
        self,
        columns: Tensor,
        pre_bias: Tensor,
        *,
        k: int,
        kind: str = "topk",
        lr: float,
        aux_k: int,
        dead_after: int,
        dtype: torch.dtype | None = None,
        dense: bool | None = None,
        processes: Processes = ALONE,
    ):
        device = columns.device
        self.kind, self.k, self.aux_k, self.dead_after = kind, k, aux_k, dead_after
        self.processes = processes
        self.dtype = dtype or (torch.bfloat16 if native_bfloat16(device) else torch.float32)
        self.dense = device.type != "cpu" if dense is None else dense
        self.columns = functional.normalize(columns.float(), dim=1)
        self.encoder = self.columns * ENCODER_NORM
        self.pre_bias = pre_bias.float().clone()
        self.latent_bias = torch.zeros(len(columns), device=device)
        self.silent = torch.zeros(len(columns), dtype=torch.int64, device=device)
        self.optimiser = torch.optim.Adam(self.weights.values(), lr=lr, betas=(0.9, 0.999), fused=True)

    @property
    def weights(self) -> dict[str, Tensor]:
        """What is trained, by name."""
        names = ("columns", "encoder", "pre_bias", "latent_bias")
        return {name: getattr(self, name) for name in names}

    @property
    def n_features(self) -> int:
        return len(self.columns)

    def pre_activations(self, centred: Tensor) -> Tensor:
        """a, float32 [n, M], of x - b_pre [n, d]."""
        if self.dtype == torch.float32:
            return torch.addmm(self.latent_bias, centred, self.encoder.t())
        product = centred.to(self.dtype) @ self.encoder.to(self.dtype).t()
        return product.float().add_(self.latent_bias)

    def active(self, a: Tensor) -> tuple[Entries, Tensor]:
        """Which features are active, and their activations."""
        if self.kind == "batch-topk":
            return batch_top_k(a, self.k, self.processes)
        values, ids = top_k(a, self.k)
        return Entries.even(ids), values.reshape(-1)

    def _products(self, entries: Entries) -> _Gathered | _Dense:
        if self.dense:
            return _Dense(entries, self.n_features, self.dtype)
        return _Gathered(entries, self.n_features)

    @torch.no_grad()
    def step(
        self, x: Tensor, variance: Tensor, lr: float, *, n_pairs: int = 0, difference_weight: float = 0.0
    ) -> Figures:
        """One step of Adam on x [n, d], of which the last 2 n_pairs rows are pairs (left ones first).

        The loss is |x_hat - x|^2 / `variance`, plus 1/32 of the auxiliary loss where features are dead, plus
        `difference_weight` times the part of the pairs' differences that is not explained. Of several processes each
        gives x, `variance` and n_pairs of its own share; the loss is that of the whole batch.
        """
        figures = self.gradients(x, variance, n_pairs=n_pairs, difference_weight=difference_weight)
        self.update(lr)
        return figures

    @torch.no_grad()
    def gradients(
        self, x: Tensor, variance: Tensor, *, n_pairs: int = 0, difference_weight: float = 0.0
    ) -> Figures:
        """Set the gradient of every weight; `silent` is brought up to date."""
        centred = x - self.pre_bias
        a = self.pre_activations(centred)
        entries, values = self.active(a)
        products = self._products(entries)
        residual = products.combined(values, self.columns).sub_(centred)
        left, right = slice(len(x) - 2 * n_pairs, len(x) - n_pairs), slice(len(x) - n_pairs, len(x))
        size = (x[left] - x[right]).square().sum(-1, keepdim=True).clamp_min(1e-3)
        off = residual[left] - residual[right]
        variance, error, of_pairs, pairs, fired = self.processes.summed(
            variance,
            residual.square().sum(),
            (off.square() / size).sum(),
            residual.new_tensor(n_pairs),
            torch.bincount(entries.ids, minlength=self.n_features),
        )
        wanted = residual * (2 / variance)
        if n_pairs:
            gradient = off * (2 * difference_weight / pairs / size)
            wanted[left] += gradient
            wanted[right] -= gradient
        of_values = products.against(wanted, self.columns)
        columns = products.summed(values, wanted)
        encoder = products.summed(of_values, centred)
        latent = products.totals(of_values)
        self.silent += 1
        self.silent[fired > 0] = 0
        n_dead = int((self.silent > self.dead_after).sum())
        if n_dead and self.aux_k:
            more = self._auxiliary(a, residual, centred, min(self.aux_k, n_dead), error)
            for mine, other in zip((columns, encoder, latent), more, strict=True):
                mine += other
        pre = wanted.sum(0) - latent @ self.encoder
        self.processes.add_up([columns, encoder, latent, pre])
        self.columns.grad, self.encoder.grad, self.latent_bias.grad, self.pre_bias.grad = (
            columns,
            encoder,
            latent,
            pre,
        )
        return Figures(error / variance, of_pairs / pairs.clamp_min(1), fired, n_dead)

    def _auxiliary(
        self, a: Tensor, residual: Tensor, centred: Tensor, k: int, left_over: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients by which dead features predict what the live ones left over, so that they learn to fire.

        `left_over` is |residual|^2 of the whole batch.
        """
        dead = (self.silent > self.dead_after).nonzero()[:, 0]
        values, among = top_k(a[:, dead], k)
        values = values.reshape(-1)
        products = self._products(Entries.even(dead[among]))
        error = products.combined(values, self.columns) + residual
        wanted = error * (2 / 32 / left_over.clamp_min(1e-8))
        of_values = products.against(wanted, self.columns)
        return (
            products.summed(values, wanted),
            products.summed(of_values, centred),
            products.totals(of_values),
        )

    @torch.no_grad()
    def lowest(self, x: Tensor) -> float:
        """The lowest activation among the active ones of x [n, d]."""
        values = self.active(self.pre_activations(x - self.pre_bias))[1]
        lowest = self.processes.least(float(values.min()) if len(values) else math.inf)
        return lowest if math.isfinite(lowest) else 0.0

    @torch.no_grad()
    def update(self, lr: float) -> None:
        """Clip the gradients to norm 1 together, step, and scale the decoder's columns back to unit norm."""
        gradients = [weight.grad for weight in self.weights.values() if weight.grad is not None]
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        if norm > 1:
            torch._foreach_mul_(gradients, 1 / (norm + 1e-6))
        for group in self.optimiser.param_groups:
            group["lr"] = lr
        self.optimiser.step()
        self.columns.div_(torch.linalg.vector_norm(self.columns, dim=1, keepdim=True).clamp_min_(1e-8))

    def state(self) -> dict[str, Tensor]:
        """Everything that a later step depends on, by name; the tensors themselves, not copies."""
        found = {f"weights.{name}": weight for name, weight in self.weights.items()} | {"silent": self.silent}
        for name, weight in self.weights.items():
            for key, value in self.optimiser.state[weight].items():
                found[f"adam.{name}.{key}"] = value
        return found

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from another process's `state`, bit for bit. Raises KeyError and RuntimeError for another shape's."""
        for name, weight in self.weights.items():
            weight.copy_(state[f"weights.{name}"])
            self.optimiser.state[weight] = {
                key: state[f"adam.{name}.{key}"].clone().to(weight.device)  # fused Adam counts there as well
                for key in ("step", "exp_avg", "exp_avg_sq")
            }
        self.silent.copy_(state["silent"])

    def copy_to(self, sae: SAE) -> None:
        """Put the weights into `sae`, whose kind may have more tensors of its own."""
        with torch.no_grad():
            sae.decoder.weight.copy_(self.columns.t())
            sae.encoder.weight.copy_(self.encoder)
            sae.pre_bias.copy_(self.pre_bias)
            sae.latent_bias.copy_(self.latent_bias)
