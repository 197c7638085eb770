"""What a folder is that holds no SARM, or not the whole of one, in one line with what can be done about it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sarm_core.errors import CheckpointError
from sarm_core.model.adapters import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from sarm_core.model.dictionaries.registry import weights_in
from sarm_core.model.tensor_files import TensorFiles, read_json

__all__ = [
    "ADAPTERS",
    "TRAIN",
    "build_of",
    "build_on",
    "file_instead",
    "is_reward_class",
    "refuse_adapters",
    "refuse_lost_adapter",
    "refuse_wrapped",
    "steps_inside",
    "without_config",
    "without_shape",
]

ADAPTERS = (ADAPTER_CONFIG, ADAPTER_WEIGHTS, "adapter_model.bin")
TRAIN = "train-sae and train-reward make a SARM on its blocks"
_WRAPPED = {
    "module.": "DistributedDataParallel",
    "_orig_mod.": "torch.compile",
    "base_model.model.": "PEFT",
}
_OR = {"PEFT": f", merged (merge_and_unload), or put the adapter's {ADAPTER_CONFIG} beside it"}


def build_of(sae: str | Path) -> str:
    """What can be done with a dictionary."""
    return (
        "with a decoder and pairs it makes a SARM: sarm build PAIRS.. --backbone MODEL "
        f"--sae {shlex.quote(str(sae))} --out DIR"
    )


def build_on(model: str | Path, own_head: bool) -> str:
    """What can be done with a decoder, or a reward model with a head of its own."""
    beside = ", measured beside its own head" if own_head else ""
    return (
        f"with a dictionary for one of its blocks and pairs it makes a SARM{beside}: sarm build PAIRS.. "
        f"--backbone {shlex.quote(str(model))} --sae SAE --out DIR"
    )


def is_reward_class(architecture: str | None) -> bool:
    """Whether a class of Transformers, by its name, gives scores."""
    return any(word in (architecture or "") for word in ("Classification", "Reward"))


def refuse_adapters(folder: Path) -> None:
    """Raises CheckpointError where an adapter lies in the folder that is not merged when the weights are read."""
    found = [name for name in ADAPTERS if (folder / name).exists()]
    if not found:
        return
    whole = (folder / "config.json").exists() or (folder / "sarm.json").exists()
    if whole and {ADAPTER_CONFIG, ADAPTER_WEIGHTS} <= set(found):
        return  # `TensorFiles` merges it, or says why not
    if whole and found == [ADAPTER_CONFIG] and TensorFiles(folder).adapter is not None:
        return  # it lies among the weights
    base = None
    if not whole and (folder / ADAPTER_CONFIG).exists():
        base = read_json(folder / ADAPTER_CONFIG).get("base_model_name_or_path")
    of = f" of {base[:80]!r}" if isinstance(base, str) and base else ""
    where = "beside the weights" if whole else "and no model"
    raise CheckpointError(
        f"{folder}: holds an adapter ({found[0]}){of} {where}: merge it into its base model "
        "(PEFT's merge_and_unload) and save that whole"
    )


def refuse_lost_adapter(folder: Path, backbone: Path) -> None:
    """Raises CheckpointError for an adapter beside sarm.json that changes weights which lie in another folder."""
    if found := next((name for name in ADAPTERS if (folder / name).exists()), None):
        raise CheckpointError(
            f"{folder}: holds an adapter ({found}) beside sarm.json, where none is read: put it beside the weights of "
            f"the backbone ({backbone}), or merge it into them (PEFT's merge_and_unload)"
        )


def refuse_wrapped(folder: Path, names: Iterable[str]) -> None:
    """Raises CheckpointError for tensor names that still carry the prefix of what the model was wrapped in."""
    for name in names:
        for prefix, wrapper in _WRAPPED.items():
            if name.startswith(prefix):
                raise CheckpointError(
                    f"{folder}: tensor names start with {prefix!r}, as {wrapper} saves them ({name}): "
                    f"save the model that is wrapped{_OR.get(wrapper, '')}"
                )


def steps_inside(folder: Path) -> list[str]:
    """The checkpoints that a trainer left in the folder, by step: "checkpoint-500", "checkpoint-1000"."""
    found = (path.name for path in folder.glob("checkpoint-*") if path.is_dir())
    return sorted(found, key=lambda name: int("0" + "".join(filter(str.isdecimal, name))))


def without_config(folder: Path, own_config: str) -> CheckpointError:
    """The error for a folder with neither this project's config nor a model's."""
    inside = steps_inside(folder)
    if inside:
        return CheckpointError(
            f"{folder}: a trainer's folder; name a checkpoint inside it, {folder / inside[-1]} for example"
        )
    if found := weights_in(folder):
        return _sae_alone(folder, str(found[0].relative_to(folder)))
    return CheckpointError(
        f"{folder}: neither {own_config} nor config.json is there; this is not a SARM checkpoint"
    )


def _sae_alone(path: Path, file: str) -> CheckpointError:
    return CheckpointError(f"{path}: an SAE without model and reward head ({file}); {build_of(path)}")


def file_instead(path: Path) -> CheckpointError:
    """The error for a file where a folder belongs."""
    if path in weights_in(path.parent):
        return _sae_alone(path, path.name)
    return CheckpointError(
        f"{path}: is a file; give the checkpoint's folder (sarm inspect {shlex.quote(str(path))} says what it is)"
    )


def without_shape(folder: Path, config: Mapping[str, Any]) -> CheckpointError:
    """The error for a folder with a config.json in which no SAE is stated."""
    found = weights_in(folder)
    if found and not any(folder.glob("model*.safetensors")):  # dictionary-learning's config has the same name
        return _sae_alone(folder, str(found[0].relative_to(folder)))
    names = TensorFiles(folder).names()
    named = config.get("architectures")
    architecture = (
        str(named[0])[:80] if isinstance(named, list) and named else str(config.get("model_type"))[:80]
    )
    if not any(name.startswith("sae.") for name in names):
        reward = is_reward_class(architecture)
        what = "an ordinary reward model" if reward else "a model"
        return CheckpointError(
            f"{folder}: {what} ({architecture}) without SAE, so there are no features to read; "
            f"{build_on(folder, reward)}; {TRAIN}"
        )
    return CheckpointError(
        f"{folder}: its shape is not stated. Name the folder like ..._Latent65536_Layer16_K192_...-SARM-TopK-..., "
        "or add sarm_param to config.json"
    )
