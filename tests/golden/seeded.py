"""The golden checkpoints, made from a seed: tiny Llamas in the reference layout.

Weights are uniform numbers from the raw bits of PCG64. NumPy keeps that stream for good, while its distributions
and torch's generators may change with a version.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

NAMES = (
    "Seeded_Latent256_Layer2_K12_1B-SARM-TopK-LastToken-1",
    "Seeded_Latent256_Layer3_K12_1B-SARM-woTopK-LastToken-1",
)
SEEDS = dict(zip(NAMES, (20253, 20252), strict=True))
FOLDER = Path(__file__).parent

D, INNER, BLOCKS, HEADS, GROUPS, M, VOCABULARY = 16, 40, 4, 2, 1, 256, 512
BOS, EOT, PAD = 508, 509, 511
CONFIG = {
    "architectures": ["LlamaSARM"],
    "model_type": "llama",
    "hidden_size": D,
    "intermediate_size": INNER,
    "num_hidden_layers": BLOCKS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": GROUPS,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-05,
    "hidden_act": "silu",
    "attention_bias": False,
    "mlp_bias": False,
    # Written as Transformers 4 writes it. Trained at 64 tokens, so that the scaling matters in texts as short as these.
    "rope_theta": 10000.0,
    "rope_scaling": {
        "factor": 8.0,
        "high_freq_factor": 4.0,
        "low_freq_factor": 1.0,
        "original_max_position_embeddings": 64,
        "rope_type": "llama3",
    },
    "tie_word_embeddings": False,
    "torch_dtype": "float32",
    "bos_token_id": BOS,
    "eos_token_id": EOT,
    "pad_token_id": PAD,
}


class Draw:
    """Uniform numbers in [-1, 1) with 53 bits, and whole numbers below `n`, from the raw stream."""

    def __init__(self, seed: int):
        self.bits = np.random.PCG64(seed)

    def uniform(self, *shape: int) -> np.ndarray:
        raw = self.bits.random_raw(int(np.prod(shape)))
        return ((raw >> np.uint64(11)) * 2.0**-52 - 1.0).reshape(shape)

    def below(self, n: int, size: int) -> list[int]:
        return [int(v) for v in self.bits.random_raw(size) % np.uint64(n)]


def tensors(seed: int) -> dict[str, np.ndarray]:
    """All tensors of a checkpoint, float32."""
    draw = Draw(seed)
    width = D // HEADS * GROUPS
    out = {"model.embed_tokens.weight": draw.uniform(VOCABULARY, D)}
    for block in range(BLOCKS):
        p = f"model.layers.{block}."
        for name, rows, columns in (
            ("self_attn.q_proj", D, D),
            ("self_attn.k_proj", width, D),
            ("self_attn.v_proj", width, D),
            ("self_attn.o_proj", D, D),
            ("mlp.gate_proj", INNER, D),
            ("mlp.up_proj", INNER, D),
            ("mlp.down_proj", D, INNER),
        ):
            out[f"{p}{name}.weight"] = 0.6 * draw.uniform(rows, columns)
        for name in ("input_layernorm", "post_attention_layernorm"):
            out[f"{p}{name}.weight"] = 1 + 0.2 * draw.uniform(D)
    out["model.norm.weight"] = 2 + draw.uniform(D)  # stored, never applied
    out["lm_head.weight"] = draw.uniform(VOCABULARY, D)
    out["sae.pre_bias"] = 0.3 * draw.uniform(D)
    out["sae.latent_bias"] = 0.1 * draw.uniform(M)
    out["sae.encoder.weight"] = 0.4 * draw.uniform(M, D)
    out["sae.decoder.weight"] = 0.4 * draw.uniform(D, M)
    out["score.weight"] = 0.3 * draw.uniform(1, M)
    return {name: value.astype(np.float32) for name, value in out.items()}


def token_lists(seed: int) -> list[list[int]]:
    """Twelve texts of 1 to 90 tokens, two of which share a beginning; the last token is the end of turn."""
    draw = Draw(seed + 1000)
    lengths = [0, 2, *(5 + n for n in draw.below(85, 8))]
    rows = [[*draw.below(BOS, n), EOT] for n in lengths]
    start = draw.below(BOS, 30)
    return [*rows, [*start, 7, EOT], [*start, 9, 11, EOT]]


def build(folder: Path, name: str) -> Path:
    """Write the checkpoint `name` into a new folder of that name below `folder`."""
    target = folder / name
    target.mkdir(parents=True)
    save_file(tensors(SEEDS[name]), target / "model.safetensors", metadata={"format": "pt"})
    (target / "config.json").write_text(json.dumps(CONFIG, indent=1))
    return target


def expected_file(name: str) -> Path:
    """Where the figures of a checkpoint are committed."""
    return FOLDER / f"{name}.expected.json"
