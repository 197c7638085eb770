"""What is known of a model without running it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["ENCODING", "SarmFacts"]

ENCODING = 1  # to be raised when the same weights and text come to give other activations


@dataclass(frozen=True)
class SarmFacts:
    """A model by name, by content and by how it is run: all that a page needs of one whose answers are encoded.

    `sae` is the dictionary as sarm.json states it, `layer` L, `dtype` and `device` those of the backbone.
    """

    source: str
    name: str | None
    fingerprint: str
    encoding_key: str
    n_features: int
    layer: int
    sae: Mapping[str, Any]
    dtype: str
    device: str
    max_length: int

    @property
    def title(self) -> str:
        """The model's own name, else where it comes from."""
        return self.name or self.source

    def as_json(self) -> dict[str, Any]:
        """The fields as JSON has words for them."""
        return {**asdict(self), "sae": dict(self.sae)}
