"""What a file or a folder is, told from names, keys and headers: no tensor is read, no pickle is loaded.

Kinds: sarm/own, sarm/reference, sarm/auto; reward-model, language-model; adapter; trainer-folder; sae/saelens,
sae/sparsify, sae/dictionary-learning, sae/qwen-scope, sae/gemma-scope, sae/llama-scope, sae/bare (the paper's tensors);
gguf, git-lfs-pointer, feature-store, tensors, unknown.
"""

from __future__ import annotations

import pickletools
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sarm_core.errors import CheckpointError
from sarm_core.model.backbone import backbone_config, block_of
from sarm_core.model.checkpoint import CONFIG_NAME, find_folder, open_checkpoint
from sarm_core.model.other_folders import ADAPTERS, steps_inside
from sarm_core.model.sae import SAEKind
from sarm_core.model.tensor_files import INDEX_NAME, TensorFiles, read_json

__all__ = ["Inspection", "inspect_path"]

TRAIN = "train-sae and train-reward make a SARM on its blocks"
HEAD = "to score answers it needs a reward head, which is trained on it (train-reward)"
USE = "score, compare, evaluate, steer and export it: --model PATH"
_FORMATS = {
    frozenset({"W_enc", "W_dec", "b_enc", "b_dec"}): "sae/saelens",
    frozenset({"encoder.weight", "encoder.bias", "W_dec", "b_dec"}): "sae/sparsify",
    frozenset({"encoder.weight", "encoder.bias", "decoder.weight", "b_dec"}): "sae/dictionary-learning",
    frozenset(SAEKind.TENSORS): "sae/bare",
}
"""Names that a dictionary's file holds; it may hold more."""
_ENCODERS = {
    "sae/bare": ("encoder.weight", True),
    "sae/saelens": ("W_enc", False),
    "sae/gemma-scope": ("W_enc", False),
}
_ENCODERS |= dict.fromkeys(("sae/sparsify", "sae/dictionary-learning"), ("encoder.weight", True))
_ENCODERS |= {"sae/qwen-scope": ("W_enc", True), "sae/llama-scope": ("encoder.weight", True)}
"""The encoder's name, and whether its first axis counts features."""
_LARGEST_PICKLE = 64 << 20  # bytes; the index of a torch file is far smaller
_LAYERS = (
    (r"blocks\.(\d+)\.hook_resid_post", 1),  # the output of block n is h after n + 1 blocks
    (r"model\.layers\.(\d+)$", 1),
    (r"(?:^|[/_.])layers?[._]?(\d+)(?:[/_.]|$)", 1),
)


@dataclass(frozen=True)
class Inspection:
    """A `kind`, a sentence that says `what` it is, `facts` by name, and what can be done with it."""

    kind: str
    what: str
    facts: dict[str, Any] = field(default_factory=dict)
    can: tuple[str, ...] = ()
    problem: str | None = None
    """Why it cannot be used as it is, in one line."""

    def as_json(self) -> dict[str, Any]:
        """For `--json`: kind, what, the facts, can, and problem where there is one."""
        found = {"kind": self.kind, "what": self.what, **self.facts, "can": list(self.can)}
        return {**found, "problem": self.problem} if self.problem else found


def inspect_path(source: str | Path) -> Inspection:
    """What `source` (a file, a folder, "demo" or a Hub id) is. Raises CheckpointError where there is nothing."""
    path = Path(source).expanduser()
    if str(source) != "demo" and path.is_file():
        return _file(path)
    folder = find_folder(source)
    try:
        return _folder(folder, str(source))
    except CheckpointError as error:
        return Inspection("unknown", "not what it seems", problem=str(error))


# -- files -------------------------------------------------------------------------------------------------


def _file(path: Path) -> Inspection:
    with path.open("rb") as file:
        head = file.read(64)
    if head.startswith(b"version https://git-lfs"):
        return Inspection(
            "git-lfs-pointer",
            "a pointer that Git LFS left instead of the file",
            can=("run `git lfs pull` in the clone",),
        )
    if head.startswith(b"GGUF"):
        return Inspection(
            "gguf",
            "a language model as llama.cpp reads it",
            can=(
                "convert it to a Hugging Face folder with Transformers (gguf_file=...), then train a SARM on it",
            ),
        )
    if head.startswith(b"SQLite format 3\0"):
        return Inspection(
            "feature-store",
            "an SQLite file; a feature store of this project is one",
            can=("python -m feature_db stats FILE", "sarm app --db FILE"),
        )
    if path.suffix == ".safetensors":
        return _of_tensors(path, _safetensors_shapes(path))
    if head.startswith(b"PK"):
        return _of_tensors(path, _zip_shapes(path))
    if path.suffix in (".pt", ".pth", ".bin", ".pkl", ".ckpt"):
        return Inspection(
            "unknown",
            "not the zip file that torch writes; a pickle of old could run code",
            problem=f"{path}: is not read",
        )
    return Inspection("unknown", "no model, dictionary or adapter that is known here")


def _safetensors_shapes(path: Path) -> dict[str, tuple[int, ...] | None]:
    files = TensorFiles(path.parent, path.name)
    return {name: files.shape(name) for name in files.names()}


def _zip_shapes(path: Path) -> dict[str, tuple[int, ...] | None]:
    """Names in a NumPy .npz, with shapes; names in a torch file, from its pickle's opcodes, none of which is run."""
    try:
        with zipfile.ZipFile(path) as opened:
            pickled = [name for name in opened.namelist() if name.endswith("/data.pkl") or name == "data.pkl"]
            if pickled:
                return dict.fromkeys(_texts_of_pickle(opened, pickled[0]), None)
            arrays = [name for name in opened.namelist() if name.endswith(".npy")]
            return {name.removesuffix(".npy"): _npy_shape(opened, name) for name in arrays}
    except (zipfile.BadZipFile, zlib.error, ValueError, OSError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error})") from None


def _texts_of_pickle(opened: zipfile.ZipFile, name: str) -> list[str]:
    with opened.open(name) as file:
        data = file.read(_LARGEST_PICKLE)
    operations = pickletools.genops(data)
    return [value for code, value, _ in operations if "UNICODE" in code.name and isinstance(value, str)]


def _npy_shape(opened: zipfile.ZipFile, name: str) -> tuple[int, ...]:
    with opened.open(name) as file:
        old = np.lib.format.read_magic(file) == (1, 0)
        read = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
        return tuple(read(file)[0])


def _of_tensors(path: Path, shapes: Mapping[str, tuple[int, ...] | None]) -> Inspection:
    if any(".lora_A." in name or ".lora_B." in name for name in shapes):
        return _adapter(path)
    kind = next((kind for names, kind in _FORMATS.items() if names <= set(shapes)), None)
    if kind is None:
        blocks = any(re.search(r"(layers|h|blocks)\.\d+\.", name) for name in shapes)
        what = (
            "weights of a model: give its folder" if blocks else "tensors that are no dictionary known here"
        )
        return Inspection("tensors", what, {"tensors": len(shapes)})
    if kind == "sae/saelens" and path.suffix == ".npz":
        kind = "sae/gemma-scope"
    elif kind == "sae/saelens" and path.suffix == ".pt":
        kind = "sae/qwen-scope"
    return _dictionary(kind, path, _sizes(kind, shapes))


def _sizes(kind: str, shapes: Mapping[str, tuple[int, ...] | None]) -> dict[str, Any]:
    name, features_first = _ENCODERS[kind]
    shape = shapes.get(name) or ()
    if len(shape) != 2:
        return {}
    n_features, width = shape if features_first else shape[::-1]
    return {"n_features": n_features, "width": width}


# -- folders -----------------------------------------------------------------------------------------------


def _folder(folder: Path, source: str) -> Inspection:
    for look in (_sarm_of, _adapter_of, _dictionary_of, _model_of, _trainer_of):
        found = look(folder, source)
        if found is not None:
            return found
    pointer = next(
        (file for file in folder.glob("*.safetensors") if _file(file).kind == "git-lfs-pointer"), None
    )
    if pointer is not None:
        return _file(pointer)
    return Inspection("unknown", "no model, dictionary or adapter that is known here")


def _sarm_of(folder: Path, source: str) -> Inspection | None:
    own = (folder / CONFIG_NAME).exists()
    config = {} if own or not (folder / "config.json").exists() else read_json(folder / "config.json")
    try:
        checkpoint = open_checkpoint(source)
        checkpoint.config()
    except CheckpointError as error:
        meant = "sarm/own" if own else "sarm/auto" if config.get("model_type") == "sarm" else "sarm/reference"
        if own or config.get("model_type") == "sarm" or "sarm_param" in config:
            return Inspection(meant, "a SARM that cannot be used as it is", problem=str(error))
        return None
    shape = checkpoint.shape
    if inside := _low_rank_in(folder, shape.layer):
        kind = f"sarm/{checkpoint.layout}"
        return Inspection(kind, "a SARM that cannot be used as it is", problem=f"{folder}: {inside}")
    facts = {
        "layer": shape.layer,
        "n_features": shape.n_features,
        "active": shape.sae.words,
        "backbone": str(checkpoint.config().model_type),
        "scored_token": checkpoint.rule,
        "max_length": checkpoint.limit(),
        "reads_text": checkpoint.tokenizer() is not None,
        "name": checkpoint.name,
        "adapter": "merged into the weights as they are read" if checkpoint.blocks.adapter else None,
    }
    facts = {key: value for key, value in facts.items() if value is not None}
    return Inspection(
        f"sarm/{checkpoint.layout}", "a SARM: a reward model whose features can be read", facts, (USE,)
    )


def _low_rank_in(folder: Path, layer: int) -> str | None:
    """What is wrong with weights among which an adapter's matrices lie, which loading refuses; None without any."""
    names = TensorFiles(folder).names() if any(folder.glob("*.safetensors")) else []
    found = next((name for name in names if ".lora_" in name and block_of(name) < layer), None)
    return found and (
        f"holds a part of an adapter ({found}) inside: merge it into the weights, or put its adapter_config.json "
        "beside them, for its scale"
    )


def _adapter_of(folder: Path, source: str) -> Inspection | None:
    found = next((folder / name for name in ADAPTERS if (folder / name).exists()), None)
    return _adapter(found) if found is not None else None


def _adapter(path: Path) -> Inspection:
    place = path.with_name("adapter_config.json")
    stated = read_json(place) if place.exists() else {}
    facts = {
        "method": stated.get("peft_type"),
        "base_model": stated.get("base_model_name_or_path"),
        "rank": stated.get("r"),
        "modules_to_save": stated.get("modules_to_save"),
    }
    return Inspection(
        "adapter",
        "an adapter, which changes a base model and is none by itself",
        {key: value for key, value in facts.items() if value is not None},
        ("merge it into its base model (PEFT's merge_and_unload) and save that whole",),
    )


def _dictionary_of(folder: Path, source: str) -> Inspection | None:
    there = {path.name for path in folder.iterdir()}
    if {"cfg.json", "sae_weights.safetensors"} <= there:
        return _stated("sae/saelens", folder / "cfg.json", folder / "sae_weights.safetensors")
    if {"cfg.json", "sae.safetensors"} <= there:
        return _stated("sae/sparsify", folder / "cfg.json", folder / "sae.safetensors")
    if "ae.pt" in there:
        return _stated("sae/dictionary-learning", folder / "config.json", folder / "ae.pt")
    if "hyperparams.json" in there:
        weights = next(iter(sorted((folder / "checkpoints").glob("*.safetensors"))), None)
        return _stated("sae/llama-scope", folder / "hyperparams.json", weights)
    if "params.npz" in there:
        return _file(folder / "params.npz")
    layers = sorted(folder.glob("layer*.sae.pt"))
    if layers:
        found = _file(layers[0])
        return Inspection(
            found.kind, f"{len(layers)} dictionaries, one a block", {"files": len(layers)}, found.can
        )
    inside = sorted(path.name for path in folder.glob("*layers.*") if (path / "sae.safetensors").exists())
    if inside:
        return Inspection(
            "sae/sparsify",
            f"{len(inside)} dictionaries, one a block",
            {"folders": inside},
            (f"name one: {inside[0]}",),
        )
    return None


def _stated(kind: str, config: Path, weights: Path | None) -> Inspection:
    """A dictionary with a config beside it; what neither says is left out."""
    stated = read_json(config) if config.exists() else {}
    trainer = stated.get("trainer")
    stated = {**stated, **(trainer if isinstance(trainer, Mapping) else {})}
    facts: dict[str, Any] = {}
    if weights is not None and weights.suffix == ".safetensors":
        facts |= _sizes(kind, _safetensors_shapes(weights))
    for name, keys in {
        "n_features": ("d_sae", "num_latents", "dict_size", "d_dict"),
        "width": ("d_in", "activation_dim", "d_model"),
        "k": ("k", "top_k"),
        "architecture": ("architecture", "activation", "dict_class", "act_fn"),
        "layer": ("layer",),
    }.items():
        value = next((stated[key] for key in keys if stated.get(key)), None)
        if value is not None:
            facts.setdefault(name, value + 1 if name == "layer" and type(value) is int else value)
    hook = stated.get("hook_name") or stated.get("hook_point_in") or stated.get("hook_point")
    if hook is None and isinstance(stated.get("metadata"), Mapping):
        hook = stated["metadata"].get("hook_name")
    if hook is not None:
        facts["hook"] = str(hook)
    return _dictionary(kind, config.parent, facts)


def _dictionary(kind: str, path: Path, facts: dict[str, Any]) -> Inspection:
    for text in (str(facts.get("hook", "")), path.name):
        for pattern, offset in _LAYERS:
            found = re.search(pattern, text)
            if found and "layer" not in facts:
                facts["layer"] = int(found[1]) + offset
    return Inspection(
        kind, "a sparse autoencoder (a dictionary of features) without model and reward head", facts, (HEAD,)
    )


def _model_of(folder: Path, source: str) -> Inspection | None:
    if not (folder / "config.json").exists():
        return None
    config = read_json(folder / "config.json")
    named = config.get("architectures")
    architecture = str(named[0]) if isinstance(named, list) and named else None
    inner = config.get("text_config") if isinstance(config.get("text_config"), Mapping) else config
    quantised = config.get("quantization_config") or config.get("compression_config")
    facts = {
        "model_type": config.get("model_type"),
        "architecture": architecture,
        "blocks": inner.get("num_hidden_layers") if isinstance(inner, Mapping) else None,
        "width": inner.get("hidden_size") if isinstance(inner, Mapping) else None,
        "quantised": quantised.get("quant_method") if isinstance(quantised, Mapping) else quantised,
    }
    facts = {key: value for key, value in facts.items() if value is not None}
    reward = "Classification" in (architecture or "") or "Reward" in (architecture or "")
    problem = None
    try:
        names = TensorFiles(folder).names()
        if any(name.startswith("sae.") for name in names):
            return Inspection(
                "sarm/reference", "a SARM that does not state its shape", facts, problem=_why(source)
            )
        backbone_config(folder)
    except CheckpointError as error:
        problem = str(error)
    kind = "reward-model" if reward else "language-model"
    what = (
        "an ordinary reward model: one score, no features"
        if reward
        else "a language model without reward head"
    )
    return Inspection(kind, what, facts, () if problem else (TRAIN,), problem)


def _why(source: str) -> str | None:
    try:
        open_checkpoint(source)
    except CheckpointError as error:
        return str(error)
    return None


def _trainer_of(folder: Path, source: str) -> Inspection | None:
    inside = steps_inside(folder)
    sharded = (folder / INDEX_NAME).exists() or any(folder.glob("*.safetensors"))
    if not inside or sharded:
        return None
    return Inspection(
        "trainer-folder",
        "what a trainer wrote, a checkpoint a step",
        {"checkpoints": inside},
        (f"name a checkpoint inside it: {folder / inside[-1]}",),
    )
