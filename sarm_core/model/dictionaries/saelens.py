"""SAELens 6 (`cfg.json`, `sae_weights.safetensors`), as `save_inference_model` and `save_model` write it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from sarm_core.model.dictionaries.base import Format, Plan, Source
from sarm_core.model.dictionaries.folds import (
    at_least_0,
    decoder_norms_folded,
    gate_as_threshold,
    mean_taken_out,
)
from sarm_core.model.sae import AbsTopK, JumpReLU, ReLU, SAEKind, TopK

__all__ = ["SAELens"]

_INPUTS = {"none": "as is", "layer_norm": "layer norm", "constant_norm_rescale": "constant norm"}
_UNFOLDED = {
    "expected_average_only_in": (
        "its input is scaled by a number that is not in the file: fold it (fold_activation_norm_scaling_factor) and "
        "save it again"
    ),
    "covariance_whitening": (
        "its input is whitened by matrices that are not in the file: fold them (fold_activation_whitening) and save it "
        "again"
    ),
}
_OTHERS = {
    "temporal": "its features depend on the tokens before",
    "matching_pursuit": "it chooses features one after another",
}
_SHARED = {
    "encoder.weight": ("W_enc", "dM"),
    "decoder.weight": ("W_dec", "Md"),
    "pre_bias": ("b_dec", "d"),
}
_BIAS = {"latent_bias": ("b_enc", "M")}
_GATES = {"b_gate": ("b_gate", "M"), "b_mag": ("b_mag", "M"), "r_mag": ("r_mag", "M")}
_WITH_LAYER_NORM = (
    "gpt2",
    "gpt-2",
    "pythia",
    "gpt-neo",
    "gpt-j",
    "opt-",
    "bloom",
    "facebook/opt",
    "eleutherai/",
)
"""How names of models begin whose stream TransformerLens centred unless told otherwise"""
Fold = Callable[[dict[str, Tensor]], dict[str, Tensor]]


class SAELens(Format):
    """a = W_enc (x - b_dec, if `apply_b_dec_to_input`) + b_enc; which are active says `architecture`.

    `rescale_acts_by_decoder_norm`: encode() multiplies a by the norms of the decoder rows. A training folder has them
    in W_dec, an inference folder has them folded (they are 1) though the flag stays: folding what is there fits both.

    `model_from_pretrained_kwargs` with `center_writing_weights`: the SAE was trained on TransformerLens' rewritten
    model, whose stream is that of Transformers less its mean over d. That is folded into the encoder. Files of before
    version 6 may not say it (SAELens' own list does, for gpt2-small-res-jb and two more).
    """

    name = "saelens"
    title = "SAELens"
    files = ("sae_weights.safetensors",)

    def holds(self, file: Path, names: set[str]) -> bool:
        return file.suffix == ".safetensors" and {"W_enc", "W_dec", "b_dec"} <= names

    def plan(self, source: Source) -> Plan:
        config = source.config("cfg.json")
        hook = _hook(config)
        about = config.get("metadata")
        stated = {"d": config.get("d_in"), "M": config.get("d_sae")}
        layer = source.layer(hook)
        written = (
            hook_out if isinstance(about, Mapping) and (hook_out := about.get("hook_name_out")) else hook
        )
        if written != hook:
            raise source.refuse(f"a transcoder: it reads {hook} and writes {written}")
        if config.get("reshape_activations", "none") != "none":
            raise source.refuse("it reads the heads of an attention, not the residual stream")
        if source.flag(config, "use_error_term", False):
            raise source.refuse("with an error term, so features are not all that it says of h")
        kind, parts, fold = self._kind(source, config)
        if (
            self._of_centred_stream(source, config) and kind.input != "layer norm"
        ):  # which takes the mean out itself
            if kind.input != "as is":
                raise source.refuse(f"its input is the centred stream with {kind.input}, which is not read")
            fold = _both(fold, partial(mean_taken_out, centred=kind.centred))
        return Plan(
            kind,
            parts,
            fold,
            hook=hook,
            layer=layer,
            unread=frozenset({"topk_threshold"}) if "k" in kind.changed() else frozenset(),
            stated={axis: size for axis, size in stated.items() if size},
        )

    def _kind(
        self, source: Source, config: Mapping[str, Any]
    ) -> tuple[SAEKind, dict[str, tuple[str, str]], Fold]:
        named = str(config.get("architecture", "standard"))
        activation = config.get("activation_fn_str", config.get("activation_fn", "relu"))  # before version 6
        if named == "standard" and activation == "topk":
            named = "topk"
        shared: dict[str, Any] = {
            "input": self._input(source, config),
            "centred": source.flag(config, "apply_b_dec_to_input", True),
        }
        rescaled = source.flag(config, "rescale_acts_by_decoder_norm", False)
        if named in ("topk", "abstopk"):
            k = config.get("k")
            given = config.get("activation_fn_kwargs")
            if k is None and isinstance(given, Mapping):
                k = given.get("k")
            k = source.stated_k(k, "cfg.json")
            kind = AbsTopK(k, **shared) if named == "abstopk" else TopK(k, relu=True, **shared)
            return kind, _SHARED | _BIAS, decoder_norms_folded if rescaled else dict
        if named in ("batchtopk", "matryoshka_batchtopk"):
            raise source.refuse(
                f"a training folder of {named}, whose features depend on the batch: save it with save_inference_model"
            )
        if rescaled and named in ("standard", "gated"):
            raise source.refuse(f"rescale_acts_by_decoder_norm is not read for architecture {named!r}")
        if named == "standard" and activation == "relu":
            return ReLU(**shared), _SHARED | _BIAS, dict
        if named == "jumprelu":
            return JumpReLU(**shared), _SHARED | _BIAS | {"threshold": ("threshold", "M")}, at_least_0
        if named == "gated":
            return JumpReLU(**shared), _SHARED | _GATES, gate_as_threshold
        if "transcoder" in named:
            raise source.refuse("a transcoder: it writes another place than it reads")
        why = _OTHERS.get(named, f"architecture {named!r} with activation {activation!r} is not known here")
        raise source.refuse(why if named not in _OTHERS else f"architecture {named!r}: {why}")

    def _of_centred_stream(self, source: Source, config: Mapping[str, Any]) -> bool:
        """Whether it reads h less its mean. Raises CheckpointError where an old file does not say."""
        about = config.get("metadata")
        places = [about if isinstance(about, Mapping) else {}, config]
        stated = next(
            (p["model_from_pretrained_kwargs"] for p in places if "model_from_pretrained_kwargs" in p), None
        )
        if isinstance(stated, Mapping):
            return source.flag(stated, "center_writing_weights", False)
        if stated is not None:
            raise source.refuse(f"model_from_pretrained_kwargs is {stated!r}, not an object")
        model = str(config.get("model_name", "")).lower()
        if not isinstance(about, Mapping) and model.startswith(_WITH_LAYER_NORM):
            raise source.refuse(
                f"cfg.json does not say whether {model[:40]} was read with its stream centred, as TransformerLens did: "
                'add "model_from_pretrained_kwargs": {"center_writing_weights": true} (gpt2-small-res-jb) or false'
            )
        return False

    def _input(self, source: Source, config: Mapping[str, Any]) -> str:
        named = config.get("normalize_activations") or "none"
        named = "expected_average_only_in" if named is True else str(named)  # a bool before version 4
        if named not in _INPUTS:
            raise source.refuse(_UNFOLDED.get(named, f"normalize_activations {named!r} is not known here"))
        return _INPUTS[named]


def _both(first: Fold, second: Fold) -> Fold:
    return lambda tensors: second(first(tensors))


def _hook(config: Mapping[str, Any]) -> str | None:
    about = config.get("metadata")
    places = (about if isinstance(about, Mapping) else {}), config
    found = (place.get(key) for place in places for key in ("hook_name", "hook_point"))
    hook = next((value for value in found if value), None)
    return None if hook is None else str(hook)
