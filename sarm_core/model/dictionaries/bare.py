"""The reference implementation's bare SAE: a torch or safetensors file with the four tensors and no settings."""

from __future__ import annotations

import re
from pathlib import Path

from sarm_core.model.dictionaries.base import Format, Plan, Source
from sarm_core.model.sae import SAEKind, TopK

__all__ = ["Bare"]

_K = re.compile(r"_K(\d+)(?=[_.\-/]|$)")
_LAYER = re.compile(r"_Layer(\d+)(?=[_.\-/]|$)")


class Bare(Format):
    """TopK over the standardised input [SARM, eq. 1-2]. k and L stand in names like `..._Layer16_K192`, if at all."""

    name = "bare"
    title = "the paper's code"
    files = ("sae.safetensors", "sae.pt")

    def holds(self, file: Path, names: set[str]) -> bool:
        return set(SAEKind.TENSORS) <= names

    def plan(self, source: Source) -> Plan:
        k, layer = (
            found[-1] if (found := pattern.findall(source.words)) else None for pattern in (_K, _LAYER)
        )
        if "-woTopK" in source.words:
            raise source.refuse(
                "its name says woTopK: every feature is active, which is no sparse dictionary"
            )
        return Plan(
            TopK(source.stated_k(None if k is None else int(k), "its name")),
            {name: (name, "".join(axes)) for name, axes in SAEKind.TENSORS.items()},
            layer=None if layer is None else int(layer),
        )
