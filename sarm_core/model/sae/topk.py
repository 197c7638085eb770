"""TopK, the kind of the paper [SARM, eq. 2]."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from sarm_core.errors import CheckpointError
from sarm_core.model.sae.base import SAE, ReferenceWords, SAEKind
from sarm_core.model.sae.rows import EvenRows

__all__ = ["TopK"]


@dataclass(frozen=True)
class TopK(SAEKind):
    """z: the k largest SIGNED entries of a. No ReLU: a negative value can survive."""

    k: int
    """Active features per position"""
    kind: ClassVar[str] = "topk"

    def activate(self, sae: SAE, a: Tensor) -> EvenRows:
        values, ids = torch.topk(a, self.k, dim=-1, sorted=False)
        return EvenRows(ids, values, a.shape[-1])

    @property
    def words(self) -> str:
        return f"k {self.k}"

    def check(self, n_features: int) -> None:
        if not 1 <= self.k <= n_features:
            raise ValueError(f"k = {self.k} is not between 1 and the {n_features} features of the dictionary")

    def in_reference(self, n_features: int) -> ReferenceWords:
        return ReferenceWords(self.k, True)

    @classmethod
    def from_stated(cls, stated: Mapping[str, Any], place: str) -> Self:
        k = stated.get("k")
        if type(k) is not int or k < 1:
            raise CheckpointError(f"{place}: k is {k!r}, not a positive whole number")
        return cls(k)

    def identity(self) -> dict[str, Any]:
        return {"k": self.k}  # the first kind there was: its name never stood in a fingerprint
