"""A config of a few thousand weights for any decoder type: what its class knows of the usual sizes, made small."""

from __future__ import annotations

from typing import Any

from transformers import PretrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

__all__ = ["BLOCKS", "VOCABULARY", "WIDTH", "tiny_config"]

BLOCKS, VOCABULARY, WIDTH, WINDOW = 4, 300, 32, 8

SMALL: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "d_model": WIDTH,
    "n_embd": WIDTH,
    "n_embed": WIDTH,
    "embedding_dim": WIDTH,
    "embedding_size": WIDTH,
    "word_embed_proj_dim": WIDTH,
    "intermediate_size": 64,
    "ffn_dim": 64,
    "ffn_hidden_size": 64,
    "decoder_ffn_dim": 64,
    "encoder_ffn_dim": 64,
    "dff": 64,
    "n_inner": 64,
    "moe_intermediate_size": 32,
    "shared_expert_intermediate_size": 32,
    "shared_intermediate_size": 32,
    "intermediate_size_mlp": 32,
    "num_hidden_layers": BLOCKS,
    "num_layers": BLOCKS,
    "n_layer": BLOCKS,
    "n_layers": BLOCKS,
    "num_blocks": BLOCKS,
    "decoder_layers": BLOCKS,
    "encoder_layers": BLOCKS,
    "num_attention_heads": 4,
    "n_head": 4,
    "n_heads": 4,
    "num_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_attention_heads": 4,
    "attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "attention_head_dim": 8,
    "sliding_window": WINDOW,
    "attention_window_size": WINDOW,
    "window_size": WINDOW,
    "local_attention": WINDOW,
    "attention_chunk_size": WINDOW,
    "max_position_embeddings": 128,
    "n_positions": 128,
    "max_seq_len": 128,
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "moe_num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_k": 2,
    "moe_topk": 2,
    "n_group": 1,
    "topk_group": 1,
    "n_shared_experts": 1,
    "num_shared_experts": 1,
    "first_k_dense_replace": 1,
    "num_dense_layers": 1,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 8,
    "index_n_heads": 2,
    "index_head_dim": 16,
    "index_topk": 64,
    "mamba_n_heads": 8,
    "mamba_d_head": 8,
    "mamba_d_ssm": 64,
    "mamba_num_heads": 8,
    "mamba_head_dim": 8,
    "mamba_d_state": 8,
    "mamba_chunk_size": 16,
    "mamba_n_groups": 1,
    "n_mamba_heads": 2,
    "use_mamba_kernels": False,
    "ssm_state_size": 8,
    "state_size": 8,
    "n_groups": 1,
    "chunk_size": 16,
    "time_step_rank": 4,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "lru_width": WIDTH,
    "hidden_size_per_layer_input": 8,
    "vocab_size_per_layer_input": VOCABULARY,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "hidden_dropout": 0.0,
    "is_decoder": True,
}
"""Of these each class takes what it knows."""

_HALF = ["linear_attention", "full_attention"] * 2
_ROPE = {"rope_type": "default", "rope_theta": 1e4}
_MAMBA_HALF = ["mamba", "attention"] * 2

PARTICULAR: dict[str, dict[str, Any]] = {
    "bailing_hybrid": {
        "layer_group_size": 2,
        "layer_types": _HALF,
        "linear_head_dim": 8,
        "linear_num_heads": 4,
    },
    "bamba": {"attn_layer_indices": [1, 3]},
    "cohere_compass_text": {"rope_parameters": {"full_attention": _ROPE, "sliding_attention": _ROPE}},
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "rope_theta": 1e4, "clip_qkv": 8},
        "ffn_config": {"ffn_hidden_size": 64, "moe_num_experts": 4, "moe_top_k": 2},
    },
    "dots3_note_text": {"shared_experts_intermediate_size": 32},
    "codegen": {"rotary_dim": 4},
    "gemma2": {"query_pre_attn_scalar": 8},
    "gptj": {"rotary_dim": 4},
    "gpt_neo": {"attention_types": [[["global", "local"], 2]]},
    "granitemoehybrid": {"layer_types": _MAMBA_HALF},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "kimi_linear": {"layer_types": _HALF},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2},
    "mamba2": {"num_heads": 8, "head_dim": 8, "expand": 2, "hidden_size": WIDTH},
    "xlstm": {"chunk_size": 64, "hidden_size": 128, "embedding_dim": 128},
    "zaya": {"num_experts_per_tok": 1},
    "zamba": {"layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"]},
    "zamba2": {"layer_types": ["mamba", "hybrid", "mamba", "hybrid"], "hybrid_layer_ids": [1, 3]},
}
"""What a type needs besides, or instead."""


def _taken(known: PretrainedConfig) -> dict[str, Any]:
    names = {**vars(known), **dict.fromkeys(known.attribute_map)}
    here = {name: value for name, value in SMALL.items() if name in names}
    for alias, name in known.attribute_map.items():  # one value for both names of a thing
        if alias in here and name in here:
            del here[alias]
    if "kv_lora_rank" in here and "num_key_value_heads" in here:  # latent attention has keys for every head
        here["num_key_value_heads"] = here["num_attention_heads"]
    # a size that is off by default (None, 0) switches something on
    optional = (
        "num_experts",
        "num_local_experts",
        "sliding_window",
        "q_lora_rank",
        "hidden_size_per_layer_input",
    )
    return {name: v for name, v in here.items() if name not in optional or getattr(known, name, None)}


def tiny_config(kind: str) -> PretrainedConfig:
    """The config class of `kind`, small: 4 blocks, 32 numbers a token, 300 tokens."""
    known = CONFIG_MAPPING[kind]()
    settings = _taken(known)
    for name, part in vars(known).items():
        if isinstance(part, PretrainedConfig):
            small = _taken(part)
            settings[name] = {**small, "model_type": part.model_type, **PARTICULAR.get(part.model_type, {})}
    return CONFIG_MAPPING[kind](**{**settings, **PARTICULAR.get(kind, {})})
