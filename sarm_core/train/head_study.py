"""Stage 2, mode 0: the SARM's head beside two others, on the same pairs, splits and search over weight decays."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import sparse

from sarm_core.bootstrap import interval, redrawn
from sarm_core.model.checkpoint import Shape
from sarm_core.model.sae import SAE, standardise
from sarm_core.prove.benchmarks.rm_bench import RMBench
from sarm_core.text.rows import Conversation
from sarm_core.train.activations import Reader
from sarm_core.train.data import Pair, prompt_key
from sarm_core.train.reward import RewardConfig, by_source, pick_head

__all__ = ["HeadStudy"]

RESAMPLES = 2000


class HeadStudy:
    """Three heads on the same pairs, splits and weight-decay search: SARM, scalar head on h, random encoder.

    Activations at the scored tokens are read once, [texts, d].
    """

    def __init__(self, reader: Reader, pairs: Sequence[Pair], config: RewardConfig):
        self.pairs, self.config = list(pairs), config
        self.rm_bench = RMBench.read(config.evaluate) if config.evaluate else None
        bench = list(self.rm_bench.conversations) if self.rm_bench else []
        conversations: dict[Conversation, int] = {}
        for pair in self.pairs:
            for side in (pair.chosen, pair.rejected):
                conversations.setdefault(side, len(conversations))
        for side in bench:
            conversations.setdefault(side, len(conversations))
        sequences = reader.format.tokens(list(conversations))
        self.x = standardise(torch.from_numpy(reader.scored(sequences, Path(config.cache))))
        self.chosen = np.array([conversations[pair.chosen] for pair in self.pairs])
        self.rejected = np.array([conversations[pair.rejected] for pair in self.pairs])
        self.bench = np.array([conversations[side] for side in bench], dtype=np.int64)
        self.weights = np.array([pair.weight for pair in self.pairs])
        split = np.array([pair.split for pair in self.pairs])
        self.rows = {name: np.flatnonzero(split == name) for name in ("train", "validation", "test")}

    def fit(self, representation: Any) -> tuple[np.ndarray, dict[str, Any]]:
        """Fit on the train part, choose the decay on validation, report on test. `representation` [texts, F]."""
        differences = representation[self.chosen] - representation[self.rejected]
        part = {name: differences[rows] for name, rows in self.rows.items()}
        w, decay, loss = pick_head(
            part["train"],
            self.weights[self.rows["train"]],
            part["validation"],
            self.weights[self.rows["validation"]],
            self.config.decays,
        )
        w = w.astype(np.float32).astype(np.float64)
        margins = np.asarray(part["test"] @ w)
        report: dict[str, Any] = {
            "decay": decay,
            "validation_loss": loss,
            "train_accuracy": float(np.mean(part["train"] @ w > 0)),
            "test": {
                k: asdict(v)
                for k, v in by_source([self.pairs[i] for i in self.rows["test"]], margins).items()
            },
            "test_margins": [round(float(m), 5) for m in margins],
        }
        if self.rm_bench is not None:
            result = self.rm_bench.result(np.asarray(representation[self.bench] @ w))
            report["rm_bench_chat"] = {k: result.scores[k] for k in ("easy", "normal", "hard", "total")}
            report["rm_bench_chat"]["n"] = len(self.rm_bench.items)
        return w, report

    def paired_difference(self, ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
        """Accuracy of ours minus theirs on the test pairs, with a 95 % bootstrap interval over prompts."""
        keys = [prompt_key(self.pairs[i].chosen) for i in self.rows["test"]]
        _, prompt = np.unique(keys, return_inverse=True)
        better = (np.asarray(ours) > 0).astype(float) - (np.asarray(theirs) > 0)
        total, count = np.bincount(prompt, weights=better), np.bincount(prompt)
        sums = redrawn(np.stack([total, count]), RESAMPLES, np.random.default_rng(self.config.seed))
        low, high = interval(sums[0] / sums[1], 0.95)
        return {
            "difference": float(better.mean()),
            "low": low,
            "high": high,
            "resamples": RESAMPLES,
        }

    def sarm(self, sae: SAE) -> tuple[np.ndarray, dict[str, Any]]:
        """The SARM's head on z."""
        print("SARM head", file=sys.stderr)
        return self.fit(_sparse_codes(sae, self.x))

    def scalar_head(self) -> dict[str, Any]:
        """Baseline (a): an ordinary scalar head on the same standardised h."""
        print("scalar head on the same h", file=sys.stderr)
        return self.fit(self.x.double().numpy())[1]

    def random_encoder(self, shape: Shape, seed: int) -> dict[str, Any]:
        """Baseline (b): the same SARM with a random encoder, centred like the trained one."""
        print("SARM with a random encoder", file=sys.stderr)
        generator = torch.Generator().manual_seed(seed)
        sae = SAE(self.x.shape[1], shape.n_features, shape.sae)
        with torch.no_grad():
            sae.encoder.weight.copy_(torch.randn(shape.n_features, self.x.shape[1], generator=generator))
            sae.encoder.weight.div_(sae.encoder.weight.norm(dim=1, keepdim=True))
            sae.pre_bias.copy_(self.x[torch.from_numpy(self.chosen[self.rows["train"]])].mean(0))
        return self.fit(_sparse_codes(sae, self.x))[1]


@torch.no_grad()
def _sparse_codes(sae: SAE, x: torch.Tensor) -> sparse.csr_matrix:
    parts = [sae.encode(chunk).csr() for chunk in x.split(1024)]
    return sparse.csr_matrix(sparse.vstack(parts, format="csr"), dtype=np.float64)
