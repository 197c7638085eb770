"""sparsify (EleutherAI): `layers.N/{cfg.json, sae.safetensors}`."""

from __future__ import annotations

from pathlib import Path

from sarm_core.model.dictionaries.base import Format, Plan, Source
from sarm_core.model.sae import AbsTopK, TopK

__all__ = ["Sparsify"]


class Sparsify(Format):
    """a = W_enc (h - b_dec) + b_enc, ReLU, then the k largest. The folder is named for the module that is read."""

    name = "sparsify"
    title = "sparsify"
    files = ("sae.safetensors",)

    def holds(self, file: Path, names: set[str]) -> bool:
        return {"encoder.weight", "encoder.bias", "W_dec", "b_dec"} <= names

    def plan(self, source: Source) -> Plan:
        config = source.config("cfg.json")
        for key, what in (
            ("transcode", "a transcoder: it writes another place than it reads"),
            ("skip_connection", "with a skip connection, so features are not all that it says of h"),
        ):
            if source.flag(config, key, False):
                raise source.refuse(f"{what} (cfg.json: {key})")
        activation = config.get("activation", "topk")
        if activation != "topk":
            raise source.refuse(
                f"activation {activation!r} is not read: its choice is not among all features"
            )
        folder = source.file.parent.name
        hook = folder if "." in folder or folder.startswith("embed") else None
        parts = {
            "encoder.weight": ("encoder.weight", "Md"),
            "latent_bias": ("encoder.bias", "M"),
            "decoder.weight": ("W_dec", "Md"),
            "pre_bias": ("b_dec", "d"),
        }
        stated = {"d": config.get("d_in"), "M": config.get("num_latents")}
        k = source.stated_k(config.get("k"), "cfg.json")
        signed = source.flag(config, "signed", False)  # a setting of the first version, EleutherAI/sae
        return Plan(
            AbsTopK(k, input="as is") if signed else TopK(k, relu=True, input="as is"),
            parts,
            hook=hook,
            layer=source.layer(hook),
            unread=frozenset({"W_skip"}),
            stated={axis: size for axis, size in stated.items() if size},
        )
