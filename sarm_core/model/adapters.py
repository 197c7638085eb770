"""A LoRA adapter that lies beside the weights it was trained on, merged into them by PEFT, one matrix at a time.

PEFT itself computes what is added, so scaling, rank patterns, rsLoRA and DoRA are its own. What is merged is what the
model is: fingerprints and exports hold it. Without PEFT, and for other kinds of adapter, the folder is refused.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor, nn

from sarm_core.errors import CheckpointError

__all__ = ["ADAPTER_WEIGHTS", "Adapter"]

ADAPTER_WEIGHTS = "adapter_model.safetensors"
_WRAPPED = "base_model.model."
_PARTS = ("lora_A.weight", "lora_B.weight", "lora_magnitude_vector", "lora_magnitude_vector.weight")


class Adapter:
    """The adapter in `folder`, for tensors called `names` there. Raises CheckpointError where it cannot be merged."""

    def __init__(self, folder: Path, names: list[str]):
        self.folder = folder
        if importlib.util.find_spec("peft") is None:
            raise CheckpointError(
                f"{folder}: holds an adapter ({ADAPTER_WEIGHTS}) beside the weights: merge it into its base model "
                "(PEFT's merge_and_unload) and save that whole, or pip install peft, with which it is merged here"
            )
        from peft import PeftConfig

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of entries that this PEFT does not know
                self.config: Any = PeftConfig.from_pretrained(str(folder))
        except Exception as error:  # what it raises depends on the entry
            raise CheckpointError(f"{folder}: adapter_config.json cannot be read ({error})") from None
        kind = str(getattr(self.config.peft_type, "value", self.config.peft_type))
        if kind != "LORA" or getattr(self.config, "fan_in_fan_out", False):
            raise CheckpointError(
                f"{folder}: an adapter of the kind {kind} is not merged here: merge it into its base model "
                "(PEFT's merge_and_unload) and save that whole"
            )
        self.low_rank: dict[str, dict[str, Tensor]] = defaultdict(dict)
        """Parts by name, for the path of each module as the adapter has it."""
        self.saved: dict[str, str] = {}
        """Tensors that the adapter holds whole (`modules_to_save`), by the name of the tensor that they stand for."""
        self.paths: dict[str, str] = {}
        """Path of the module in the adapter, by the name of its weight in the files."""
        with safe_open(folder / ADAPTER_WEIGHTS, "pt") as opened:
            for name in opened.keys():  # noqa: SIM118
                self._place(name, names, opened)

    def _place(self, name: str, names: list[str], opened: Any) -> None:
        bare = name.removeprefix(_WRAPPED)
        part = next((part for part in _PARTS if bare.endswith(f".{part}")), None)
        path = bare.removesuffix(f".{part}") if part else bare
        wanted = f"{path}.weight" if part else bare
        # An adapter of the bare decoder leaves out the "model." of its names in the whole model.
        there = [each for each in names if each == wanted or each.endswith(f".{wanted}")]
        if len(there) != 1 or ("lora_" in bare and part is None):
            raise CheckpointError(
                f"{self.folder}: the adapter's {name} belongs to no tensor of the weights beside it: merge it into its "
                "base model (PEFT's merge_and_unload) and save that whole"
            )
        if part is None:
            self.saved[there[0]] = name
        else:
            self.low_rank[path][bare] = opened.get_tensor(name)
            self.paths[there[0]] = path

    def __contains__(self, name: str) -> bool:
        return name in self.saved or name in self.paths

    def merged(self, name: str, tensor: Tensor) -> Tensor:
        """The tensor `name` of the files, with the adapter in it and in its own dtype."""
        if name in self.saved:
            with safe_open(self.folder / ADAPTER_WEIGHTS, "pt") as opened:
                whole: Tensor = opened.get_tensor(self.saved[name])
            return whole.to(tensor.dtype)
        from peft import inject_adapter_in_model, set_peft_model_state_dict

        path = self.paths[name]
        base = nn.Linear(tensor.shape[1], tensor.shape[0], bias=False, device="meta")
        base.weight = nn.Parameter(tensor.clone(), requires_grad=False)
        holder = nn.Module()
        at = holder
        *parents, last = path.split(".")
        for step in parents:
            at.add_module(step, nn.Module())
            at = at.get_submodule(step)
        at.add_module(last, base)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of patterns for the modules that are not here
                inject_adapter_in_model(self.config, holder)
            report = set_peft_model_state_dict(holder, dict(self.low_rank[path]))
            layer: Any = holder.get_submodule(path)
            left = [key for key in report.missing_keys if "lora_" in key] + list(report.unexpected_keys)
            if left:
                raise ValueError(f"{left[0]} fits nothing")
            layer.merge()
            result: Tensor = layer.get_base_layer().weight.detach()
        except (ValueError, RuntimeError, AttributeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise CheckpointError(
                f"{self.folder}: the adapter cannot be merged into {name} ({reason})"
            ) from None
        return result
