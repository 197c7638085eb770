"""No selection at all: the reference's "woTopK" checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from sarm_core.model.sae.base import SAE, ReferenceWords, SAEKind
from sarm_core.model.sae.rows import FullRows

__all__ = ["Dense"]


@dataclass(frozen=True)
class Dense(SAEKind):
    """z = a: every feature is active, and signs are mixed."""

    kind: ClassVar[str] = "dense"
    every_feature: ClassVar[bool] = True

    def activate(self, sae: SAE, a: Tensor) -> FullRows:
        return FullRows(a)

    @property
    def words(self) -> str:
        return "every feature"

    def in_reference(self, n_features: int) -> ReferenceWords | None:
        return None if self.changed() else ReferenceWords(n_features, False)

    def identity(self) -> dict[str, Any]:
        return {"k": None, **self.changed()}  # as it was said before kinds had names
