"""Reading SARM checkpoints, whatever their layout, without running or unpickling anything they contain.

Layouts that are read:
  own        `sarm.json` states shape, scored-position rule and chat template; `sarm.safetensors` holds SAE and
             head; the backbone is a subfolder, another folder, a Hub id, or the embedded demo backbone
  reference  one Hugging Face folder with `model.*`, `sae.*` and `score.weight`; its shape stands in
             `config.sarm_param` or in the folder's name (`..._Latent65536_Layer16_K192_...-SARM-TopK-...`)
  auto       what `ship.auto` writes for Transformers, and what a trainer makes of it: config.json of the type "sarm"
Weights are safetensors, in one file or in shards with an index.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from sarm_core.errors import CheckpointError
from sarm_core.model.backbone import (
    AUTO_TYPE,
    FINAL_NORM,
    OTHER_HEAD,
    backbone_config,
    bare_name,
    cut_backbone,
    holds_text_part,
    load_tokenizer,
    reaches,
)
from sarm_core.model.cut import check_layer
from sarm_core.model.hf import PretrainedConfig
from sarm_core.model.other_folders import (
    file_instead,
    refuse_adapters,
    refuse_lost_adapter,
    refuse_wrapped,
    without_config,
    without_shape,
)
from sarm_core.model.sae import SAE, Dense, SAEKind, TopK, kind_stated
from sarm_core.model.sarm import SARM
from sarm_core.model.tensor_files import TensorFiles, read_json

__all__ = [
    "CONFIG_NAME",
    "DEFAULT_MAX_LENGTH",
    "FORMAT",
    "READING",
    "WEIGHTS_NAME",
    "Checkpoint",
    "Shape",
    "find_folder",
    "hub_snapshot",
    "is_hub_id",
    "open_checkpoint",
    "read_sae",
]

CONFIG_NAME = "sarm.json"
WEIGHTS_NAME = "sarm.safetensors"
FORMAT = "sarm-explorer/1"
DEMO_BACKBONE = "demo"
DEFAULT_MAX_LENGTH = 4096  # the paper's training length
READING = "sarm_explorer"
"""Entry of a reference or auto config.json that says what the reference code has no word for: rule and limit."""
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_IN_NAME = re.compile(r"_Latent(\d+)_Layer(\d+)_K(\d+)(?=[_-]|$)")


@dataclass(frozen=True)
class Shape:
    """What a checkpoint must state besides its tensors: L, M and which kind of SAE reads block L."""

    layer: int
    n_features: int
    sae: SAEKind

    def __post_init__(self) -> None:
        try:
            self.sae.check(self.n_features)
        except ValueError as error:
            raise CheckpointError(f"the shape that the checkpoint states is impossible: {error}") from None

    def identity(self) -> dict[str, Any]:
        """What a fingerprint holds of the shape. Said explicitly, so that a new attribute changes no fingerprint."""
        return {"layer": self.layer, "n_features": self.n_features, **self.sae.identity()}

    @classmethod
    def from_name(cls, name: str) -> Shape | None:
        """From a reference folder name, or None. "woTopK" contains "TopK", so it is looked for first."""
        found = _IN_NAME.search(name)
        if not found:
            return None
        n_features, layer, k = (int(group) for group in found.groups())
        if "-woTopK" in name:
            return cls(layer, n_features, Dense())
        return cls(layer, n_features, TopK(k)) if "-TopK" in name else None

    @classmethod
    def from_auto(cls, config: Mapping[str, Any], place: str) -> Shape:
        """From a config of the type "sarm", as the class for Transformers has it. Raises CheckpointError."""
        layer, n_features = values = [config.get(key) for key in ("layer", "n_features")]
        for key, value in zip(("layer", "n_features"), values, strict=True):
            if type(value) is not int or value < 1:
                raise CheckpointError(f"{place}: {key} is {value!r}, not a positive whole number")
        assert isinstance(layer, int) and isinstance(n_features, int)
        return cls(layer, n_features, kind_stated(config, place))

    @classmethod
    def from_config(cls, config: Mapping[str, Any], place: str) -> Shape | None:
        """From `sarm_param` in a Hugging Face config, or None. Raises CheckpointError for a broken one."""
        stated = config.get("sarm_param", config)
        if not isinstance(stated, Mapping) or "sae_latent_size" not in stated:
            return None
        values = []
        for key in ("sae_latent_size", "sae_source_layer", "sae_k"):
            value = stated.get(key, stated.get("sae_hidden_state_source_layer") if "layer" in key else None)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise CheckpointError(f"{place}: sarm_param.{key} is {value!r}, not a positive whole number")
            values.append(value)
        n_features, layer, k = values
        uses_topk = stated.get("sarm_use_activation", stated.get("sarm_use_topk", True))
        return cls(layer, n_features, TopK(k) if uses_topk else Dense())


@dataclass(frozen=True)
class Checkpoint:
    """A located checkpoint: what it is and where its parts are, before any large tensor is read."""

    source: str
    folder: Path
    layout: str
    shape: Shape
    backbone: Path
    tensors: TensorFiles
    rule: str = "last-special-token"
    chat_template: str | None = None
    max_length: int | None = None
    name: str | None = None

    def config(self) -> PretrainedConfig:
        """The backbone's config, as deep as the model that its blocks are the first of."""
        config = backbone_config(self.backbone, self.shape.layer)
        check_layer(config, self.shape.layer)
        return config

    def limit(self, config: PretrainedConfig | None = None) -> int:
        """Tokens of a conversation that are read, from its end; `config` is the backbone's where it is read already."""
        config = self.config() if config is None else config
        positions = getattr(config, "max_position_embeddings", None) or DEFAULT_MAX_LENGTH
        return min(self.max_length or DEFAULT_MAX_LENGTH, int(positions))

    def build(self, *, dtype: torch.dtype, device: torch.device | str) -> SARM:
        """Read the weights: the first L blocks in `dtype`, SAE and head in float32. Raises CheckpointError."""
        sae = read_sae(self.tensors, self.shape, prefix="sae.")
        model = SARM(cut_backbone(self.backbone, self.shape.layer, dtype), sae)
        for name in self.tensors.names():
            if (name.startswith("score.") and name != "score.weight") or OTHER_HEAD.match(name):
                raise CheckpointError(
                    f"{self.folder}: a SARM has no place for {name}: its rewards are score.weight times z, no more"
                )
        head = self.head()
        width = model.config.hidden_size
        if sae.width != width:
            raise CheckpointError(
                f"{self.folder}: the SAE reads vectors of {sae.width} numbers, "
                f"but the backbone's are {width} wide; they do not belong together"
            )
        model.score.weight.data[0].copy_(head)
        return model.to(device).eval().requires_grad_(False)

    def head(self) -> Tensor:
        """The head weights w, float32 [M]. Raises CheckpointError."""
        if "score.weight" not in self.tensors:
            raise CheckpointError(f"{self.folder}: no score.weight; this is an SAE without a reward head")
        head = self.tensors.read("score.weight")
        if tuple(head.shape) != (1, self.shape.n_features):
            raise CheckpointError(
                f"{self.folder}: score.weight has shape {list(head.shape)}, "
                f"but the dictionary has {self.shape.n_features} features"
            )
        if not head.float().isfinite().all():
            raise CheckpointError(
                f"{self.folder}: score.weight holds infinity or NaN: no reward would be a number"
            )
        return head.float()[0]

    def tokenizer(self) -> Any:
        """The checkpoint's tokenizer, or None when it ships none (then only token ids can be scored)."""
        for folder in dict.fromkeys((self.folder, self.backbone)):
            if (found := load_tokenizer(folder)) is not None:
                return found
        return None

    def stored_dtype(self) -> torch.dtype:
        """dtype of the backbone's weights on disk."""
        files = self.blocks
        name = next((n for n in files.names() if "layers.0" in n or "h.0." in n), files.names()[0])
        return files.dtype(name)

    def fingerprint(self) -> str:
        """sha256 over the shape and every tensor that takes part in a score, as 64 hex digits.

        Independent of layout, sharding, file names and the dtype they are loaded in: two folders with the
        same weights have the same fingerprint, and a changed head weight changes it.
        """
        own = {n: self.tensors for n in self.tensors.names() if n.startswith("sae.") or n == "score.weight"}
        return _digest(json.dumps(self.shape.identity(), sort_keys=True), own | self._parts_of_blocks())

    def backbone_fingerprint(self) -> str:
        """sha256 over the blocks alone: equal for two dictionaries that read one backbone at one place."""
        return _digest(json.dumps({"layer": self.shape.layer}), self._parts_of_blocks())

    def _parts_of_blocks(self) -> dict[str, TensorFiles]:
        files = self.blocks
        return {n: files for n in files.names() if self.takes_part(n)}

    def takes_part(self, name: str) -> bool:
        """Whether a tensor of the backbone's files is used in a score: block <= L, no head, no final norm."""
        if bare_name(name).startswith(("sae.", "score.", "lm_head.", "embed_out.")) or FINAL_NORM.fullmatch(
            name
        ):
            return False
        return reaches(name, self.shape.layer, self._composite)

    @cached_property
    def blocks(self) -> TensorFiles:
        """The backbone's files, which are the SARM's own where everything lies in one folder."""
        return self.tensors if self.backbone == self.folder else TensorFiles(self.backbone)

    @cached_property
    def _composite(self) -> bool:
        return holds_text_part(self.blocks)


def _digest(begin: str, tensors: Mapping[str, TensorFiles]) -> str:
    digest = hashlib.sha256(begin.encode())
    for name in sorted(tensors, key=bare_name):
        tensor = tensors[name].read(name).contiguous()
        digest.update(f"{bare_name(name)} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def open_checkpoint(source: str | Path) -> Checkpoint:
    """Locate the checkpoint `source`: "demo", a folder, or a Hub id. Raises CheckpointError."""
    folder = find_folder(source)
    own = folder / CONFIG_NAME
    if own.exists():
        return _open_own(str(source), folder, read_json(own))
    if not (folder / "config.json").exists():
        refuse_adapters(folder)
        raise without_config(folder, CONFIG_NAME)
    config = read_json(folder / "config.json")
    if config.get("model_type") == AUTO_TYPE:
        return _open_auto(str(source), folder, config)
    shape = Shape.from_config(config, str(folder / "config.json")) or Shape.from_name(folder.resolve().name)
    if shape is None and is_hub_id(str(source)):
        shape = Shape.from_name(str(source).split("/")[1])
    if shape is None:
        raise without_shape(folder, config)
    refuse_adapters(folder)
    tensors = TensorFiles(folder)
    refuse_wrapped(folder, tensors.names())
    reading = _reading(config.get(READING, {}), folder / "config.json")
    return Checkpoint(str(source), folder, "reference", shape, folder, tensors, **reading)


def _open_auto(source: str, folder: Path, config: Mapping[str, Any]) -> Checkpoint:
    place = folder / "config.json"
    shape = Shape.from_auto(config, str(place))
    refuse_adapters(folder)
    tensors = TensorFiles(folder)
    refuse_wrapped(folder, tensors.names())
    reading = _reading(config.get(READING, {}), place)
    if not config.get("scored_token_ids"):  # what its own class goes by
        reading["rule"] = "last-token"
    return Checkpoint(source, folder, "auto", shape, folder, tensors, **reading)


def _reading(stated: Any, place: Path) -> dict[str, Any]:
    """Rule and limit that an export of this project left in a reference layout."""
    if not isinstance(stated, Mapping):
        raise CheckpointError(f"{place}: {READING} must be an object")
    rule, limit = stated.get("rule"), stated.get("max_length")
    if rule is not None and not (isinstance(rule, str) and rule):
        raise CheckpointError(f"{place}: {READING}.rule is {rule!r}, not a text")
    if limit is not None and not (type(limit) is int and limit > 0):
        raise CheckpointError(f"{place}: {READING}.max_length is {limit!r}, not a positive whole number")
    found = {"rule": rule, "max_length": limit}
    return {key: value for key, value in found.items() if value is not None}


def find_folder(source: str | Path) -> Path:
    """The folder that holds `source`: the embedded demo, an existing folder, or a Hub snapshot."""
    if str(source) == "demo":
        return Path(__file__).parents[1] / "demo" / "model"
    path = Path(source).expanduser()
    if path.is_dir():
        return path
    if path.exists():
        raise file_instead(path)
    if not is_hub_id(str(source)):
        raise CheckpointError(
            f'{source}: no such folder, and not a Hub id such as "Schrieffer/Llama-SARM-4B"'
        )
    return hub_snapshot(str(source), ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt", "*.md"])


def is_hub_id(name: str) -> bool:
    """Whether it is spelt like a repository of the Hub, "owner/name"."""
    return _HUB_ID.fullmatch(name) is not None


def hub_snapshot(repository: str, patterns: list[str]) -> Path:
    """The folder with those files of a repository that match `patterns`. Raises CheckpointError."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repository, allow_patterns=patterns))
    except Exception as error:  # the client raises many kinds, from DNS to authorisation
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            f"{repository}: not a folder here, and the Hub did not give it ({reason}). "
            "Check the spelling and the network, or download it elsewhere and pass its folder"
        ) from None


def _open_own(source: str, folder: Path, stated: Mapping[str, Any]) -> Checkpoint:
    place = folder / CONFIG_NAME
    if stated.get("format") != FORMAT:
        raise CheckpointError(f"{place}: format is {stated.get('format')!r}; this version reads {FORMAT!r}")
    numbers: dict[str, Any] = {key: stated.get(key) for key in ("layer", "n_features", "max_length")}
    for key, value in numbers.items():
        if (value is None and key == "max_length") or (type(value) is int and value > 0):
            continue
        raise CheckpointError(f"{place}: {key} is {value!r}, not a positive whole number")
    for key in ("chat_template", "name"):
        if not isinstance(stated.get(key, ""), str | None):
            raise CheckpointError(f"{place}: {key} is {stated[key]!r}, not a text")
    backbone = stated.get("backbone", "backbone")
    if backbone == DEMO_BACKBONE:
        from sarm_core.model.embedded import ensure_backbone

        where = ensure_backbone()
    elif isinstance(backbone, str) and (folder / backbone).is_dir():
        where = folder / backbone
    else:
        where = find_folder(str(backbone))
    refuse_adapters(where)
    if where != folder:
        refuse_lost_adapter(folder, where)
    scored = stated.get("scored_token", {})
    if not isinstance(scored, Mapping):
        raise CheckpointError(
            f'{place}: scored_token must be an object such as {{"rule": "last-special-token"}}'
        )
    return Checkpoint(
        source,
        folder,
        "own",
        Shape(numbers["layer"], numbers["n_features"], kind_stated(stated, str(place))),
        where,
        TensorFiles(folder, WEIGHTS_NAME),
        rule=str(scored.get("rule", "last-special-token")),
        chat_template=stated.get("chat_template"),
        max_length=numbers["max_length"],
        name=stated.get("name"),
    )


# -- parts -----------------------------------------------------------------------------------------------


def read_sae(source: TensorFiles | str | Path, shape: Shape, prefix: str = "") -> SAE:
    """The SAE in `source`, float32: tensors of a checkpoint (with `prefix`), or a bare file.

    A bare `.safetensors` or `.pt` holds the kind's tensors without prefix; `.pt` is read with
    `weights_only=True`, which runs no pickled code. Raises CheckpointError.
    """
    read: Callable[[str], Tensor]
    names: Any
    if isinstance(source, TensorFiles):
        read, names, place = source.read, source.files, str(source.folder)
    else:
        tensors = _bare_tensors(Path(source))
        read, names, place = tensors.__getitem__, tensors, str(source)
    axes = shape.sae.TENSORS
    missing = [prefix + name for name in axes if prefix + name not in names]
    if missing:
        raise CheckpointError(
            f"{place}: no tensor {missing[0]}; this file holds no SAE of kind {shape.sae.kind!r}"
        )
    unread = sorted(n for n in names if n.startswith(prefix) and n.removeprefix(prefix) not in axes)
    if unread:
        raise CheckpointError(f"{place}: an SAE of kind {shape.sae.kind!r} has no place for {unread[0]}")
    loaded = {name: read(prefix + name) for name in axes}
    whole = next((name for name, tensor in loaded.items() if not tensor.is_floating_point()), None)
    if whole is not None:
        raise CheckpointError(
            f"{place}: {prefix}{whole} is stored as {loaded[whole].dtype}, not as floating point"
        )
    loaded = {name: tensor.float() for name, tensor in loaded.items()}
    first = next(name for name in axes if "d" in axes[name])
    d = loaded[first].shape[axes[first].index("d")] if loaded[first].ndim == len(axes[first]) else 0
    for name, wanted in shape.sae.shapes(d, shape.n_features).items():
        if tuple(loaded[name].shape) != wanted:
            raise CheckpointError(
                f"{place}: {prefix}{name} has shape {list(loaded[name].shape)}, "
                f"but {shape.n_features} features over {d} dimensions need {list(wanted)}"
            )
    with torch.device("meta"):
        sae = SAE(d, shape.n_features, shape.sae)
    sae.load_state_dict(loaded, assign=True)
    return sae


def _bare_tensors(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, "pt") as opened:
                return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises pickle, zip, runtime and OS errors here
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{path}: cannot be read as plain tensors ({reason})") from None
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise CheckpointError(f"{path}: expected a dictionary of tensors")
    return loaded
