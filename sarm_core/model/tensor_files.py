"""The safetensors files of a folder as one set of named tensors, and the JSON files beside them."""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from sarm_core.errors import CheckpointError
from sarm_core.model.adapters import ADAPTER_CONFIG, ADAPTER_WEIGHTS, Adapter, Parts
from sarm_core.model.float8 import SCALES, dequantised

__all__ = ["INDEX_NAME", "OnDemand", "TensorFiles", "read_json"]

INDEX_NAME = "model.safetensors.index.json"
HELD = 64 * 2**20
"""Bytes of a file that a load holds beside what it makes of them, or one tensor"""
_FLOATS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


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
    An adapter that lies in the folder, beside the weights or among them, is merged into what is read.
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
        self._stored_as: dict[str, str] = {}
        """Name in its file of a tensor that an adapter's wrapper renamed, by its own name."""
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
        self.adapter: Adapter | None = None
        """What is merged into the weights beside it or around it."""
        if weights is None and (folder / ADAPTER_CONFIG).exists():
            self.adapter = self._adapter()
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
                    self.scales[weight] = self._at(name), self.files.pop(name)

    def _adapter(self) -> Adapter | None:
        if (self.folder / ADAPTER_WEIGHTS).exists():
            return Adapter(self.folder, self.names())
        parts = Parts.of(self.files, self.folder)
        if not parts.low_rank:
            return None
        inside = {name: (self.files[stored], stored) for name, stored in parts.low_rank.items()}
        self.files = {name: self.files[stored] for name, stored in parts.whole.items()}
        self._stored_as = {name: stored for name, stored in parts.whole.items() if name != stored}
        return Adapter(self.folder, self.names(), inside)

    @property
    def changed(self) -> bool:
        """Whether some tensor is read as another than is stored, so that only this class may read the files."""
        return bool(self.scales) or self.adapter is not None

    def _stored(self, name: str) -> str:
        with safe_open(self.files[name], "pt") as opened:
            return str(opened.get_slice(self._at(name)).get_dtype())

    def _at(self, name: str) -> str:
        """The name in its file."""
        return self._stored_as.get(name, name)

    def __contains__(self, name: str) -> bool:
        return name in self.files

    def names(self) -> list[str]:
        """Tensor names, sorted."""
        return sorted(self.files)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of one tensor, from the file's header."""
        if self.adapter is not None and (whole := self.adapter.shape(name)) is not None:
            return whole
        with safe_open(self.files[name], "pt") as opened:
            return tuple(opened.get_slice(self._at(name)).get_shape())

    def dtype(self, name: str) -> torch.dtype:
        """dtype of one tensor as it is read; none of its numbers is."""
        if name in self.scales:
            return torch.float32
        with safe_open(self.files[name], "pt") as opened:
            part = opened.get_slice(self._at(name))
            return part[:0].dtype if part.get_shape() else opened.get_tensor(self._at(name)).dtype

    def dtypes(self) -> dict[str, str]:
        """dtype of every tensor as the files' headers name it ("BF16", "F8_E4M3"), "F32" for a weight with a scale."""
        found: dict[str, str] = {}
        for file in set(self.files.values()):
            with safe_open(file, "pt") as opened:
                mine = [name for name in self.files if self.files[name] == file]
                found |= {name: opened.get_slice(self._at(name)).get_dtype() for name in mine}
        return found | dict.fromkeys(self.scales, "F32")

    def n_bytes(self, names: Sequence[str]) -> int:
        """Bytes of these tensors as they are read, from the files' headers; each file is opened once."""
        total = 0
        for file in {self.files[name] for name in names}:
            with safe_open(file, "pt") as opened:
                for name in names:
                    if self.files[name] == file:
                        part = opened.get_slice(self._at(name))
                        width = 32 if name in self.scales else re.search(r"\d+", part.get_dtype())
                        bits = width if isinstance(width, int) else int(width[0]) if width else 8
                        total += int(np.prod(part.get_shape(), dtype=np.int64)) * bits // 8
        return total

    def on_demand(self, names: Sequence[str], dtype: torch.dtype) -> dict[str, OnDemand]:
        """Tensors that are read when they are indexed, to become floats of `dtype`, where nothing is `changed`.

        What is read of a mapped file counts as the process's memory until the file is closed. So a file whose tensors
        become others is opened anew after every `HELD` bytes; where they stay as they are stored they are its pages.
        """
        stored = self.dtypes()
        once: dict[Path, _Reopened] = {}
        often: dict[Path, _Reopened] = {}
        found = {}
        for name in names:
            file = self.files[name]
            stays = _FLOATS.get(stored[name], dtype) == dtype
            opened = once if stays else often
            part = opened.setdefault(file, _Reopened(file, math.inf if stays else HELD))
            found[name] = OnDemand(part, self._at(name))
        return found

    def read(self, name: str) -> Tensor:
        """One tensor, in its stored dtype. Raises CheckpointError for a scale that does not fit its weight."""
        with safe_open(self.files[name], "pt") as opened:
            tensor = opened.get_tensor(self._at(name))
        if name in self.scales:
            scale, file = self.scales[name]
            with safe_open(file, "pt") as opened:
                tensor = dequantised(tensor, opened.get_tensor(scale), f"{self.folder}: {name}")
        if self.adapter is not None and name in self.adapter:
            tensor = self.adapter.merged(name, tensor)
        return tensor


class OnDemand:
    """A tensor of a folder that is read when it is indexed, as Transformers 5 indexes what it loads."""

    def __init__(self, file: _Reopened, name: str):
        self._file, self._name = file, name

    def __getitem__(self, at: Any) -> Tensor:
        return self._file.read(self._name)[at]


class _Reopened:
    """One file for the threads that read it, opened anew once more than `held` bytes were read of it."""

    def __init__(self, path: Path, held: float):
        self._path, self._held = path, held
        self._lock = threading.Lock()
        self._opened: Any = None
        self._read = 0

    def read(self, name: str) -> Tensor:
        with self._lock:
            if self._opened is None or self._read > self._held:
                self._opened, self._read = safe_open(self._path, "pt"), 0
            tensor: Tensor = self._opened.get_tensor(name)
            self._read += tensor.nbytes
        return tensor
