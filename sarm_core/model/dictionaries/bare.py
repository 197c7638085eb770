"""The reference implementation's bare SAE: a torch or safetensors file with the four tensors and no settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sarm_core.model.dictionaries.base import Format, Plan, Source, whole_number
from sarm_core.model.sae import JumpReLU, SAEKind, TopK
from sarm_core.model.tensor_files import read_json

__all__ = ["Bare"]

_SIZES = re.compile(r"_Latent(\d+)_Layer(\d+)_K(\d+)(?=[_.\-/]|$)")


class Bare(Format):
    """TopK over the standardised input [SARM, eq. 1-2], as the paper's code and `train-sae` write it.

    With a `threshold` it is what `train-sae` makes of BatchTopK.
    k and L stand in `report.json` beside it, in a name like `..._Latent65536_Layer16_K192`, or nowhere.
    """

    name = "bare"
    title = "the paper's code"
    files = ("sae.safetensors", "sae.pt")

    def holds(self, file: Path, names: set[str]) -> bool:
        return set(SAEKind.TENSORS) <= names

    def plan(self, source: Source) -> Plan:
        if "-woTopK" in source.words:
            raise source.refuse(
                "its name says woTopK: every feature is active, which is no sparse dictionary"
            )
        stated, where = self._stated(source)
        layer = stated.get("layer")
        if layer is not None:
            layer = whole_number(layer, f"{source.file}: layer in {where}")
        kind = JumpReLU() if "threshold" in source.tensors else TopK(source.stated_k(stated.get("k"), where))
        return Plan(
            kind,
            {name: (name, "".join(axes)) for name, axes in kind.TENSORS.items()},
            layer=layer,
            stated={"M": stated["n_features"]} if "n_features" in stated else {},
        )

    def _stated(self, source: Source) -> tuple[Mapping[str, Any], str]:
        """k, layer and n_features, as far as they are stated, and where."""
        report = source.file.with_name("report.json")
        config = read_json(report).get("config") if report.exists() else None
        if isinstance(config, Mapping):
            return {key: config[key] for key in ("k", "layer", "n_features") if key in config}, report.name
        found = _SIZES.findall(source.words)
        sizes = zip(("n_features", "layer", "k"), map(int, found[-1]), strict=True) if found else ()
        return dict(sizes), "its name"
