"""Export for `AutoModelForSequenceClassification`: a folder with weights, config, tokenizer and the small class.

The class is `modeling_sarm.py`, copied into the folder; importing it registers the model type "sarm".
The config names no code to run (`auto_map`), so nobody needs `trust_remote_code`. `load_sarm` reads the folder
too, also after a trainer has saved it again.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import transformers
from safetensors.torch import save_file

from sarm_core.errors import CheckpointError
from sarm_core.files import whole_folder
from sarm_core.model.backbone import FINAL_NORM, reaches
from sarm_core.model.checkpoint import READING, Checkpoint
from sarm_core.model.sae import ReferenceWords
from sarm_core.model.tensor_files import TensorFiles
from sarm_core.ship.export import export, reference_words
from sarm_core.steering import Steering
from sarm_core.text.conversation import SCORED_RULES

__all__ = ["export_auto"]

CODE = Path(__file__).with_name("modeling_sarm.py")


def export_auto(checkpoint: Checkpoint, steering: Steering, target: str | Path) -> Path:
    """Write a folder whose plain logits equal the steered rewards, into the new folder `target`.

    Scales are folded into the head. Raises SteeringError for what a head cannot express (set, offset),
    SarmError for a target that exists and CheckpointError for a decoder whose tensors this layout cannot name.
    """
    words = reference_words(checkpoint.shape, "auto")
    target = Path(target)
    with whole_folder(target) as folder:
        reference = export(checkpoint, steering, folder.with_name(f"{folder.name}.reference"), "reference")
        _convert(checkpoint, words, reference, folder)
    return target


def _convert(checkpoint: Checkpoint, words: ReferenceWords, reference: Path, folder: Path) -> None:
    files = TensorFiles(reference)
    tensors = {}
    for name in files.names():
        if name.startswith(("sae.", "score.")):
            tensors[name] = files.read(name)
        elif reaches(name, checkpoint.shape.layer, False) and not FINAL_NORM.fullmatch(name):
            tensors[f"model.{name.split('.', 1)[1]}"] = files.read(name)
    if not any(name.startswith("model.") for name in tensors):
        raise CheckpointError(f"{checkpoint.source}: no tensor of its backbone can be named for this layout")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    shape = checkpoint.shape
    inner = checkpoint.config()
    inner.dtype = None  # stated once, for the whole
    reading = {"rule": checkpoint.rule, "max_length": checkpoint.max_length}
    stated: dict[str, Any] = {
        "model_type": "sarm",
        "architectures": ["SARMForSequenceClassification"],
        "backbone": {**_as_json(inner), "model_type": inner.model_type},
        "layer": shape.layer,
        "n_features": shape.n_features,
        "k": words.k if words.topk else None,
        "scored_token_ids": _scored_ids(checkpoint),
        "num_labels": 1,
        "pad_token_id": getattr(inner, "pad_token_id", None),
        READING: {key: value for key, value in reading.items() if value is not None},
        "transformers_version": transformers.__version__,
        "dtype": str(checkpoint.stored_dtype()).removeprefix("torch."),
    }
    (folder / "config.json").write_text(json.dumps(stated, indent=1), encoding="utf-8")
    for path in reference.iterdir():
        if path.name not in ("config.json", "model.safetensors") and path.is_file():
            shutil.copyfile(path, folder / path.name)
    shutil.copyfile(CODE, folder / CODE.name)


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
