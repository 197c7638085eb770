"""Tensors of one file by name, whatever the file: safetensors, torch's, NumPy's. No code that lies in it is run."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from sarm_core.errors import CheckpointError

__all__ = ["SUFFIXES", "Tensors"]

SUFFIXES = (".safetensors", ".pt", ".npz")


class Tensors:
    """Names, shapes and dtypes of a file's tensors, from its header, and each tensor when it is asked for.

    Raises CheckpointError for a file that holds something else, or is damaged.
    """

    def __init__(self, file: Path):
        self.file = file
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.floating: dict[str, bool] = {}
        self._read: Callable[[str], Tensor]
        try:
            opener = {".safetensors": self._safetensors, ".npz": self._npz}.get(file.suffix, self._torch)
            opener()
        except CheckpointError:
            raise
        except UnpicklingError:
            raise CheckpointError(
                f"{file}: holds more than tensors, which could run code when it is loaded, so it is not read"
            ) from None
        except Exception as error:  # torch raises pickle, zip, runtime and OS errors here
            raise CheckpointError(f"{file}: cannot be read as plain tensors ({_line(error)})") from None

    def __contains__(self, name: str) -> bool:
        return name in self.shapes

    def names(self) -> set[str]:
        """Of all tensors."""
        return set(self.shapes)

    def read(self, name: str) -> Tensor:
        """One tensor, in its stored dtype. Raises CheckpointError."""
        try:
            return self._read(name)
        except Exception as error:
            raise CheckpointError(f"{self.file}: {name} cannot be read ({_line(error)})") from None

    def _safetensors(self) -> None:
        with self.file.open("rb") as file:
            if file.read(40).startswith(b"version https://git-lfs"):
                raise CheckpointError(
                    f"{self.file}: a Git LFS pointer, not the weights themselves: run `git lfs pull` in the clone"
                )
        try:
            with safe_open(self.file, "pt") as opened:
                for name in opened.keys():  # noqa: SIM118
                    part = opened.get_slice(name)
                    self.shapes[name] = tuple(part.get_shape())
                    self.floating[name] = str(part.get_dtype()).startswith(("F", "BF"))
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{self.file}: not a readable safetensors file ({error})") from None

        def read(name: str) -> Tensor:
            with safe_open(self.file, "pt") as opened:
                return opened.get_tensor(name)

        self._read = read

    def _torch(self) -> None:
        mapped = zipfile.is_zipfile(self.file)  # torch's format of old cannot be mapped
        loaded = torch.load(self.file, map_location="cpu", weights_only=True, mmap=mapped)
        if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
            raise CheckpointError(f"{self.file}: expected a dictionary of tensors")
        for name, value in loaded.items():
            if value.layout != torch.strided or value.is_quantized or value.is_meta:
                raise CheckpointError(
                    f"{self.file}: {name} is no plain tensor (sparse, quantised or without numbers)"
                )
        self.shapes = {str(name): tuple(value.shape) for name, value in loaded.items()}
        self.floating = {str(name): value.is_floating_point() for name, value in loaded.items()}
        self._read = {str(name): value for name, value in loaded.items()}.__getitem__

    def _npz(self) -> None:
        with zipfile.ZipFile(self.file) as opened:
            for name in opened.namelist():
                with opened.open(name) as file:
                    old = np.lib.format.read_magic(file) == (1, 0)
                    header = (
                        np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
                    )
                    shape, _, dtype = header(file)
                self.shapes[name.removesuffix(".npy")] = tuple(shape)
                self.floating[name.removesuffix(".npy")] = dtype.kind == "f"

        def read(name: str) -> Tensor:
            with np.load(self.file, allow_pickle=False) as arrays:
                return torch.from_numpy(arrays[name])

        self._read = read


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
