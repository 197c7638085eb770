"""Qwen-Scope (Qwen, April 2026): `layer{n}.sae.pt`, one a block, in a repository that is named for k."""

from __future__ import annotations

import re
from pathlib import Path

from sarm_core.model.dictionaries.base import Format, Plan, Source
from sarm_core.model.sae import TopK

__all__ = ["QwenScope"]

_BLOCK = re.compile(r"layer(\d+)\.sae\.pt")
_K = re.compile(r"[-_]L0_(\d+)(?=[_.\-/]|$)")
_PLACE = re.compile(r"SAE-([A-Za-z]+)-Qwen")


class QwenScope(Format):
    """a = W_enc h + b_enc, the k largest; b_dec is not subtracted, nothing is normalised. The file is named for n."""

    name = "qwen-scope"
    title = "Qwen-Scope"
    files = ("layer*.sae.pt",)

    def holds(self, file: Path, names: set[str]) -> bool:
        return file.suffix == ".pt" and names == {"W_enc", "W_dec", "b_enc", "b_dec"}

    def plan(self, source: Source) -> Plan:
        places = [place for place in _PLACE.findall(source.words) if place != "Res"]
        if places:
            raise source.refuse(f"its repository says {places[-1]}, which is not the residual stream (Res)")
        k, block = _K.findall(source.words), _BLOCK.fullmatch(source.file.name)
        hook = f"blocks.{block[1]}.hook_resid_post" if block else None
        return Plan(
            TopK(
                source.stated_k(int(k[-1]) if k else None, "its repository's name (...-L0_50)"),
                relu=True,
                input="as is",
                centred=False,
            ),
            {
                "encoder.weight": ("W_enc", "Md"),
                "decoder.weight": ("W_dec", "dM"),
                "latent_bias": ("b_enc", "M"),
                "pre_bias": ("b_dec", "d"),
            },
            hook=hook,
            layer=source.layer(hook),
        )
