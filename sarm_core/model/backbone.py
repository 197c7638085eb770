"""The language model under a SARM: its config, its first blocks and its tokenizer, from a Hugging Face folder.

Nothing in the folder is run: Transformers' own classes are used, whatever code the config names.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoModel, AutoTokenizer, PretrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.utils import logging as transformers_logging

from sarm_core.errors import CheckpointError
from sarm_core.model.sarm import cut_config, remove_final_norm
from sarm_core.model.tensor_files import INDEX_NAME, TensorFiles, read_json

__all__ = [
    "FINAL_NORM",
    "backbone_config",
    "bare_name",
    "block_of",
    "cut_backbone",
    "load_tokenizer",
    "native_bfloat16",
    "quietly",
]

FINAL_NORM = re.compile(r"(model\.|transformer\.)?(\w*norm\w*|ln_f)\.\w+")
_PREFIX = re.compile(r"^(model|transformer)\.")
# Entries of a config that name code, kernels or files to fetch; `model_type` is given by the class.
_NOT_FOLLOWED = (
    "model_type",
    "auto_map",
    "attn_implementation",
    "_attn_implementation",
    "experts_implementation",
    "_experts_implementation",
    "fusion_config",
    "transformers_weights",
)


def cut_backbone(folder: Path, layer: int, dtype: torch.dtype) -> nn.Module:
    """The first `layer` blocks of the decoder in `folder`, without final norm; the rest is never read."""
    config = cut_config(backbone_config(folder), layer)
    source: dict[str, Any] = {"pretrained_model_name_or_path": folder, "use_safetensors": True}
    index = folder / INDEX_NAME
    with quietly():
        try:
            reader: Any = AutoModel
            if index.exists() and "metadata" not in read_json(index):  # Transformers needs that entry
                with torch.device("meta"):
                    reader = type(AutoModel.from_config(config))
                files = TensorFiles(folder)
                state = {name: files.read(name) for name in files.names() if block_of(name) < layer}
                source = {"pretrained_model_name_or_path": None, "state_dict": state}
            model, info = reader.from_pretrained(
                **source,
                config=config,
                dtype=dtype,
                output_loading_info=True,
                trust_remote_code=False,
                local_files_only=True,
            )
        except (OSError, RuntimeError, ValueError, SafetensorError) as error:
            reason = str(error).strip().splitlines()[0]
            raise CheckpointError(f"{folder}: the backbone cannot be loaded ({reason})") from None
    remove_final_norm(model)
    kept = set(model.state_dict())
    missing = sorted(name for name in info["missing_keys"] if name in kept)
    if missing:
        raise CheckpointError(f"{folder}: the backbone lacks {missing[0]} ({len(missing)} tensors missing)")
    return model


def backbone_config(folder: Path) -> PretrainedConfig:
    """The config in `folder` as Transformers' own class; `auto_map` (remote code) is never followed."""
    data = read_json(folder / "config.json")
    kind = str(data.get("model_type"))
    architecture = str((data.get("architectures") or [""])[0])
    if kind not in CONFIG_MAPPING and architecture.endswith("SARM"):
        kind = architecture.removesuffix("SARM").lower()
    if kind not in CONFIG_MAPPING:
        raise CheckpointError(f"{folder / 'config.json'}: model_type {kind!r} is not known to Transformers")
    data = {key: value for key, value in data.items() if key not in _NOT_FOLLOWED}
    config = CONFIG_MAPPING[kind].from_dict(data)
    files = TensorFiles(folder)
    for name in ("model.embed_tokens.weight", "embed_tokens.weight"):
        if name in files:  # a [PAD] token may have been added after the config was written
            config.vocab_size = files.shape(name)[0]
    return config


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer in `folder`, or None when it ships none. Raises CheckpointError."""
    if not any((folder / name).exists() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        return None
    try:
        with quietly():
            return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # tokenizers raises bare Exceptions
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"{folder}: the tokenizer cannot be loaded ({reason})") from None


def bare_name(name: str) -> str:
    """A tensor's name without the prefix that says it is a backbone's: "layers.0...", "h.0..."."""
    return _PREFIX.sub("", name)


def block_of(name: str) -> int:
    """Which block a tensor belongs to, from 0; -1 for one outside the blocks (embeddings, norms, heads)."""
    found = re.search(r"(?:layers|h|blocks)\.(\d+)\.", name)
    return int(found[1]) if found else -1


def native_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware; emulated, it is many times slower than float32."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


@contextmanager
def quietly() -> Iterator[None]:
    """Silence Transformers' load report: the tensors it calls unexpected are ours, and we check the rest."""
    before = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(logging.CRITICAL)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(before)
        if bars:
            transformers_logging.enable_progress_bar()
