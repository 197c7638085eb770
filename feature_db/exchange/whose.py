"""Whether what another program wrote is of a store's model: by fingerprint, else by name, layer and width.

Feature numbers mean nothing for another model, and no number says so: 148 examples were once replaced by those of
another model's layer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from feature_db.errors import StoreError
from feature_db.exchange.foreign import short
from feature_db.exchange.format import Option
from feature_db.records import ModelRecord

__all__ = ["REPLACE", "SAME_MODEL", "check_fingerprint", "check_model", "check_width"]

SAME_MODEL = Option(
    "same-model", "it is of this store's model and layer, though it names them otherwise", flag=True
)
REPLACE = Option(
    "replace", "put its examples and statistics in the place of those of another origin", flag=True
)


def check_fingerprint(model: ModelRecord, stated: Any, path: str | Path) -> bool:
    """Whether a fingerprint is stated, which is then the model's. Raises StoreError for another one."""
    if stated is None:
        return False
    if stated != model.fingerprint:
        raise StoreError(
            f"{path}: is of another model (fingerprint {str(stated)[:12]}) than this store, which holds features of "
            f"{model.name!r} ({model.fingerprint[:12]})"
        )
    return True


def check_width(model: ModelRecord, stated: Any, path: str | Path) -> None:
    """Raises StoreError when a width of the dictionary is stated and is not the model's."""
    if stated is not None and stated != model.n_features:
        raise StoreError(
            f"{path}: is of a dictionary of {short(stated)} features, this store's model has {model.n_features}"
        )


def check_model(model: ModelRecord, name: Any, layer: Any, path: str | Path, *, same_model: bool) -> None:
    """Raises StoreError when the model or the layer that a file names is not that of the store, as far as names tell.

    `layer` may be a number or a name that begins with one, "15-sarm". With `same_model` somebody vouches for it.
    """
    if same_model:
        return
    ours = model.info.get("layer")
    theirs = _number(layer)
    differ = []
    if name is not None and _words(str(name)) not in _names(model):
        differ.append(f"model {short(name)}")
    if theirs is not None and ours is not None and theirs != ours:
        differ.append(f"layer {theirs}")
    if differ:
        where = "" if ours is None else f" layer {ours}"
        raise StoreError(
            f"{path}: is of {' '.join(differ)}, this store of {model.name!r}{where}; if they are the same, say "
            "--same-model"
        )


def _names(model: ModelRecord) -> set[tuple[str, ...]]:
    """What a model may be called: by its name, or where it is from, whole or the last part of a path or Hub id."""
    stated: Mapping[str, Any] = model.info
    names = [model.name, *(str(stated[key]) for key in ("source", "backbone", "model_id") if stated.get(key))]
    return {_words(part) for name in names for part in (name, name.rstrip("/").rsplit("/", 1)[-1])}


_WORD = re.compile(r"\d+(?:\.\d+)*(?:[bmk](?![a-z]))?|[a-z]+")
_TUNED = {"instruct": "it"}
_SAME = {("gpt", "2", "small"): ("gpt", "2")}


def _words(name: str) -> tuple[str, ...]:
    """A model's name as words and numbers: "llama3.1-8b-it" as "meta-llama/Llama-3.1-8B-Instruct" has them.

    Numbers stay whole, with their dots and what they count: "gemma-2-2b" is not "gemma-22b", nor one that was tuned
    the one that was not.
    """
    words = [_TUNED.get(word, word) for word in _WORD.findall(name.lower())]
    if words[:2] == ["meta", "llama"]:
        del words[0]
    if words[-1:] == ["hf"]:
        del words[-1]
    return _SAME.get(tuple(words), tuple(words))


def _number(layer: Any) -> int | None:
    if isinstance(layer, int) and not isinstance(layer, bool):
        return layer
    found = re.match(r"\d{1,6}", layer) if isinstance(layer, str) else None
    return None if found is None else int(found[0])
