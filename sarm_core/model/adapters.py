"""A LoRA adapter beside the weights it was trained on, or among them, merged into them by PEFT, one matrix at a time.

PEFT itself computes what is added, so scaling, rank patterns, rsLoRA and DoRA are its own. What is merged is what the
model is: fingerprints and exports hold it. Without PEFT, and for other kinds of adapter, the folder is refused.
"""

from __future__ import annotations

import importlib.util
import json
import re
import warnings
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from sarm_core.errors import CheckpointError

__all__ = ["ADAPTER_CONFIG", "ADAPTER_WEIGHTS", "Adapter", "Parts"]

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
_WRAPPED = "base_model.model."
_LOW_RANK = re.compile(
    r"(?P<path>.+)\.(?P<kind>lora_(?:embedding_)?[AB]|lora_magnitude_vector)(?:\.(?!(?:weight|bias)$)(?P<adapter>[^.]+))?"
    r"(?P<weight>\.weight)?"
)
"""A part of an adapter; among the weights of a model its name says which adapter's."""
_SAVED = re.compile(r"(?P<module>.+)\.modules_to_save\.(?P<adapter>[^.]+)\.(?P<rest>.+)")
_IN_BY_OUT = ("gpt2", "openai-gpt", "imagegpt", "decision_transformer")
"""Decoders (model_type) whose blocks hold the transpose of what a linear layer holds (`Conv1D` in Transformers)."""
_NO_PART = ("lm_head.", "embed_out.")
_REMEDY = "merge it into its base model (PEFT's merge_and_unload) and save that whole"


@dataclass(frozen=True)
class Parts:
    """The tensors of a folder with an adapter, by what they are; names are without what PEFT's wrapper puts before."""

    low_rank: Mapping[str, str]
    """Stored name of each part, by the name that `save_pretrained` gives it."""
    whole: Mapping[str, str]
    """Stored name of every other tensor, by the name that it has in the model without an adapter."""

    @classmethod
    def of(cls, names: Iterable[str], place: Path) -> Self:
        """Told by name. Raises CheckpointError for several adapters, as nothing says which of them counts."""
        low_rank, whole, adapters = {}, {}, set()
        for name in names:
            bare = name.removeprefix(_WRAPPED)
            if part := _LOW_RANK.fullmatch(bare):
                low_rank[f"{part['path']}.{part['kind']}{part['weight'] or ''}"] = name
                adapters.add(part["adapter"])
            elif saved := _SAVED.fullmatch(bare):
                whole[f"{saved['module']}.{saved['rest']}"] = name
                adapters.add(saved["adapter"])
            elif ".original_module." not in bare:  # for which `modules_to_save` stands
                whole[bare.replace(".base_layer.", ".")] = name
        if len(adapters) > 1:
            listed = ", ".join(sorted(map(str, adapters)))
            raise CheckpointError(f"{place}: holds several adapters ({listed[:80]}): {_REMEDY}")
        return cls(low_rank, whole)


class Adapter:
    """The adapter of `folder`, for tensors called `names` there. Raises CheckpointError where it cannot be merged.

    `inside` are the file and the stored name of each of its parts where they lie among the weights; without it they are
    read from the adapter's own file.
    """

    def __init__(
        self, folder: Path, names: Collection[str], inside: Mapping[str, tuple[Path, str]] | None = None
    ):
        self.folder = folder
        where = f"({ADAPTER_WEIGHTS}) beside" if inside is None else f"({next(iter(inside))}) among"
        if importlib.util.find_spec("peft") is None:
            raise CheckpointError(
                f"{folder}: holds an adapter {where} the weights: {_REMEDY}, or pip install peft, with which it is "
                "merged here"
            )
        from peft import PeftConfig

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of entries that this PEFT does not know
                self.config: Any = PeftConfig.from_pretrained(str(folder))
        except Exception as error:  # what it raises depends on the entry
            raise CheckpointError(f"{folder}: {ADAPTER_CONFIG} cannot be read ({error})") from None
        kind = str(getattr(self.config.peft_type, "value", self.config.peft_type))
        if kind != "LORA":
            raise CheckpointError(f"{folder}: an adapter of the kind {kind} is not merged here: {_REMEDY}")
        self.low_rank: dict[str, dict[str, tuple[Path, str]]] = defaultdict(dict)
        """File and stored name of each part by its name, for the path of each module as the adapter has it."""
        self.saved: dict[str, tuple[Path, str]] = {}
        """Tensors that the adapter holds whole (`modules_to_save`), by the name of the tensor that they stand for."""
        self.paths: dict[str, str] = {}
        """Path of the module in the adapter, by the name of its weight in the files."""
        if self.config.layer_replication:
            raise CheckpointError(f"{folder}: an adapter that repeats blocks is not merged here: {_REMEDY}")
        if inside is None:
            inside = self._beside(names)
        else:  # PiSSA and its kin begin by taking a part out of the weights, which is done in these
            self.config.init_lora_weights = True
        for name, part in inside.items():
            path = name[: name.rindex(".lora_")]
            self.paths[self._place(f"{path}.weight", name, names)] = path
            self.low_rank[path][name] = part

    def _beside(self, names: Collection[str]) -> dict[str, tuple[Path, str]]:
        """The parts in the adapter's own file; what it holds whole is placed."""
        file = self.folder / ADAPTER_WEIGHTS
        try:
            with safe_open(file, "pt") as opened:
                parts = Parts.of(opened.keys(), self.folder)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{file}: not a readable safetensors file ({error})") from None
        for name, stored in parts.whole.items():
            if not name.startswith(_NO_PART) or name in names:
                self.saved[self._place(name, name, names)] = file, stored
        return {
            name: (file, stored)
            for name, stored in parts.low_rank.items()
            if not name.startswith(_NO_PART)  # of the language model's head, which scores nothing
        }

    def _place(self, wanted: str, name: str, names: Collection[str]) -> str:
        # An adapter of the bare decoder leaves out the "model." of its names in the whole model.
        there = [each for each in names if each == wanted or each.endswith(f".{wanted}")]
        if len(there) != 1 or ".lora_" in wanted:
            raise CheckpointError(
                f"{self.folder}: the adapter's {name} belongs to no tensor of the weights: {_REMEDY}"
            )
        return there[0]

    def __contains__(self, name: str) -> bool:
        return name in self.saved or name in self.paths

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Shape of a tensor that the adapter holds whole; None for any other."""
        if name not in self.saved:
            return None
        file, stored = self.saved[name]
        with safe_open(file, "pt") as opened:
            return tuple(opened.get_slice(stored).get_shape())

    def merged(self, name: str, tensor: Tensor) -> Tensor:
        """The tensor `name` of the files, with the adapter in it and in its own dtype."""
        if name in self.saved:
            tensor = _read(*self.saved[name]).to(tensor.dtype)
        if name not in self.paths:
            return tensor
        from peft import inject_adapter_in_model, set_peft_model_state_dict

        path = self.paths[name]
        parts = {part: _read(*stored) for part, stored in self.low_rank[path].items()}
        holder = nn.Module()
        at = holder
        *parents, last = path.split(".")
        for step in parents:
            at.add_module(step, nn.Module())
            at = at.get_submodule(step)
        at.add_module(last, self._base(name, tensor, parts))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of patterns for the modules that are not here
                inject_adapter_in_model(self.config, holder)
            report = set_peft_model_state_dict(holder, parts)
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

    def _base(self, name: str, tensor: Tensor, parts: Collection[str]) -> nn.Module:
        """A layer of the kind that PEFT had, with a copy of `tensor`, which merging changes."""
        from transformers.pytorch_utils import Conv1D

        first, second = tensor.shape
        base: nn.Module
        if any(".lora_embedding_" in part for part in parts):
            base = nn.Embedding(first, second, device="meta")
        elif self._in_by_out and re.search(r"(^|\.)h\.\d+\.", name):
            base = Conv1D(second, first)
        else:
            base = nn.Linear(second, first, bias=False, device="meta")
        base.weight = nn.Parameter(tensor.clone(), requires_grad=False)
        return base

    @property
    def _in_by_out(self) -> bool:
        try:
            config = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return False  # an unreadable one is refused where it is read
        inner = config.get("backbone", config) if isinstance(config, dict) else {}
        return isinstance(inner, dict) and inner.get("model_type") in _IN_BY_OUT


def _read(file: Path, name: str) -> Tensor:
    with safe_open(file, "pt") as opened:
        tensor: Tensor = opened.get_tensor(name)
    return tensor
