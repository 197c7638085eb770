"""What a folder is that holds no SARM, or not the whole of one, in one line with what can be done about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sarm_core.errors import CheckpointError
from sarm_core.model.adapters import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from sarm_core.model.dictionaries.registry import weights_in
from sarm_core.model.tensor_files import TensorFiles, read_json

__all__ = [
    "ADAPTERS",
    "refuse_adapters",
    "refuse_lost_adapter",
    "refuse_wrapped",
    "steps_inside",
    "without_config",
    "without_shape",
]

ADAPTERS = (ADAPTER_CONFIG, ADAPTER_WEIGHTS, "adapter_model.bin")
_WRAPPED = {
    "module.": "DistributedDataParallel",
    "_orig_mod.": "torch.compile",
    "base_model.model.": "PEFT",
}
_OR = {"PEFT": f", merged (merge_and_unload), or put the adapter's {ADAPTER_CONFIG} beside it"}


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
        return CheckpointError(
            f"{folder}: an SAE without model and reward head ({found[0].relative_to(folder)}); sarm build makes a SARM "
            "of it, a decoder and pairs"
        )
    return CheckpointError(
        f"{folder}: neither {own_config} nor config.json is there; this is not a SARM checkpoint"
    )


def without_shape(folder: Path, config: Mapping[str, Any], names: Iterable[str]) -> CheckpointError:
    """The error for a model's folder whose SAE is not stated; `names` are its tensors'."""
    named = config.get("architectures")
    architecture = (
        str(named[0])[:80] if isinstance(named, list) and named else str(config.get("model_type"))[:80]
    )
    if not any(name.startswith("sae.") for name in names):
        what = "an ordinary reward model" if "Classification" in architecture else "a model"
        return CheckpointError(
            f"{folder}: {what} ({architecture}) without SAE, so there are no features to read; train-sae and "
            "train-reward make a SARM on its blocks"
        )
    return CheckpointError(
        f"{folder}: its shape is not stated. Name the folder like ..._Latent65536_Layer16_K192_...-SARM-TopK-..., "
        "or add sarm_param to config.json"
    )
