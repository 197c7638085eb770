"""Writing checkpoints: this project's own layout, and the reference layout, with a steering folded in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file
from torch import Tensor

from sarm_core.errors import CheckpointError
from sarm_core.files import whole_folder
from sarm_core.model.backbone import AUTO_TYPE, FINAL_NORM, QUANTISED, bare_name, base_prefix
from sarm_core.model.checkpoint import CONFIG_NAME, FORMAT, READING, WEIGHTS_NAME, Checkpoint, Shape
from sarm_core.model.sae import SAE
from sarm_core.ship.layouts import reference_words
from sarm_core.ship.older_transformers import config_for_older
from sarm_core.ship.tokenizer_files import copy_tokenizer, padding_is_safe, write_tokenizer
from sarm_core.steering import Steering

__all__ = ["Layout", "block_tensors", "export", "reference_name", "sae_tensors", "write_own"]

Layout = Literal["own", "reference"]


def sae_tensors(sae: SAE, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """The SAE's tensors under their checkpoint names; the two matrices in `dtype`, the biases in float32."""
    tensors = {}
    for name, value in sae.state_dict().items():
        tensors[f"sae.{name}"] = (
            value.detach().cpu().to(dtype or value.dtype) if value.ndim > 1 else value.detach().cpu()
        )
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def write_own(
    folder: Path,
    *,
    shape: Shape,
    tensors: Mapping[str, Tensor],
    head: npt.NDArray[np.float32],
    backbone: str,
    rule: str,
    chat_template: str | None = None,
    max_length: int | None = None,
    name: str | None = None,
) -> None:
    """Write `sarm.json` and `sarm.safetensors` of the own layout into `folder`.

    `backbone` is "demo", a Hub id, or the name of a subfolder that the caller fills.
    """
    stated = {
        "format": FORMAT,
        "name": name,
        "backbone": backbone,
        "layer": shape.layer,
        "n_features": shape.n_features,
        **shape.sae.to_stated(),
        "scored_token": {"rule": rule},
        "chat_template": chat_template,
        "max_length": max_length,
    }
    weights = {
        **tensors,
        "score.weight": torch.from_numpy(np.array(head, dtype=np.float32))[None].contiguous(),
    }
    save_file(weights, folder / WEIGHTS_NAME, metadata={"format": "pt"})
    kept = {key: value for key, value in stated.items() if value is not None}
    (folder / CONFIG_NAME).write_text(json.dumps(kept, indent=1), encoding="utf-8")


def export(checkpoint: Checkpoint, steering: Steering, target: str | Path, layout: Layout = "own") -> Path:
    """Write a complete checkpoint whose plain rewards equal the steered ones, into the new folder `target`.

    Scales are folded into `score.weight`; every other tensor keeps its bytes. Raises SteeringError for what
    a head cannot express (set, offset), SarmError for a target that exists, CheckpointError for a scored token that
    a reader of the reference layout could not find.
    """
    head = checkpoint.tensors.read("score.weight")[0].float().numpy()
    folded = steering.fold(head)
    tensors = {n: checkpoint.tensors.read(n) for n in checkpoint.tensors.names() if n.startswith("sae.")}
    blocks = block_tensors(checkpoint)
    with whole_folder(target) as folder:
        if layout == "own":
            backbone = folder / "backbone"
            backbone.mkdir()
            _write_backbone(checkpoint, backbone, blocks, {})
            copy_tokenizer(checkpoint, backbone)
            write_own(
                folder,
                shape=checkpoint.shape,
                tensors=tensors,
                head=folded,
                backbone="backbone",
                rule=checkpoint.rule,
                chat_template=checkpoint.chat_template,
                max_length=checkpoint.max_length,
                name=checkpoint.name,
            )
        elif layout == "reference":
            prefix = _prefix(checkpoint)
            named = {prefix + bare_name(name): tensor for name, tensor in blocks.items()}
            if "model.embed_tokens.weight" in named and "model.norm.weight" not in named:
                named["model.norm.weight"] = torch.ones(checkpoint.config().hidden_size)
            named = {**named, **tensors, "score.weight": torch.from_numpy(folded)[None].contiguous()}
            _write_backbone(checkpoint, folder, named, _reference_keys(checkpoint))
            write_tokenizer(checkpoint, folder)
        else:
            raise CheckpointError(f"layout {layout!r} is not known: own or reference")
    return Path(target)


def block_tensors(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """The backbone's tensors up to block L and its final norm, under their stored names."""
    files = checkpoint.blocks
    kept = [name for name in files.names() if checkpoint.takes_part(name) or FINAL_NORM.fullmatch(name)]
    if checkpoint.layout == "auto":  # there every decoder's tensors are called model.*
        return {_prefix(checkpoint) + bare_name(name): files.read(name) for name in kept}
    return {name: files.read(name) for name in kept}


def _prefix(checkpoint: Checkpoint) -> str:
    """What a whole model's tensor names put before its backbone's: "model." in Llama and most others."""
    return f"{base_prefix(checkpoint.config())}."


def reference_name(shape: Shape) -> str:
    """A folder name from which scripts of the reference repository read the sizes, as they do of each checkpoint.

    They look for `_Latent…_`, `_Layer…_`, `_K…_` and "TopK"; the last also where it says "woTopK".
    """
    k, topk = reference_words(shape)
    kind = "TopK" if topk else "woTopK"
    return f"steered_Latent{shape.n_features}_Layer{shape.layer}_K{k}_folded-SARM-{kind}-LastToken-1"


def _reference_keys(checkpoint: Checkpoint) -> dict[str, Any]:
    shape = checkpoint.shape
    k, topk = reference_words(shape)
    reading = {"rule": checkpoint.rule, "max_length": checkpoint.max_length}
    padding = {} if padding_is_safe(checkpoint) else {"pad_token_id": None}
    return {
        **padding,
        READING: {key: value for key, value in reading.items() if value is not None},
        "sarm_param": {
            "sae_latent_size": shape.n_features,
            "sae_k": k,
            "sae_source_layer": shape.layer,
            "sae_use_sequence_level": True,
            "sarm_use_activation": topk,
        },
        "num_labels": 1,
    }


def _write_backbone(
    checkpoint: Checkpoint, folder: Path, tensors: Mapping[str, Tensor], extra: Mapping[str, Any]
) -> None:
    config = json.loads((checkpoint.backbone / "config.json").read_text(encoding="utf-8"))
    if config.get("model_type") == AUTO_TYPE:
        config = {**config["backbone"], "dtype": config.get("dtype")}
    config = {**config, **extra}
    for entry in ("auto_map", *QUANTISED):  # weights are written as they are read: plain
        config.pop(entry, None)
    if "vocab_size" in config:  # of the embedding that is written, to which an adapter may have added rows
        config["vocab_size"] = checkpoint.config().vocab_size
    if extra:
        config["architectures"] = [str(config["model_type"]).capitalize() + "SARM"]
        config = config_for_older(config, str(checkpoint.stored_dtype()).removeprefix("torch."))
    (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
    save_file(
        {n: t.contiguous() for n, t in tensors.items()},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
