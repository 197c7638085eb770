"""Llama Scope (OpenMOSS, fnlp): `hyperparams.json` and `checkpoints/final.safetensors`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sarm_core.model.dictionaries.base import Format, Plan, Source
from sarm_core.model.dictionaries.folds import decoder_norms_folded
from sarm_core.model.sae import JumpReLU, ReLU, SAEKind, TopK

__all__ = ["LlamaScope"]

_PARTS = {
    "encoder.weight": ("encoder.weight", "Md"),
    "latent_bias": ("encoder.bias", "M"),
    "decoder.weight": ("decoder.weight", "dM"),
    "pre_bias": ("decoder.bias", "d"),
}


class LlamaScope(Format):
    """JumpReLU with one threshold, over h times s = sqrt(d) / its mean length in the training data.

    As its own code has it (OpenMOSS/Language-Model-SAEs at 4ec6f0aa, October 2024): the threshold is one for unscaled
    h, so s times as much here, and compares a that is multiplied by the norms of the decoder's columns where
    `sparsity_include_decoder_norm` is set. Features are in the units of the scaled input, as SAELens' reader has them;
    that one leaves the norms out, which is the same where they are 1.
    """

    name = "llama-scope"
    title = "Llama Scope"
    files = ("checkpoints/final.safetensors",)

    def holds(self, file: Path, names: set[str]) -> bool:
        return file.suffix == ".safetensors" and {theirs for theirs, _ in _PARTS.values()} <= names

    def plan(self, source: Source) -> Plan:
        config = source.config("hyperparams.json", source.file.parents[1])
        hook, out = config.get("hook_point_in"), config.get("hook_point_out")
        if out not in (None, hook):
            raise source.refuse(f"a transcoder: it reads {hook} and writes {out}")
        if source.flag(config, "use_glu_encoder", False):
            raise source.refuse(
                "its encoder is gated by a second one (use_glu_encoder), which no kind here has"
            )
        layer = source.layer(None if hook is None else str(hook))
        scale, shared = self._input(source, config)
        shared["centred"] = source.flag(config, "apply_decoder_bias_to_pre_encoder", True)
        normed = source.flag(config, "sparsity_include_decoder_norm", True)
        kind, threshold = self._kind(source, config, shared)

        def fold(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            folded = decoder_norms_folded(tensors) if normed else tensors
            if threshold is None:
                return folded
            return {**folded, "threshold": torch.full_like(folded["latent_bias"], threshold * scale)}

        made: Callable[[dict[str, Tensor]], dict[str, Tensor]] = fold
        stated = {axis: size for axis, key in (("d", "d_model"), ("M", "d_sae")) if (size := config.get(key))}
        return Plan(kind, _PARTS, made, hook=None if hook is None else str(hook), layer=layer, stated=stated)

    def _input(self, source: Source, config: Mapping[str, Any]) -> tuple[float, dict[str, Any]]:
        """s, and the settings that say so."""
        how = config.get("norm_activation", "token-wise")
        if how == "token-wise":
            return 1.0, {"input": "constant norm"}
        if how in ("none", "inference"):
            return 1.0, {"input": "as is"}
        if how != "dataset-wise":
            raise source.refuse(f"norm_activation {how!r}: features depend on what else is in the batch")
        norms, width = config.get("dataset_average_activation_norm"), config.get("d_model")
        norm = norms.get("in") if isinstance(norms, Mapping) else None
        numbers = [float(x) for x in (width, norm) if isinstance(x, int | float) and 0 < x < math.inf]
        if len(numbers) != 2:
            raise source.refuse(
                f"dataset_average_activation_norm.in is {norm!r} and d_model {width!r}: its input cannot be scaled"
            )
        scale = math.sqrt(numbers[0]) / numbers[1]
        return scale, {"input": "as is", "factor": scale}

    def _kind(
        self, source: Source, config: Mapping[str, Any], shared: dict[str, Any]
    ) -> tuple[SAEKind, float | None]:
        act, threshold = str(config.get("act_fn", "relu")).lower(), config.get("jump_relu_threshold", 0.0)
        if not isinstance(threshold, int | float) or not math.isfinite(threshold):
            raise source.refuse(f"jump_relu_threshold is {threshold!r}, not a finite number")
        if act == "jumprelu" or (act == "topk" and threshold > 0):
            return JumpReLU(**shared), float(threshold)
        if act == "topk":
            return TopK(source.stated_k(config.get("top_k"), "hyperparams.json"), relu=True, **shared), None
        if act == "relu":
            return ReLU(**shared), None
        raise source.refuse(f"act_fn {act!r} is not known here")
