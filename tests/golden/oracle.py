"""What a SARM says, from its equations in NumPy and float64, without this project, torch or Transformers.

Llama's blocks with RMS norms, rotary positions (frequencies scaled as Llama 3 scales them), grouped queries and SwiGLU
[Transformers' Llama documentation; RoFormer, eq. 34], then the reward model [SARM, eq. 1-3 and sec. 3.3]:

    x  (h - mean(h)) / (std(h) + 1e-6), the deviation with n - 1
    a  W_enc (x - b_pre) + b_latent
    z  the k largest signed entries of a; all of them in a "woTopK" checkpoint
    r  sum_i w_i z_i
    s  (c - j) / (c + j + mean(c + j)) with c, j the sums of z over chosen and rejected answers
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file


class Oracle:
    """Reads a Llama checkpoint in the reference layout; its shape stands in the folder's name."""

    def __init__(self, folder: Path):
        self.t = {n: a.astype(np.float64) for n, a in load_file(folder / "model.safetensors").items()}
        self.config = json.loads((folder / "config.json").read_text())
        self.layer, self.k = (int(re.search(rf"_{key}(\d+)_", folder.name)[1]) for key in ("Layer", "K"))
        self.dense = "-woTopK-" in folder.name
        self.head = self.t["score.weight"][0]

    def hidden(self, ids: list[int]) -> np.ndarray:
        """The residual stream after block L at the last token, [d]."""
        c, t = self.config, self.t
        heads, groups = c["num_attention_heads"], c["num_key_value_heads"]
        width = c["hidden_size"] // heads
        angles = np.arange(len(ids))[:, None] * self.frequencies(width)
        cos, sin = np.cos(angles), np.sin(angles)

        def norm(x, weight):
            return x / np.sqrt((x**2).mean(-1, keepdims=True) + c["rms_norm_eps"]) * weight

        def turned(x):  # [T, heads, width]: the first half of each head with its second half
            one, two = x[..., : width // 2], x[..., width // 2 :]
            a, b = cos[:, None], sin[:, None]
            return np.concatenate([one * a - two * b, two * a + one * b], -1)

        h = t["model.embed_tokens.weight"][ids]
        future = np.triu(np.full((len(ids), len(ids)), -np.inf), 1)
        for block in range(self.layer):
            p = f"model.layers.{block}."
            x = norm(h, t[p + "input_layernorm.weight"])
            q = turned((x @ t[p + "self_attn.q_proj.weight"].T).reshape(len(ids), heads, width))
            k = turned((x @ t[p + "self_attn.k_proj.weight"].T).reshape(len(ids), groups, width))
            v = (x @ t[p + "self_attn.v_proj.weight"].T).reshape(len(ids), groups, width)
            read = []
            for head in range(heads):
                group = head * groups // heads
                score = q[:, head] @ k[:, group].T / math.sqrt(width) + future
                weight = np.exp(score - score.max(-1, keepdims=True))
                read.append(weight / weight.sum(-1, keepdims=True) @ v[:, group])
            h = h + np.concatenate(read, -1) @ t[p + "self_attn.o_proj.weight"].T
            x = norm(h, t[p + "post_attention_layernorm.weight"])
            gate = x @ t[p + "mlp.gate_proj.weight"].T
            inner = gate / (1 + np.exp(-gate)) * (x @ t[p + "mlp.up_proj.weight"].T)
            h = h + inner @ t[p + "mlp.down_proj.weight"].T
        return h[-1]

    def frequencies(self, width: int) -> np.ndarray:
        """Radians a token for each pair of dimensions, [width / 2]."""
        plain = self.config["rope_theta"] ** (-np.arange(0, width, 2) / width)
        scaling = self.config["rope_scaling"]
        if scaling is None:
            return plain
        trained = scaling["original_max_position_embeddings"]
        low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
        turns = trained * plain / (2 * np.pi)  # how often a pair turned within the length it was trained at
        share = np.clip((turns - low) / (high - low), 0, 1)
        return share * plain + (1 - share) * plain / scaling["factor"]

    def pre_activations(self, ids: list[int]) -> np.ndarray:
        """a at the scored (the last) token, [M]."""
        h, t = self.hidden(ids), self.t
        x = (h - h.mean()) / (h.std(ddof=1) + 1e-6)
        return t["sae.encoder.weight"] @ (x - t["sae.pre_bias"]) + t["sae.latent_bias"]

    def z(self, ids: list[int]) -> dict[int, float]:
        """Active features and their activations."""
        a = self.pre_activations(ids)
        kept = range(len(a)) if self.dense else np.argsort(-a, kind="stable")[: self.k]
        return {int(i): float(a[i]) for i in sorted(kept)}

    def reward(self, z: dict[int, float], scale: dict[int, float] | None = None) -> float:
        """sum_i w_i z_i, with the weights of some features multiplied."""
        return sum(self.head[i] * value * (scale or {}).get(i, 1.0) for i, value in z.items())

    def contrast(self, chosen: list[dict[int, float]], rejected: list[dict[int, float]]) -> np.ndarray:
        """s of every feature, [M]."""
        c, j = np.zeros(len(self.head)), np.zeros(len(self.head))
        for total, side in ((c, chosen), (j, rejected)):
            for z in side:
                for i, value in z.items():
                    total[i] += value
        return (c - j) / (c + j + (c + j).mean())

    def examples(self, rows: list[list[int]], scale: dict[int, float]) -> list[dict]:
        """Reward, steered reward and all active features of each token list."""
        out = []
        for ids in rows:
            z = self.z(ids)
            out.append(
                {
                    "input_ids": ids,
                    "reward": self.reward(z),
                    "n_active": len(z),
                    "features": z,
                    "head_weights": {i: float(self.head[i]) for i in z},
                    "reward_steered": self.reward(z, scale),
                }
            )
        return out
