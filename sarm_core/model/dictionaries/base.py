"""What a format of public dictionaries is: which files it knows as its own, and how their tensors become an SAE."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from sarm_core.errors import CheckpointError
from sarm_core.model.dictionaries.hooks import layer_behind
from sarm_core.model.dictionaries.tensors import Tensors
from sarm_core.model.sae import SAEKind
from sarm_core.model.tensor_files import read_json

__all__ = ["Format", "Plan", "Source", "whole_number"]

Folded = dict[str, Tensor]


@dataclass(frozen=True)
class Source:
    """A file with a dictionary's tensors, and what was said about it."""

    file: Path
    tensors: Tensors
    said: str
    """What it was asked for by: a path or a Hub id"""
    k: int | None = None
    """Given by the caller, for files that do not state it"""

    @cached_property
    def words(self) -> str:
        """Path and Hub id, in which some formats say k, block and model."""
        return f"{self.said}/{self.file.as_posix()}"

    def config(self, name: str, folder: Path | None = None) -> dict[str, Any]:
        """The object in the JSON file beside the tensors. Raises CheckpointError without one."""
        place = (folder or self.file.parent) / name
        if not place.exists():
            raise CheckpointError(
                f"{self.file}: {name} is not beside it, which says what kind of dictionary it is: copy the whole folder"
            )
        return read_json(place)

    def refuse(self, why: str) -> CheckpointError:
        """The error for a dictionary that is understood and cannot be used."""
        return CheckpointError(f"{self.file}: {why}")

    def stated_k(self, value: Any, where: str) -> int:
        """k as the file states it (`value`, None where it does not), or as the caller does. Raises CheckpointError."""
        if value is None and self.k is None:
            raise self.refuse(
                f"{where} states no k (active features a token): give it (load_sae(path, k=...), sarm build --k)"
            )
        if value is None:
            assert self.k is not None
            return self.k
        k = whole_number(value, f"{self.file}: k in {where}")
        if self.k is not None and self.k != k:
            raise self.refuse(f"{where} states k {k}, not {self.k}")
        return k

    def flag(self, config: Mapping[str, Any], key: str, default: bool) -> bool:
        """A setting that is true or false, `default` where it is not stated. Raises CheckpointError."""
        value = config.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.refuse(f"{key} is {value!r}, not true or false")
        return default if value is None else value

    def layer(self, hook: str | None) -> int | None:
        """L of a hook point. Raises CheckpointError for one that is not the residual stream behind a block."""
        if hook is None:
            return None
        try:
            return layer_behind(hook)
        except ValueError as error:
            raise self.refuse(f"{error}; rewards are read from the residual stream") from None


def _as_read(tensors: Folded) -> Folded:
    return tensors


@dataclass(frozen=True)
class Plan:
    """How a file's tensors become those of an SAE; made from names, config and headers alone."""

    kind: SAEKind
    parts: Mapping[str, tuple[str, str]]
    """By the name in our SAE (or a name of its own, for `fold`): the file's name, and its axes, "Md" for [M, d];
    "" is one number for all features"""
    fold: Callable[[Folded], Folded] = _as_read
    """From tensors by our names, float32 and our way round, to exactly those of the kind"""
    hook: str | None = None
    layer: int | None = None
    """L, from the hook or from a name; None where nothing says it"""
    unread: frozenset[str] = frozenset()
    """Names in the file that take no part in features"""
    stated: Mapping[str, int] = field(default_factory=dict)
    """M and d as the config has them, checked against the tensors"""


class Format(ABC):
    """A format of dictionaries, as its package writes them."""

    name: ClassVar[str]
    """In `sarm inspect`: sae/NAME."""
    title: ClassVar[str]
    """Of the package or collection, for a person."""
    files: ClassVar[tuple[str, ...]]
    """Globs of its weights inside the folder that holds one dictionary, or one a block."""

    @abstractmethod
    def holds(self, file: Path, names: set[str]) -> bool:
        """Whether a file with tensors `names` is one of this format."""

    @abstractmethod
    def plan(self, source: Source) -> Plan:
        """How it is read. Raises CheckpointError, in one line with the reason, for what cannot be."""


def whole_number(value: Any, place: str) -> int:
    """A positive whole number. Raises CheckpointError."""
    if type(value) is not int or value < 1:
        raise CheckpointError(f"{place} is {value!r}, not a positive whole number")
    return value
