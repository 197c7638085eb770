"""JumpReLU: a threshold for each feature, so every position has its own number of active ones (arXiv 2407.14435)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from sarm_core.model.sae.base import SAE, SAEKind
from sarm_core.model.sae.rows import Rows

__all__ = ["JumpReLU"]


@dataclass(frozen=True)
class JumpReLU(SAEKind):
    """z_i = a_i where a_i > threshold_i, else 0; `threshold` is a tensor of the checkpoint."""

    kind: ClassVar[str] = "jumprelu"
    TENSORS: ClassVar[Mapping[str, tuple[str, ...]]] = {**SAEKind.TENSORS, "threshold": ("M",)}

    def activate(self, sae: SAE, a: Tensor) -> Rows:
        # Not "a > threshold": what overflowed to NaN has to stay visible, and scoring refuses it.
        return Rows.where(~(a <= sae.get_parameter("threshold")), a)

    @property
    def words(self) -> str:
        return "those above their threshold"
