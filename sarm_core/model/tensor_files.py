"""The safetensors files of a folder as one set of named tensors, and the JSON files beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from sarm_core.errors import CheckpointError
from sarm_core.model.adapters import ADAPTER_WEIGHTS, Adapter
from sarm_core.model.float8 import SCALES, dequantised

__all__ = ["INDEX_NAME", "TensorFiles", "read_json"]

INDEX_NAME = "model.safetensors.index.json"


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises CheckpointError."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: cannot be read as JSON ({error})") from None
    if not isinstance(data, dict):
        raise CheckpointError(f"{path}: expected a JSON object")
    return data


def _is_lfs_pointer(path: Path) -> bool:
    """Whether a clone without Git LFS left the pointer file where the weights belong."""
    try:
        with path.open("rb") as file:
            return file.read(40).startswith(b"version https://git-lfs")
    except OSError:
        return False


class TensorFiles:
    """All tensors of a folder's safetensors files, by name, read on demand.

    A weight stored as 8-bit floats is read in float32, multiplied by the scale beside it, which has no name of its own.
    An adapter that lies in the folder is merged into what is read.
    """

    def __init__(self, folder: Path, weights: str | None = None):
        self.folder = folder
        index = folder / INDEX_NAME
        if weights is not None:
            files = [folder / weights]
        elif index.exists():
            names = read_json(index).get("weight_map")
            if not isinstance(names, Mapping) or not all(isinstance(name, str) for name in names.values()):
                raise CheckpointError(f"{index}: weight_map must name a file for every tensor")
            files = [folder / Path(name).name for name in sorted(set(names.values()))]
        else:
            files = sorted(file for file in folder.glob("*.safetensors") if file.name != ADAPTER_WEIGHTS)
        if not files:
            raise CheckpointError(
                f"{folder}: no .safetensors file is there; other weight files can run code and are not read"
            )
        self.files: dict[str, Path] = {}
        for file in files:
            if not file.exists():
                raise CheckpointError(f"{folder}: {file.name} is missing; copy the whole checkpoint folder")
            try:
                with safe_open(file, "pt") as opened:
                    self.files.update(dict.fromkeys(opened.keys(), file))
            except (SafetensorError, OSError) as error:
                if _is_lfs_pointer(file):
                    raise CheckpointError(
                        f"{file}: a Git LFS pointer, not the weights themselves: run `git lfs pull` in the clone"
                    ) from None
                raise CheckpointError(f"{file}: not a readable safetensors file ({error})") from None
        self.scales: dict[str, tuple[str, Path]] = {}
        """Name and file of the scale, by the name of the 8-bit weight that it belongs to."""
        for suffix in SCALES:
            for name in [name for name in self.files if name.endswith(f".{suffix}")]:
                weight = f"{name.removesuffix(suffix)}weight"
                if (
                    weight in self.files
                    and self._stored(weight).startswith("F8_")
                    and weight not in self.scales
                ):
                    self.scales[weight] = name, self.files.pop(name)

        self.adapter: Adapter | None = None
        """What is merged into the weights beside it."""
        if (
            (folder / ADAPTER_WEIGHTS).exists()
            and (folder / "adapter_config.json").exists()
            and weights is None
        ):
            self.adapter = Adapter(folder, self.names())

    @property
    def changed(self) -> bool:
        """Whether some tensor is read as another than is stored, so that only this class may read the files."""
        return bool(self.scales) or self.adapter is not None

    def _stored(self, name: str) -> str:
        with safe_open(self.files[name], "pt") as opened:
            return str(opened.get_slice(name).get_dtype())

    def __contains__(self, name: str) -> bool:
        return name in self.files

    def names(self) -> list[str]:
        """Tensor names, sorted."""
        return sorted(self.files)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of one tensor, from the file's header."""
        with safe_open(self.files[name], "pt") as opened:
            return tuple(opened.get_slice(name).get_shape())

    def dtype(self, name: str) -> torch.dtype:
        """dtype of one tensor as it is read; none of its numbers is."""
        if name in self.scales:
            return torch.float32
        with safe_open(self.files[name], "pt") as opened:
            part = opened.get_slice(name)
            return part[:0].dtype if part.get_shape() else opened.get_tensor(name).dtype

    def dtypes(self) -> dict[str, str]:
        """dtype of every tensor as the files' headers name it ("BF16", "F8_E4M3"), "F32" for a weight with a scale."""
        found: dict[str, str] = {}
        for file in set(self.files.values()):
            with safe_open(file, "pt") as opened:
                mine = [name for name in self.files if self.files[name] == file]
                found |= {name: opened.get_slice(name).get_dtype() for name in mine}
        return found | dict.fromkeys(self.scales, "F32")

    def read(self, name: str) -> Tensor:
        """One tensor, in its stored dtype. Raises CheckpointError for a scale that does not fit its weight."""
        with safe_open(self.files[name], "pt") as opened:
            tensor = opened.get_tensor(name)
        if name in self.scales:
            scale, file = self.scales[name]
            with safe_open(file, "pt") as opened:
                tensor = dequantised(tensor, opened.get_tensor(scale), f"{self.folder}: {name}")
        if self.adapter is not None and name in self.adapter:
            tensor = self.adapter.merged(name, tensor)
        return tensor
