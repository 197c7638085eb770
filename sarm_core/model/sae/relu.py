"""ReLU: the first sparse autoencoders (arXiv 2309.08600)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from sarm_core.model.sae.base import SAE, SAEKind
from sarm_core.model.sae.rows import Rows

__all__ = ["ReLU"]


@dataclass(frozen=True)
class ReLU(SAEKind):
    """z = max(a, 0)."""

    kind: ClassVar[str] = "relu"

    def activate(self, sae: SAE, a: Tensor) -> Rows:
        return Rows.where(~(a <= 0), a)  # what overflowed to NaN has to stay visible

    @property
    def words(self) -> str:
        return "those above 0"
