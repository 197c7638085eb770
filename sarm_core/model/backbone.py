"""The language model under a SARM: its config, its first blocks and its tokenizer, from a Hugging Face folder.

Nothing in the folder is run: Transformers' own classes are used, whatever code the config names.
"""

from __future__ import annotations

import gc
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sarm_core.errors import CheckpointError
from sarm_core.model.adapters import ADAPTER_CONFIG
from sarm_core.model.cut import BLOCK_LISTS, check_layer, class_cut_after, drop_final_norm
from sarm_core.model.hf import (
    CONFIG_MAPPING,
    MODEL_MAPPING,
    AutoTokenizer,
    PretrainedConfig,
    transformers_logging,
)
from sarm_core.model.other_folders import refuse_adapters
from sarm_core.model.tensor_files import TensorFiles, read_json

__all__ = [
    "AUTO_TYPE",
    "FINAL_NORM",
    "OTHER_HEAD",
    "QUANTISED",
    "backbone_config",
    "bare_name",
    "base_prefix",
    "block_of",
    "cut_backbone",
    "holds_text_part",
    "load_tokenizer",
    "native_bfloat16",
    "quietly",
    "reaches",
]

AUTO_TYPE = "sarm"
"""model_type of the layout for Transformers, whose config holds the backbone's."""
FINAL_NORM = re.compile(
    r"(model\.|transformer\.|decoder\.|backbone\.|gpt_neox\.|language_model\.)*(?!word_embed|embed_|per_layer)(\w*norm\w*|ln_f)\.\w+"
)
"""The norm behind the blocks, which h has not passed; BLOOM's of its embeddings and Gemma 4's per layer are others."""
_BUFFERS = re.compile(r"rotary_emb\.inv_freq$|\.att(n|ention)\.(masked_)?bias$|position_ids$")
"""Buffers that older files store and that Transformers computes: frequencies, causal masks, positions."""
OTHER_HEAD = re.compile(r"(?!lm_head\b)\w*(head|classifier)\w*\.")
"""Heads that trainers put on a model under names of their own: "v_head.", "value_head.", "classifier."."""
_HEAD = re.compile(r"(sae|score|lm_head|embed_out)\.")
"""A SARM's own tensors and the head for the next token, which h does not pass."""
_EMBEDDING = re.compile(r"(model\.)?(language_model\.)?(model\.)?embed_tokens\.weight")
_PLAIN = ("F64", "F32", "F16", "BF16")
QUANTISED = ("quantization_config", "compression_config")
"""Entries of a config that say how its weights are quantised."""
_FLOAT8 = ("fp8", "compressed-tensors")
"""Methods whose weights may be 8-bit floats with a scale."""
_OF_WEIGHTS_ONLY = ("bitsandbytes",)
"""Methods that leave some layers plain, and then compute with them as they are (others round what a layer reads)."""
_PREFIX = re.compile(
    r"^(model\.)?language_model\.(model\.)?|^(model|transformer|gpt_neox(_japanese)?|backbone|rwkv)\."
)
_BLOCK = re.compile(rf"(?:^|\.)(?:{'|'.join(BLOCK_LISTS)})\.(\d+)\.")
_SEVERAL = "its stream after a block is several vectors a token"
_OWN_POSITIONS = "its positions begin behind the id of its padding token"
_NOT_READ = {
    "inkling2": "it mixes earlier blocks in behind the last one",
    "inkling2_text": "it mixes earlier blocks in behind the last one",
    **dict.fromkeys(("deepseek_v4", "hy_v4", "gemma3n_text", "qwen4_exp_text"), _SEVERAL),
    "hrm_text": "it runs through its blocks several times",
    **dict.fromkeys(("git", "phi4_multimodal"), "the blocks of its image reader stand among its own"),
    "longcat_flash": "each of its blocks is two layers",
    "blt": "its blocks read patches of several bytes",
    "xlnet": "it reads a text in both directions",
    "cpmant": "it puts a prompt of its own before every text",
    **dict.fromkeys(
        (
            "camembert",
            "data2vec-text",
            "roberta",
            "roberta-prelayernorm",
            "xlm-roberta",
            "xlm-roberta-xl",
            "xmod",
        ),
        _OWN_POSITIONS,
    ),
}
"""Decoders (model_type) that have no h after block L, and why: measured by benchmarks/backbones.py."""
_TEXT_PART = re.compile(r"(model\.)?language_model\.(model\.)?")
"""What stands before the decoder's names in a model that reads images or sound as well."""
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
    """The first `layer` blocks of the decoder in `folder`, without final norm; the rest is never read.

    `last_hidden_state` is h after block `layer`. The config is the folder's own, as deep as the whole decoder.
    """
    refuse_adapters(folder)
    config = backbone_config(folder, layer)
    check_layer(config, layer)
    files = TensorFiles(folder)
    _refuse_quantised(files, layer)
    composite = holds_text_part(files)
    with quietly(), _collected_later():
        try:
            wrapped = read_json(folder / "config.json").get("model_type") == AUTO_TYPE
            read = [
                name for name in files.names() if reaches(name, layer, composite) and not _HEAD.match(name)
            ]
            # Transformers would read 8-bit weights in its own way and no adapter, and what it reads of a file stays
            # in memory beside the weights until all is read.
            state: dict[str, Any] = (
                {n: files.read(n) for n in read} if files.changed else {**files.on_demand(read, dtype)}
            )
            if wrapped:
                state = {bare_name(name): tensor for name, tensor in state.items()}
            reader: Any = class_cut_after(_model_class(config), layer)
            model, info = reader.from_pretrained(
                None,
                state_dict=state,
                config=config,
                dtype=dtype,
                output_loading_info=True,
                key_mapping={f"^{_TEXT_PART.pattern}": ""} if composite else None,
                trust_remote_code=False,
                local_files_only=True,
            )
        except Exception as error:  # a config can be wrong in ways that fail anywhere in a model's own code
            raise CheckpointError(f"{folder}: the backbone cannot be loaded ({_one_line(error)})") from None
    drop_final_norm(model)
    kept = set(model.state_dict()) if info["missing_keys"] else set()
    missing = sorted(name for name in info["missing_keys"] if name in kept)
    if missing:
        raise CheckpointError(f"{folder}: the backbone lacks {missing[0]} ({len(missing)} tensors missing)")
    unread = sorted(name for name in info["unexpected_keys"] if not _needless(name, layer, composite))
    if unread:
        remedy = "merge adapters and scales into the weights, or remove what is not part of it"
        if any(".lora_" in name for name in unread):
            remedy = (
                f"merge the adapter into the weights, or put its {ADAPTER_CONFIG} beside them, for its scale"
            )
        raise CheckpointError(
            f"{folder}: {config.model_type} has no place for {unread[0]} ({len(unread)} such tensors), so scores would "
            f"be those of another model: {remedy}"
        )
    return model


@contextmanager
def _collected_later() -> Iterator[None]:
    """No search for garbage cycles while a model is built: one walks through all that was imported, for nothing."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


def _model_class(config: PretrainedConfig) -> type[nn.Module]:
    kind: Any = MODEL_MAPPING[type(config)]
    found: type[nn.Module] = kind[0] if isinstance(kind, tuple) else kind
    return found


def base_prefix(config: PretrainedConfig) -> str:
    """What a model with a head puts before the names of its backbone's tensors: "model" in Llama and most others."""
    return str(getattr(_model_class(config), "base_model_prefix", ""))


def holds_text_part(files: TensorFiles) -> bool:
    """Whether the decoder in these files is a part of a model that reads images or sound as well."""
    return any(_TEXT_PART.match(name) for name in files.files)


def reaches(name: str, layer: int, composite: bool) -> bool:
    """Whether a tensor is the decoder's, and not of a block behind `layer`."""
    return block_of(name) < layer and (not composite or _TEXT_PART.match(name) is not None)


def _quantised(files: TensorFiles, layer: int) -> tuple[str, str] | None:
    """A tensor of the first `layer` blocks that is not plain numbers, and how it is stored; None without any."""
    composite = holds_text_part(files)
    stored = sorted(files.dtypes().items())
    return next(
        ((n, dtype) for n, dtype in stored if dtype not in _PLAIN and not _needless(n, layer, composite)),
        None,
    )


def _refuse_quantised(files: TensorFiles, layer: int) -> None:
    """Raises CheckpointError for weights that are not plain numbers."""
    if found := _quantised(files, layer):
        raise CheckpointError(
            f"{files.folder}: {found[0]} is stored as {found[1]}, a quantised format that is not read: "
            "save the model in bfloat16, float16 or float32"
        )


def _needless(name: str, layer: int, composite: bool) -> bool:
    """Whether a tensor that the cut backbone has no place for changes nothing in h."""
    if _HEAD.match(name) or not reaches(name, layer, composite):
        return True
    name = _TEXT_PART.sub("", name, count=1)
    return any((FINAL_NORM.fullmatch(name), OTHER_HEAD.match(name), _BUFFERS.search(name)))


def _one_line(error: Exception) -> str:
    return " ".join((str(error) or type(error).__name__).split())[:300]


def backbone_config(folder: Path, layer: int | None = None) -> PretrainedConfig:
    """The decoder's config in `folder` as Transformers' own class; `auto_map` (remote code) is never followed.

    Of a model that reads images or sound as well it is the decoder's part. Raises CheckpointError, also for models
    that have no stream of one vector a token, and where the weights of the first `layer` blocks (all, without it) are
    quantised.
    """
    place = folder / "config.json"
    read_json(place)  # says better what is wrong with the file
    try:
        data, _ = PretrainedConfig.get_config_dict(str(folder), local_files_only=True)
    except Exception as error:
        raise CheckpointError(f"{place}: cannot be read ({_one_line(error)})") from None
    if data.get("model_type") == AUTO_TYPE:
        if not isinstance(data.get("backbone"), dict):
            raise CheckpointError(f"{place}: backbone must be the object of a decoder's config")
        data = data["backbone"]
    quantised = data.get("quantization_config") or data.get("compression_config")
    how = quantised.get("quant_method") if isinstance(quantised, Mapping) else quantised
    if quantised and _reads_as_plain(str(how), TensorFiles(folder), layer):
        data = {key: value for key, value in data.items() if key not in QUANTISED}
    elif quantised:
        raise CheckpointError(
            f"{place}: the weights are quantised ({how}), which is not read: load the model where that works, "
            "dequantize() it and save it again"
        )
    kind = str(data.get("model_type"))
    named = data.get("architectures")
    architecture = str(named[0]) if isinstance(named, list) and named else ""
    if kind not in CONFIG_MAPPING and architecture.endswith("SARM"):
        kind = architecture.removesuffix("SARM").lower()
    if kind not in CONFIG_MAPPING:
        raise CheckpointError(f"{place}: model_type {kind!r} is not known to Transformers")
    data = {key: value for key, value in data.items() if key not in _NOT_FOLLOWED}
    try:
        whole = CONFIG_MAPPING[kind].from_dict(data)
        config = whole.get_text_config(decoder=True)
    except Exception as error:  # each class checks in its own way
        raise CheckpointError(f"{place}: not a config of {kind} ({_one_line(error)})") from None
    why = _NOT_READ.get(config.model_type)
    if getattr(whole, "is_encoder_decoder", False):
        why = "its answers are read by another stack than its questions"
    elif why is None and getattr(config, "is_decoder", True) is False and not kind.startswith("gpt_neox"):
        why = "it reads a text in both directions where is_decoder is not set"
    elif why is None and type(config) not in MODEL_MAPPING:
        why = "Transformers has no decoder for it by itself"
    if why:
        raise CheckpointError(
            f"{place}: a {kind} has no features after a block to score by, as {why}; take a SARM on another backbone"
        )
    for key in ("num_hidden_layers", "hidden_size", "vocab_size", "max_position_embeddings"):
        value = getattr(config, key, None)
        if value is not None and (type(value) is not int or value < 1):
            raise CheckpointError(f"{place}: {key} is {value!r}, not a positive whole number")
    files = TensorFiles(folder)
    for name in files.files:
        if _EMBEDDING.fullmatch(name):  # a [PAD] token may have been added after the config was written
            config.vocab_size = files.shape(name)[0] - (
                config.model_type == "moshi"
            )  # which has one row more
    return config


def _reads_as_plain(method: str, files: TensorFiles, layer: int | None) -> bool:
    """Whether the weights are plain numbers whatever the config states, and what is computed with them is the model."""
    if method in _FLOAT8:
        return bool(files.scales)  # plain numbers once they are multiplied
    if method not in _OF_WEIGHTS_ONLY:
        return False
    deep = 1 + max(map(block_of, files.files), default=0) if layer is None else layer
    return _quantised(files, deep) is None


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
    found = _BLOCK.search(name)
    return int(found[1]) if found else -1


def native_bfloat16(device: torch.device | str = "cpu") -> bool:
    """Whether bfloat16 is multiplied in hardware there; emulated, it is many times slower than float32.

    oneDNN's own answer is not asked: it says yes wherever it can emulate, on any processor with AVX-512.
    """
    if torch.device(device).type != "cpu":
        return True
    asked = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(bool(getattr(torch.cpu, name)()) for name in asked if hasattr(torch.cpu, name))


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
