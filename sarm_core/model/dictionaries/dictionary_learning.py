"""dictionary-learning (S. Marks, A. Karvonen and others): `ae.pt` and `config.json`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sarm_core.model.dictionaries.base import Format, Plan, Source, whole_number
from sarm_core.model.dictionaries.folds import at_least_0, decoder_norms_folded, gate_as_threshold
from sarm_core.model.sae import JumpReLU, ReLU, TopK

__all__ = ["DictionaryLearning"]

_LINEAR = {"encoder.weight": ("encoder.weight", "Md"), "decoder.weight": ("decoder.weight", "dM")}
_TOPK = _LINEAR | {"latent_bias": ("encoder.bias", "M"), "pre_bias": ("b_dec", "d")}
_MATRICES = {
    "encoder.weight": ("W_enc", "dM"),
    "decoder.weight": ("W_dec", "Md"),
    "latent_bias": ("b_enc", "M"),
    "pre_bias": ("b_dec", "d"),
}
_ONE = {"threshold": ("threshold", "")}
_GATED = _LINEAR | {
    "pre_bias": ("decoder_bias", "d"),
    "r_mag": ("r_mag", "M"),
    "b_gate": ("gate_bias", "M"),
    "b_mag": ("mag_bias", "M"),
}
_NAMES = {
    "AutoEncoder": {"encoder.weight", "encoder.bias", "decoder.weight", "bias"},
    "GatedAutoEncoder": {theirs for theirs, _ in _GATED.values()},
    "JumpReluAutoEncoder": {"W_enc", "W_dec", "b_enc", "b_dec", "threshold"},
    "AutoEncoderTopK": {"encoder.weight", "encoder.bias", "decoder.weight", "b_dec", "k"},
    "BatchTopKSAE": {"encoder.weight", "encoder.bias", "decoder.weight", "b_dec", "k", "threshold"},
    "MatryoshkaBatchTopKSAE": {"W_enc", "W_dec", "b_enc", "b_dec", "k", "threshold", "group_sizes"},
}
"""Tensors of each class. A file alone is one of the first three or the last; TopK and BatchTopK have the same."""
_ALONE = ("AutoEncoder", "GatedAutoEncoder", "MatryoshkaBatchTopKSAE", "JumpReluAutoEncoder")


class DictionaryLearning(Format):
    """Features as each class's encode() has them by default: BatchTopK and Matryoshka by their threshold.

    A threshold that no training step has touched is -1: then every positive value is active. `AutoEncoder` is loaded
    with decoder columns of length 1, so the norms are in its features.
    """

    name = "dictionary-learning"
    title = "dictionary-learning"
    files = ("ae.pt",)

    def holds(self, file: Path, names: set[str]) -> bool:
        return file.suffix == ".pt" and any(wanted <= names for wanted in _NAMES.values())

    def plan(self, source: Source) -> Plan:
        config, named = self._class(source)
        hook, layer = self._place(source, config)
        about: dict[str, Any] = {"hook": hook, "layer": layer}
        about["stated"] = {
            axis: size
            for axis, key in (("d", "activation_dim"), ("M", "dict_size"))
            if (size := config.get(key)) is not None
        }
        as_is: dict[str, Any] = {"input": "as is"}
        if named == "AutoEncoder":
            parts = _LINEAR | {"latent_bias": ("encoder.bias", "M"), "pre_bias": ("bias", "d")}
            return Plan(ReLU(**as_is), parts, decoder_norms_folded, **about)
        if named == "GatedAutoEncoder":
            return Plan(JumpReLU(**as_is), _GATED, gate_as_threshold, **about)
        if named == "JumpReluAutoEncoder":
            parts = _MATRICES | {"threshold": ("threshold", "M")}
            return Plan(JumpReLU(**as_is, centred=False), parts, at_least_0, **about)
        about["unread"] = frozenset({"k", "group_sizes", "threshold"})
        if named == "AutoEncoderTopK":
            kind = TopK(source.stated_k(self._k(source, config), "config.json"), relu=True, **as_is)
            return Plan(kind, _TOPK, **about)
        parts = (_MATRICES if named == "MatryoshkaBatchTopKSAE" else _TOPK) | _ONE
        return Plan(JumpReLU(**as_is), parts, at_least_0, **about)

    def _class(self, source: Source) -> tuple[Mapping[str, Any], str]:
        """The trainer's settings and the class; without config.json from the names, where they say it."""
        if not (source.file.parent / "config.json").exists():
            names = source.tensors.names()
            told = next((each for each in _ALONE if _NAMES[each] <= names), None)
            if told is not None:
                return {}, told
        config = source.config("config.json").get("trainer")
        if not isinstance(config, Mapping):
            raise source.refuse("config.json has no trainer, which says what kind of dictionary it is")
        named = config.get("dict_class")
        if not isinstance(named, str) or named not in _NAMES:
            raise source.refuse(f"dict_class is {named!r}; classes that are read: {', '.join(_NAMES)}")
        return config, named

    def _place(self, source: Source, config: Mapping[str, Any]) -> tuple[str | None, int | None]:
        block, hook = config.get("layer"), config.get("submodule_name")
        layer = source.layer(None if hook is None else str(hook))
        if block is None:
            return (None if hook is None else str(hook)), layer
        behind = whole_number(
            block + 1 if type(block) is int else block, f"{source.file}: layer in config.json"
        )
        if layer is not None and layer != behind:
            raise source.refuse(
                f"config.json states layer {block} and submodule_name {hook!r}, which is another"
            )
        return str(hook or f"layers.{block}"), behind

    def _k(self, source: Source, config: Mapping[str, Any]) -> Any:
        stated = config.get("k")
        if "k" not in source.tensors:
            return stated
        k = int(source.tensors.read("k").reshape(-1)[0])
        if stated is not None and stated != k:
            raise source.refuse(f"config.json states k {stated!r}, the file itself {k}")
        return k
