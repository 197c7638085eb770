"""TopK, the kind of the paper [SARM, eq. 2], and the one of public dictionaries, which keep no negative values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from sarm_core.errors import CheckpointError
from sarm_core.model.sae.base import SAE, ReferenceWords, SAEKind
from sarm_core.model.sae.rows import EvenRows, Rows

__all__ = ["OfK", "TopK"]


@dataclass(frozen=True)
class OfK(SAEKind):
    """A kind that chooses k features at every position."""

    k: int
    """Active features per position"""

    def check(self, n_features: int) -> None:
        super().check(n_features)
        if not 1 <= self.k <= n_features:
            raise ValueError(f"k = {self.k} is not between 1 and the {n_features} features of the dictionary")

    @classmethod
    def from_stated(cls, stated: Mapping[str, Any], place: str) -> Self:
        k = stated.get("k")
        if type(k) is not int or k < 1:
            raise CheckpointError(f"{place}: k is {k!r}, not a positive whole number")
        return super().from_stated(stated, place)


@dataclass(frozen=True)
class TopK(OfK):
    """z: the k largest SIGNED entries of a. No ReLU: a negative value can survive.

    With `relu` only those of the k that are positive are active, so rows have k entries at most. A ReLU before the
    choice (sparsify, dictionary-learning) or behind it (SAELens) makes no other z: what it sets to 0 is silent.
    """

    relu: bool = False
    """Whether a negative value is silent"""
    kind: ClassVar[str] = "topk"

    def activate(self, sae: SAE, a: Tensor) -> Rows:
        values, ids = torch.topk(a, self.k, dim=-1, sorted=False)
        if not self.relu:
            return EvenRows(ids, values, a.shape[-1])
        kept = ~(values <= 0)  # NaN stays visible
        return Rows.chosen(kept, ids, values, a.shape[-1])

    @property
    def words(self) -> str:
        return f"k {self.k}, positive" if self.relu else f"k {self.k}"

    def in_reference(self, n_features: int) -> ReferenceWords | None:
        return ReferenceWords(self.k, True) if self.changed() == {"k": self.k} else None

    def to_stated(self) -> dict[str, Any]:
        stated = super().to_stated()
        return stated if self.relu else {name: value for name, value in stated.items() if name != "relu"}

    def identity(self) -> dict[str, Any]:
        return self.changed()  # k alone: the first kind there was, so its name never stood in a fingerprint
