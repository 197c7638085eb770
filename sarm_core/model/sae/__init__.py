"""Kinds of SAE, and the one list of them. A new kind is one file here and one line in `_KINDS`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from sarm_core.errors import CheckpointError
from sarm_core.model.sae.abstopk import AbsTopK
from sarm_core.model.sae.base import SAE, ReferenceWords, SAEKind
from sarm_core.model.sae.dense import Dense
from sarm_core.model.sae.inputs import INPUTS, standardise
from sarm_core.model.sae.jumprelu import JumpReLU
from sarm_core.model.sae.relu import ReLU
from sarm_core.model.sae.rows import EvenRows, FullRows, Rows
from sarm_core.model.sae.topk import TopK

__all__ = [
    "INPUTS",
    "SAE",
    "AbsTopK",
    "Dense",
    "EvenRows",
    "FullRows",
    "JumpReLU",
    "ReLU",
    "ReferenceWords",
    "Rows",
    "SAEKind",
    "TopK",
    "kind_stated",
    "kinds",
    "register",
    "standardise",
]

RESERVED = frozenset(
    [
        "format",
        "name",
        "backbone",
        "layer",
        "n_features",
        "kind",
        "scored_token",
        "chat_template",
        "max_length",
    ]
)
"""What `sarm.json` says besides; no kind may call a setting so."""
_KINDS: dict[str, type[SAEKind]] = {kind.kind: kind for kind in (TopK, AbsTopK, Dense, JumpReLU, ReLU)}
_Kind = TypeVar("_Kind", bound=type[SAEKind])


def kinds() -> dict[str, type[SAEKind]]:
    """Every kind that is known, by the name that `sarm.json` has for it."""
    return dict(_KINDS)


def register(kind: _Kind) -> _Kind:
    """Make a kind known; as a decorator on its class, for one that lives outside this package."""
    taken = sorted(RESERVED.intersection(field.name for field in fields(kind)))
    if taken:
        raise ValueError(
            f"SAE kind {kind.kind!r}: a setting cannot be called {taken[0]!r}, which says something else"
        )
    if _KINDS.setdefault(kind.kind, kind) is not kind:
        raise ValueError(f"there is an SAE kind {kind.kind!r} already")
    return kind


def kind_stated(stated: Mapping[str, Any], place: str) -> SAEKind:
    """The kind that a config at `place` states. Without `kind` a `k` says TopK, and none says that all are active.

    Raises CheckpointError for an unknown kind and for a broken setting.
    """
    name = stated.get("kind")
    if name is None:
        name = Dense.kind if stated.get("k") is None else TopK.kind
    if not isinstance(name, str) or name not in _KINDS:
        raise CheckpointError(
            f"{place}: kind is {name!r}; SAE kinds that are read: {', '.join(sorted(_KINDS))}"
        )
    return _KINDS[name].from_stated(stated, place)
