"""What Transformers 5 writes, said once more in the words that Transformers 4 reads.

The paper's code is pinned to 4.43, rewardbench to 4.51. Both pass over `rope_parameters` without a word and rotate with
their own default base, so that a Llama saved by Transformers 5 is another model there; both know neither the class
"TokenizersBackend" nor special tokens as a list, and 4.43 reads no merges that are pairs. Transformers 5
reads the old words as it reads its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sarm_core.model.tensor_files import read_json

__all__ = ["config_for_older", "tokenizer_for_older"]

_ROPE_WORDS = {"gpt_neox": ("rotary_emb_base", "rotary_pct")}
"""Names of base and rotated share where they are not `rope_theta` and `partial_rotary_factor`."""
_READS_ANY = "PreTrainedTokenizerFast"
"""The class that takes tokenizer.json as it is, in every version."""


def config_for_older(config: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    """A decoder's config (the object of its config.json) with RoPE, dtype and labels also in the old words.

    `dtype` is the one that is stated where the config states none: "bfloat16".
    """
    said = dict(config)
    said["dtype"] = said["torch_dtype"] = said.get("dtype") or said.get("torch_dtype") or dtype
    rope = said.get("rope_parameters")
    if isinstance(rope, Mapping):
        said |= _rope_for_older(rope, str(said.get("model_type")))
    if said.get("num_labels") == 1:  # two labels, as every config has by default, would win over the number
        said |= {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}
    return said


def _rope_for_older(rope: Mapping[str, Any], kind: str) -> dict[str, Any]:
    local = {}
    layered = isinstance(rope.get("full_attention"), Mapping)
    if not layered and any(isinstance(value, Mapping) for value in rope.values()):
        return {}  # for kinds of layers that no older version knows
    if layered:  # a base for each kind of layer, as in Gemma 3
        sliding = rope.get("sliding_attention")
        if isinstance(sliding, Mapping) and "rope_theta" in sliding:
            local = {"rope_local_base_freq": sliding["rope_theta"]}
        rope = rope["full_attention"]
    base, share = _ROPE_WORDS.get(kind, ("rope_theta", "partial_rotary_factor"))
    found = dict(local)
    if rope.get("rope_theta") is not None:
        found[base] = rope["rope_theta"]
    if rope.get("partial_rotary_factor") is not None:
        found[share] = rope["partial_rotary_factor"]
    scaled = {k: v for k, v in rope.items() if k not in ("rope_theta", "partial_rotary_factor", "type")}
    method = scaled.get("rope_type", "default")
    if not layered or (
        method != "default" and kind.startswith("gemma3")
    ):  # else it would replace those of all layers
        found["rope_scaling"] = None if method == "default" else {**scaled, "type": method}
    return found


def tokenizer_for_older(folder: Path, tokenizer: Any) -> None:
    """Rewrite the tokenizer's files in `folder` so that every version makes the token ids that `tokenizer` makes.

    No BOS or EOS is added beside those that the text holds: the chat template has written them. Nothing is changed for
    a tokenizer without tokenizer.json.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or not (folder / "tokenizer.json").exists():
        return
    core = json.loads(backend.to_str())
    core["truncation"] = core["padding"] = None
    core["post_processor"] = _adding_nothing(core.get("post_processor"))
    model = core["model"]
    merges = model.get("merges") or []
    if all(isinstance(pair, list) and not any(" " in part for part in pair) for pair in merges):
        model["merges"] = [" ".join(pair) for pair in merges] if "merges" in model else merges
    _write(folder / "tokenizer.json", core)
    place = folder / "tokenizer_config.json"
    config = read_json(place) if place.exists() else {}
    named = config.pop("extra_special_tokens", None)
    if isinstance(named, list):
        config["additional_special_tokens"] = named
    elif named:
        config["extra_special_tokens"] = named
    config |= {"tokenizer_class": _READS_ANY, "add_bos_token": False, "add_eos_token": False}
    for entry in ("backend", "auto_map"):
        config.pop(entry, None)
    _write(place, config)


def _adding_nothing(processor: Any) -> Any:
    """A post-processor of tokenizer.json without the tokens that it would add around a text."""
    if not isinstance(processor, dict):
        return processor
    if processor.get("type") == "Sequence":
        kept = [_adding_nothing(each) for each in processor["processors"]]
        kept = [each for each in kept if each is not None]
        return {**processor, "processors": kept} if kept else None
    return processor if processor.get("type") == "ByteLevel" else None


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False), encoding="utf-8")
