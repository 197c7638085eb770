"""Gemma Scope (Google DeepMind): `layer_N/width_W/average_l0_K/params.npz`, in repositories named for the place."""

from __future__ import annotations

import re
from pathlib import Path

from sarm_core.model.dictionaries.base import Format, Plan, Source
from sarm_core.model.dictionaries.folds import at_least_0
from sarm_core.model.sae import JumpReLU

__all__ = ["GemmaScope"]

_BLOCK = re.compile(r"layer_(\d+)(?=/|$)")
_PLACE = re.compile(r"gemma-scope-[\w.-]*?-(res|mlp|att|transcoders)(?=[-/]|$)")
_OTHER = {
    "mlp": "the output of an MLP",
    "att": "the heads of an attention",
    "transcoders": "the input of an MLP",
}


class GemmaScope(Format):
    """JumpReLU: a = W_enc h + b_enc where a > threshold; b_dec is not subtracted, nothing is normalised.

    No file says what is read: the repository's name does (`-res`), and the folder's, which block. Without both, L is
    what the caller gives.
    """

    name = "gemma-scope"
    title = "Gemma Scope"
    files = ("params.npz",)

    def holds(self, file: Path, names: set[str]) -> bool:
        return file.suffix == ".npz" and {"W_enc", "W_dec", "b_enc", "b_dec", "threshold"} <= names

    def plan(self, source: Source) -> Plan:
        place, block = _PLACE.findall(source.words), _BLOCK.findall(source.words)
        if place and place[-1] in _OTHER:
            raise source.refuse(
                f"it reads {_OTHER[place[-1]]}, which is not the residual stream behind a block"
            )
        if "/embedding/" in source.words:
            raise source.refuse("it reads the embeddings, before any block has run")
        hook = f"blocks.{block[-1]}.hook_resid_post" if place and block else None
        return Plan(
            JumpReLU(input="as is", centred=False),
            {
                "encoder.weight": ("W_enc", "dM"),
                "decoder.weight": ("W_dec", "Md"),
                "latent_bias": ("b_enc", "M"),
                "pre_bias": ("b_dec", "d"),
                "threshold": ("threshold", "M"),
            },
            at_least_0,
            hook=hook,
            layer=source.layer(hook),
        )
