"""AbsTopK: the values furthest from 0, of either sign, so that a feature has two directions (arXiv 2510.00404)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sarm_core.model.sae.base import SAE
from sarm_core.model.sae.rows import EvenRows
from sarm_core.model.sae.topk import OfK

__all__ = ["AbsTopK"]


@dataclass(frozen=True)
class AbsTopK(OfK):
    """z: the k entries of a with the largest |a|, with their signs."""

    kind: ClassVar[str] = "abstopk"

    def activate(self, sae: SAE, a: Tensor) -> EvenRows:
        ids = torch.topk(a.abs(), self.k, dim=-1, sorted=False).indices
        return EvenRows(ids, a.gather(-1, ids), a.shape[-1])

    @property
    def words(self) -> str:
        return f"k {self.k} of either sign"
