"""A sparse autoencoder over residual-stream vectors [SARM, sec. 3 and eq. 1-3], of whatever kind.

x      (h - mean(h)) / (std(h) + 1e-6), per token over d, unbiased std; public dictionaries read other inputs
a      W_enc (x - b_pre) + b_latent          pre-activations, one per feature; without b_pre where it is not centred
z      what the kind keeps of a              sparse rows of any length
x_hat  W_dec z + b_pre

`SAE` holds the tensors. Its `SAEKind` says which tensors there are, what is active, and how a checkpoint states it;
it is there before any tensor is read, as part of a checkpoint's shape. A kind is one class, in a file beside this one.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import KW_ONLY, MISSING, asdict, dataclass, fields
from typing import Any, ClassVar, NamedTuple, Self, get_type_hints

import torch
from torch import Tensor, nn

from sarm_core.errors import CheckpointError
from sarm_core.model.sae.inputs import INPUTS
from sarm_core.model.sae.rows import Rows

__all__ = ["SAE", "ReferenceWords", "SAEKind"]


class ReferenceWords(NamedTuple):
    """How the reference layout states a dictionary: `sae_k`, and whether TopK is applied ("TopK" or "woTopK")."""

    k: int
    topk: bool


@dataclass(frozen=True)
class SAEKind(ABC):
    """One kind of SAE. A subclass is a frozen dataclass whose fields are the kind's settings, numbers or texts.

    Settings stand in `sarm.json` under their own names, beside `kind`.
    """

    kind: ClassVar[str]
    """Its name in `sarm.json`."""
    TENSORS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "pre_bias": ("d",),
        "latent_bias": ("M",),
        "encoder.weight": ("M", "d"),
        "decoder.weight": ("d", "M"),
    }
    """Tensors by name, with their axes: d is the width of the residual stream, M that of the dictionary."""
    every_feature: ClassVar[bool] = False
    """Whether all features are active everywhere: then firing together says nothing, and rows are long."""

    _: KW_ONLY
    input: str = "standardised"
    """What is made of h before anything else, by its name in `INPUTS`"""
    factor: float = 1.0
    """What the input is multiplied by"""
    centred: bool = True
    """Whether b_pre is subtracted before the encoder"""

    @abstractmethod
    def activate(self, sae: SAE, a: Tensor) -> Rows:
        """The active features of pre-activations a [n, M]."""

    @property
    @abstractmethod
    def words(self) -> str:
        """Which features are active, in a few words for a person: "k 64"."""

    def inputs(self, h: Tensor) -> Tensor:
        """x, float32 [n, d], of residual-stream vectors h [n, d]: standardised, as a SARM's are, unless stated."""
        x = INPUTS[self.input](h)
        return x if self.factor == 1.0 else x * self.factor

    def pre_activations(self, sae: SAE, x: Tensor) -> Tensor:
        """a = W_enc (x - b_pre) + b_latent, [n, d] -> [n, M]."""
        return sae.encoder(x - sae.pre_bias if self.centred else x) + sae.latent_bias

    def check(self, n_features: int) -> None:
        """Raises ValueError when the settings do not fit a dictionary of `n_features`."""
        if n_features < 1:
            raise ValueError(f"a dictionary of {n_features} features is none")
        if self.input not in INPUTS:
            raise ValueError(f"input {self.input!r} is none of {', '.join(sorted(INPUTS))}")
        if not 0 < self.factor < math.inf:
            raise ValueError(f"factor = {self.factor} is not positive")

    def changed(self) -> dict[str, Any]:
        """Settings that are not at their default, by name."""
        return {f.name: v for f in fields(self) if (v := getattr(self, f.name)) != f.default}

    @property
    def reads(self) -> str:
        """What of h the dictionary reads, in a few words for a person: "h as is, times 0.5"."""
        words = self.input if self.factor == 1.0 else f"{self.input}, times {self.factor:.6g}"
        return words if self.centred else f"{words}, not centred"

    def in_reference(self, n_features: int) -> ReferenceWords | None:
        """How the reference layout and the class for Transformers say this kind; None where they have no word."""
        return None

    @classmethod
    def from_stated(cls, stated: Mapping[str, Any], place: str) -> Self:
        """From the object of a config at `place`. Raises CheckpointError for a setting of the wrong kind."""
        kinds = get_type_hints(cls)
        if stated.get("k") is not None and "k" not in kinds:
            raise CheckpointError(f"{place}: k is {stated['k']!r}, but an SAE of kind {cls.kind!r} has no k")
        settings = {}
        for field in fields(cls):
            value = stated.get(field.name)
            if value is None and field.default is not MISSING:
                continue
            settings[field.name] = _checked(value, kinds[field.name], f"{place}: {field.name}")
        return cls(**settings)

    def to_stated(self) -> dict[str, Any]:
        """Kind and settings for `sarm.json`; how h is read stands there only where it is not as a SARM's is."""
        shared = {field.name for field in fields(SAEKind)} - self.changed().keys()
        return {"kind": self.kind, **{k: v for k, v in asdict(self).items() if k not in shared}}

    def identity(self) -> dict[str, Any]:
        """What a model's fingerprint holds of it. Settings at their defaults are left out, so that a new setting with a
        default changes no model that there is."""
        return {"kind": self.kind, **self.changed()}

    def shapes(self, d: int, n_features: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the tensors, by name."""
        sizes = {"d": d, "M": n_features}
        return {name: tuple(sizes[axis] for axis in axes) for name, axes in self.TENSORS.items()}


def _checked(value: Any, kind: Any, place: str) -> Any:
    """`value` when it is of the type `kind`: bool, int, float or str. Raises CheckpointError."""
    whole, number = type(value) is int, isinstance(value, int | float) and not isinstance(value, bool)
    if kind is float and number and math.isfinite(value):
        return float(value)
    if type(value) is not kind or (kind is int and not whole) or kind is float:
        names = {int: "a whole number", float: "a finite number", str: "a text", bool: "true or false"}
        raise CheckpointError(f"{place} is {value!r}, not {names.get(kind, kind)}")
    return value


class SAE(nn.Module):
    """Encoder, decoder and biases, with the reference implementation's tensor names, and a kind's own tensors.

    `width` (d) is that of the residual stream, `n_features` (M) that of the dictionary. New matrices are random and
    new vectors 0. Raises ValueError when the kind's settings do not fit.
    """

    pre_bias: nn.Parameter
    latent_bias: nn.Parameter
    encoder: nn.Linear
    decoder: nn.Linear

    def __init__(self, d: int, n_features: int, of_kind: SAEKind):
        super().__init__()
        of_kind.check(n_features)
        self.width, self.n_features, self.of_kind = d, n_features, of_kind
        for name, shape in of_kind.shapes(d, n_features).items():
            if name.endswith(".weight"):
                self.add_module(name.removesuffix(".weight"), nn.Linear(shape[1], shape[0], bias=False))
            else:
                self.register_parameter(name, nn.Parameter(torch.zeros(shape)))

    @property
    def kind(self) -> str:
        """Name of the kind: "topk", for example."""
        return self.of_kind.kind

    @property
    def words(self) -> str:
        """Which features are active, in a few words for a person: "k 64"."""
        return self.of_kind.words

    @property
    def every_feature(self) -> bool:
        """Whether all features are active everywhere."""
        return self.of_kind.every_feature

    def inputs(self, h: Tensor) -> Tensor:
        """x, float32 [n, d], of residual-stream vectors h [n, d]."""
        return self.of_kind.inputs(h)

    def pre_activations(self, x: Tensor) -> Tensor:
        """a, [n, d] -> [n, M]."""
        return self.of_kind.pre_activations(self, x)

    def activate(self, a: Tensor) -> Rows:
        """The active features of pre-activations a [n, M]."""
        return self.of_kind.activate(self, a)

    def encode(self, x: Tensor) -> Rows:
        """Active features of x [n, d]."""
        return self.activate(self.pre_activations(x))

    def decode(self, rows: Rows) -> Tensor:
        """x_hat = W_dec z + b_pre, [n, d]."""
        return rows.combined(self.decoder.weight.t()) + self.pre_bias

    def forward(self, x: Tensor) -> tuple[Tensor, Rows]:
        """Reconstruction [n, d] and active features of x [n, d]."""
        rows = self.encode(x)
        return self.decode(rows), rows

    @torch.no_grad()
    def normalise_decoder(self) -> None:
        """Scale every decoder column to unit norm (training keeps activations comparable that way)."""
        self.decoder.weight.div_(self.decoder.weight.norm(dim=0, keepdim=True).clamp_min(1e-8))
