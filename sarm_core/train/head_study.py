"""Stage 2, mode 0: the SARM's head beside two others, on the same pairs, splits and search over weight decays."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sarm_core.model.sae import SAE, standardise
from sarm_core.prove.benchmarks.rm_bench import RMBench
from sarm_core.train.activations import Reader
from sarm_core.train.data import Pair
from sarm_core.train.encoded_answers import Answers
from sarm_core.train.head_fit import pick_head
from sarm_core.train.pair_study import PairStudy
from sarm_core.train.random_encoder import random_encoder
from sarm_core.train.reward import RewardConfig, by_source

__all__ = ["HeadStudy"]


class HeadStudy:
    """Three heads on the same pairs, splits and weight-decay search: SARM, scalar head on h, random encoder.

    Activations at the scored tokens are read once.
    """

    def __init__(self, reader: Reader, pairs: Sequence[Pair], config: RewardConfig):
        self.config = config
        self.rm_bench = RMBench.read(config.evaluate) if config.evaluate else None
        bench = list(self.rm_bench.conversations) if self.rm_bench else []
        conversations = [side for pair in pairs for side in (pair.chosen, pair.rejected)]
        self.answers = Answers(reader, [*conversations, *bench], Path(config.cache))
        self.study = PairStudy(pairs, self.answers.row_of[: len(conversations)], config.seed)
        self.bench = self.answers.row_of[len(conversations) :]

    def fit(self, representation: Any) -> tuple[np.ndarray, dict[str, Any]]:
        """Fit on the train part, choose the decay on validation, report on test. `representation` [texts, F]."""
        part = self.study.parts(representation)
        found = pick_head(part["train"], part["validation"], self.config.decays, log=True)
        w = found.w.astype(np.float32).astype(np.float64)
        margins = part["test"].margins(w)
        report: dict[str, Any] = {
            "decay": found.decay,
            "validation_loss": found.loss,
            "train_accuracy": float(np.mean(part["train"].margins(w)[self.study.ordered["train"]] > 0)),
            "test": {k: asdict(v) for k, v in by_source(self.study.of("test"), margins).items()},
            "test_margins": [round(float(m), 5) for m in margins],
        }
        if self.rm_bench is not None:
            result = self.rm_bench.result(np.asarray(representation[self.bench] @ w))
            report["rm_bench_chat"] = {k: result.scores[k] for k in ("easy", "normal", "hard", "total")}
            report["rm_bench_chat"]["n"] = len(self.rm_bench.items)
        return w, report

    def paired_difference(self, ours: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
        """Accuracy of ours minus theirs on the test pairs, with a 95 % bootstrap interval over prompts."""
        return self.study.held_out["test"].difference(np.asarray(ours), np.asarray(theirs))

    def sarm(self, sae: SAE) -> tuple[np.ndarray, dict[str, Any]]:
        """The SARM's head on z."""
        print("SARM head", file=sys.stderr)
        return self.fit(self.answers.codes(sae))

    def scalar_head(self) -> dict[str, Any]:
        """Baseline (a): an ordinary scalar head on the same standardised h."""
        print("scalar head on the same h", file=sys.stderr)
        return self.fit(standardise(torch.from_numpy(self.answers.hidden())).numpy())[1]

    def random_encoder(self, sae: SAE, seed: int) -> dict[str, Any]:
        """Baseline (b): the same SARM with a random encoder, centred like the trained one."""
        print("SARM with a random encoder", file=sys.stderr)
        rows = np.unique(self.study.chosen[self.study.rows["train"]])
        return self.fit(self.answers.codes(random_encoder(sae, self.answers.hidden(rows), seed)))[1]
