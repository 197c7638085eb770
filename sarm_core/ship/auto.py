"""Export for `AutoModelForSequenceClassification`: a folder with weights, config, tokenizer and the small class.

The class is `modeling_sarm.py`, copied into the folder; importing it registers the model type "sarm". Who imports
nothing may have Transformers run the file: the config names it (`auto_map`), for `trust_remote_code=True`. `load_sarm`
reads the folder too, also after a trainer has saved it again, and never runs what lies in it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from sarm_core.errors import CheckpointError
from sarm_core.files import whole_folder
from sarm_core.model.backbone import AUTO_TYPE, FINAL_NORM, bare_name
from sarm_core.model.checkpoint import READING, Checkpoint
from sarm_core.model.hf import transformers
from sarm_core.ship.export import block_tensors
from sarm_core.ship.layouts import auto_words
from sarm_core.ship.tokenizer_files import write_tokenizer
from sarm_core.steering import Steering
from sarm_core.text.conversation import SCORED_RULES

__all__ = ["export_auto"]

CODE = Path(__file__).with_name("modeling_sarm.py")
AUTO_MAP = {
    "AutoConfig": "modeling_sarm.SARMConfig",
    "AutoModelForSequenceClassification": "modeling_sarm.SARMForSequenceClassification",
}
"""In the words of Transformers: which class of which file in the folder is whose"""


def export_auto(checkpoint: Checkpoint, steering: Steering, target: str | Path) -> Path:
    """Write a folder whose plain logits equal the steered rewards, into the new folder `target`.

    Scales are folded into the head. Raises SteeringError for what a head cannot express (set, offset),
    SarmError for a target that exists and CheckpointError for a decoder whose tensors this layout cannot name.
    """
    words = auto_words(checkpoint.shape)
    with whole_folder(target) as folder:
        save_file(_tensors(checkpoint, steering), folder / "model.safetensors", metadata={"format": "pt"})
        stated = _config(checkpoint, words)
        (folder / "config.json").write_text(json.dumps(stated, indent=1), encoding="utf-8")
        write_tokenizer(checkpoint, folder)
        shutil.copyfile(CODE, folder / CODE.name)
    return Path(target)


def _tensors(checkpoint: Checkpoint, steering: Steering) -> dict[str, Tensor]:
    head = steering.fold(checkpoint.tensors.read("score.weight")[0].float().numpy())
    tensors = {n: checkpoint.tensors.read(n) for n in checkpoint.tensors.names() if n.startswith("sae.")}
    tensors["score.weight"] = torch.from_numpy(head)[None].contiguous()
    for name, tensor in block_tensors(checkpoint).items():
        if not FINAL_NORM.fullmatch(name):
            tensors[f"model.{bare_name(name)}"] = tensor.contiguous()
    if not any(name.startswith("model.") for name in tensors):
        raise CheckpointError(f"{checkpoint.source}: no tensor of its backbone can be named for this layout")
    return tensors


def _config(checkpoint: Checkpoint, words: Mapping[str, Any]) -> dict[str, Any]:
    shape = checkpoint.shape
    inner = checkpoint.config()
    inner.dtype = None  # stated once, for the whole
    reading = {"rule": checkpoint.rule, "max_length": checkpoint.max_length}
    return {
        "model_type": AUTO_TYPE,
        "architectures": ["SARMForSequenceClassification"],
        "auto_map": AUTO_MAP,
        "backbone": {**_as_json(inner), "model_type": inner.model_type},
        "layer": shape.layer,
        "n_features": shape.n_features,
        **words,
        "scored_token_ids": _scored_ids(checkpoint),
        "num_labels": 1,
        "pad_token_id": getattr(inner, "pad_token_id", None),
        READING: {key: value for key, value in reading.items() if value is not None},
        "transformers_version": transformers.__version__,
        "dtype": str(checkpoint.stored_dtype()).removeprefix("torch."),
    }


def _as_json(config: Any) -> dict[str, Any]:
    """A config as JSON can hold it: infinity is written in Transformers' own way."""
    found: dict[str, Any] = json.loads(config.to_json_string(use_diff=False))
    return found


def _scored_ids(checkpoint: Checkpoint) -> list[int]:
    """Token ids of which the last one is scored; none where the last token is."""
    tokenizer = checkpoint.tokenizer()
    if tokenizer is None or checkpoint.rule == "last-token":
        return []
    if checkpoint.rule in SCORED_RULES:
        ends = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}
        return sorted(int(i) for i in set(tokenizer.all_special_ids) - ({tokenizer.unk_token_id} - ends))
    return [int(tokenizer.convert_tokens_to_ids(checkpoint.rule))]
