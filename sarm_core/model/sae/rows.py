"""What an SAE makes of n positions: sparse rows of any length, the CSR that a `FeatureMatrix` is.

`Rows` can hold the result of any kind. Two shapes with less bookkeeping stand beside it: `EvenRows`, where every row
has the same number of entries (TopK), and `FullRows`, where every feature is active. They make indices only when asked.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

__all__ = ["EvenRows", "FullRows", "Rows"]


class Rows:
    """Active features of n positions over M features.

    Position i has the features `ids[indptr[i] : indptr[i + 1]]` (int64, in any order, none twice) and, at the same
    places, their activations `values`. Gradients flow through `values`.
    """

    def __init__(self, indptr: Tensor, ids: Tensor, values: Tensor, n_features: int):
        self.indptr, self.ids, self.values, self.n_features = indptr, ids, values, n_features

    @classmethod
    def where(cls, active: Tensor, z: Tensor) -> Rows:
        """The entries of z [n, M] at which `active`, bool [n, M], is true."""
        counts = active.sum(-1)
        indptr = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        return cls(indptr, active.nonzero()[:, 1], z[active], z.shape[-1])

    @classmethod
    def chosen(cls, kept: Tensor, ids: Tensor, values: Tensor, n_features: int) -> Rows:
        """Of k candidates a position, ids and values [n, k], those that are `kept`, bool [n, k]."""
        counts = kept.sum(-1)
        indptr = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        return cls(indptr, ids[kept], values[kept], n_features)

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def positions(self) -> Tensor:
        """Which position each entry belongs to, int64 [entries]."""
        n = torch.arange(len(self), device=self.indptr.device)
        return n.repeat_interleave(self.indptr.diff())

    def dense(self) -> Tensor:
        """z, [n, M], 0 where a feature is silent."""
        zeros = self.values.new_zeros(len(self), self.n_features)
        return zeros.index_put((self.positions, self.ids), self.values)

    def weighted(self, weights: Tensor) -> Tensor:
        """sum_i w_i z_i of each position, [n], for weights [M]."""
        zeros = self.values.new_zeros(len(self))
        return zeros.index_add(0, self.positions, weights[self.ids] * self.values)

    def combined(self, vectors: Tensor) -> Tensor:
        """sum_i z_i v_i of each position, [n, d], for vectors [M, d]; gathers them instead of multiplying zeros."""
        return nn.functional.embedding_bag(
            self.ids,
            vectors,
            self.indptr,
            per_sample_weights=self.values.to(vectors.dtype),
            mode="sum",
            include_last_offset=True,
        )

    def of(self, features: Tensor) -> Tensor:
        """z of chosen features, [n, len(features)], 0 where one is silent; a feature may be asked for twice."""
        chosen, back = features.unique(return_inverse=True)
        column = features.new_full((self.n_features,), -1)
        column[chosen] = torch.arange(len(chosen), device=features.device)
        columns = column[self.ids]
        hits = (columns >= 0).nonzero()[:, 0]
        out = self.values.new_zeros(len(self), len(chosen))
        out[self.positions[hits], columns[hits]] = self.values[hits]
        return out[:, back]

    def fired(self) -> Tensor:
        """Features that are active at one position at least, int64, ascending."""
        return self.ids.unique()

    def csr(self) -> sparse.csr_matrix:
        """The same as scipy CSR, float32 [n, M], features ascending within a row."""
        ids = self.ids.cpu().numpy().astype(np.int32)
        values = self.values.detach().float().cpu().numpy()
        out = sparse.csr_matrix((values, ids, self.indptr.cpu().numpy()), (len(self), self.n_features))
        out.sort_indices()
        return out


class EvenRows(Rows):
    """k active features at every position: their ids int64 [n, k] and activations [n, k]."""

    def __init__(self, ids: Tensor, values: Tensor, n_features: int):
        self.table, self.activations, self.n_features = ids, values, n_features

    @property
    def indptr(self) -> Tensor:  # type: ignore[override]
        """int64 [n + 1]."""
        n, k = self.table.shape
        return torch.arange(n + 1, device=self.table.device) * k

    @property
    def ids(self) -> Tensor:  # type: ignore[override]
        """int64 [n k]."""
        return self.table.reshape(-1)

    @property
    def values(self) -> Tensor:  # type: ignore[override]
        """[n k]."""
        return self.activations.reshape(-1)

    def __len__(self) -> int:
        return len(self.table)

    def dense(self) -> Tensor:
        zeros = self.activations.new_zeros(len(self), self.n_features)
        return zeros.scatter(-1, self.table, self.activations)

    def weighted(self, weights: Tensor) -> Tensor:
        return (weights[self.table] * self.activations).sum(-1)

    def combined(self, vectors: Tensor) -> Tensor:
        return nn.functional.embedding_bag(
            self.table, vectors, per_sample_weights=self.activations.to(vectors.dtype), mode="sum"
        )

    def csr(self) -> sparse.csr_matrix:
        table, order = self.table.sort(dim=-1)
        values = self.activations.detach().gather(-1, order).float().cpu().numpy()
        n, k = values.shape
        return sparse.csr_matrix(
            (values.ravel(), table.cpu().numpy().astype(np.int32).ravel(), np.arange(0, n * k + 1, k)),
            shape=(n, self.n_features),
        )


class FullRows(EvenRows):
    """Every feature is active at every position: activations [n, M]."""

    def __init__(self, activations: Tensor):
        self.activations, self.n_features = activations, activations.shape[-1]

    @property
    def table(self) -> Tensor:  # type: ignore[override]
        """int64 [n, M]."""
        return torch.arange(self.n_features, device=self.activations.device).expand(self.activations.shape)

    def __len__(self) -> int:
        return len(self.activations)

    def dense(self) -> Tensor:
        return self.activations

    def weighted(self, weights: Tensor) -> Tensor:
        return self.activations @ weights

    def combined(self, vectors: Tensor) -> Tensor:
        return self.activations @ vectors

    def of(self, features: Tensor) -> Tensor:
        return self.activations[:, features]

    def fired(self) -> Tensor:
        return torch.arange(self.n_features if len(self) else 0, device=self.activations.device)

    def csr(self) -> sparse.csr_matrix:
        n = len(self)
        ids = np.tile(np.arange(self.n_features, dtype=np.int32), n)
        values = self.activations.detach().float().cpu().numpy().ravel()
        return sparse.csr_matrix(
            (values, ids, np.arange(0, n * self.n_features + 1, self.n_features)), (n, self.n_features)
        )
