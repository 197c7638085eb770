"""What a file or a folder is, told from names, keys and headers; the numbers of a dictionary are looked through.

Kinds: sarm/own, sarm/reference, sarm/auto; reward-model, language-model; adapter; trainer-folder; sae/NAME for each
format in `dictionaries.registry`; gguf, git-lfs-pointer, feature-store, tensors, unknown. A problem is what loading
refuses, in its words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sarm_core.errors import CheckpointError
from sarm_core.model.backbone import backbone_config, block_of
from sarm_core.model.checkpoint import CONFIG_NAME, find_folder, is_hub_id, open_checkpoint
from sarm_core.model.dictionaries.base import Format, Source
from sarm_core.model.dictionaries.loading import DEEPEST, find_sae, open_one, sources
from sarm_core.model.dictionaries.tensors import SUFFIXES, Tensors
from sarm_core.model.other_folders import ADAPTERS, TRAIN, build_of, build_on, is_reward_class, steps_inside
from sarm_core.model.sae import SAEKind
from sarm_core.model.tensor_files import INDEX_NAME, TensorFiles, read_json

__all__ = ["Inspection", "inspect_path"]

USE = "score, compare, evaluate, steer and export it: --model PATH"


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
    whole = str(source) == "demo" or (is_hub_id(str(source)) and not Path(source).expanduser().is_file())
    there = find_folder(source) if whole else find_sae(source)
    try:
        return _file(there, str(source)) if there.is_file() else _folder(there, str(source))
    except CheckpointError as error:
        return Inspection("unknown", "not what it seems", problem=str(error))


# -- files -------------------------------------------------------------------------------------------------


def _file(path: Path, source: str) -> Inspection:
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
    if path.suffix in SUFFIXES or head.startswith(b"PK"):
        return _of_tensors(path, source)
    if path.suffix in (".pth", ".bin", ".pkl", ".ckpt"):
        return Inspection(
            "unknown",
            "not the zip file that torch writes; a pickle of old could run code",
            problem=f"{path}: is not read",
        )
    return Inspection("unknown", "no model, dictionary or adapter that is known here")


def _of_tensors(path: Path, source: str) -> Inspection:
    names = Tensors(path).names()
    if any(".lora_A." in name or ".lora_B." in name for name in names):
        return _adapter(path)
    found = list(sources(path, source))
    if found:
        return _dictionary(*found[0])
    blocks = any(re.search(r"(layers|h|blocks)\.\d+\.", name) for name in names)
    what = "weights of a model: give its folder" if blocks else "tensors that are no dictionary known here"
    return Inspection("tensors", what, {"tensors": len(names)})


# -- folders -----------------------------------------------------------------------------------------------


def _folder(folder: Path, source: str) -> Inspection:
    for look in (_sarm_of, _adapter_of, _dictionary_of, _model_of, _trainer_of, _dictionaries_below):
        found = look(folder, source)
        if found is not None:
            return found
    pointer = next(
        (file for file in folder.glob("*.safetensors") if _file(file, source).kind == "git-lfs-pointer"), None
    )
    if pointer is not None:
        return _file(pointer, source)
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
        "reads": None if shape.sae.reads == SAEKind.input else shape.sae.reads,
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
    return _dictionaries(folder, list(sources(folder, source, deepest=0)))


def _dictionaries_below(folder: Path, source: str) -> Inspection | None:
    return _dictionaries(folder, list(sources(folder, source, deepest=DEEPEST)))


def _dictionaries(folder: Path, found: list[tuple[Format, Source]]) -> Inspection | None:
    if len(found) < 2:
        return _dictionary(*found[0]) if found else None
    kinds = {each.name for each, _ in found}
    inside = [str(source.file.relative_to(folder)) for _, source in found]
    facts: dict[str, Any] = {"files": inside}
    try:
        open_one(folder, found, None)
    except CheckpointError as error:
        what = f"{len(found)} dictionaries, one a block"
        return Inspection(f"sae/{kinds.pop()}", what, facts, (f"name one: {inside[0]}",), str(error))
    return None


def _dictionary(each: Format, source: Source) -> Inspection:
    """A dictionary as `load_sae` has it, or why it does not."""
    kind = f"sae/{each.name}"
    try:
        opened = open_one(source.file, [(each, source)], None)
        opened.check_numbers()
    except CheckpointError as error:
        return Inspection(kind, "a dictionary that cannot be used as it is", problem=str(error))
    facts = {
        "n_features": opened.n_features,
        "width": opened.width,
        "active": opened.plan.kind.words,
        "reads": opened.plan.kind.reads,
        "hook": opened.plan.hook,
        "layer": opened.layer,
    }
    build = build_of(source.file)
    if opened.layer is None:
        build += " --layer L (the file does not say where it reads)"
    return Inspection(
        kind,
        "a sparse autoencoder (a dictionary of features) without model and reward head",
        {key: value for key, value in facts.items() if value is not None},
        (build,),
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
    reward = is_reward_class(architecture)
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
    return Inspection(kind, what, facts, () if problem else (build_on(source, reward), TRAIN), problem)


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
