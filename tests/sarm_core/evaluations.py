"""Evaluations for the report's tests: benchmarks with random activations, no language model."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from scipy import sparse

from sarm_core.features import FeatureMatrix
from sarm_core.prove.benchmarks.pairs import Pairs
from sarm_core.prove.benchmarks.reward_bench2 import RewardBench2
from sarm_core.prove.benchmarks.rm_bench import RMBench
from sarm_core.prove.complement import Complement
from sarm_core.prove.evaluation_report import evaluation_report
from sarm_core.steering import Group, Steering

FEATURES = 30
FINGERPRINT = "ab" * 32
SCALED = Steering(scale={3: 0.0, 7: -1.5}, groups={"refusal wording": Group((11, 12), 2.0)})
SET = Steering(scale={3: 0.5}, set={7: 2.0})
OFFSET = Steering(offset={3: 4.0})


def _numbered(rows: list[dict[str, Any]]) -> list[tuple[str, int, dict[str, Any]]]:
    return [("items.jsonl", i + 1, row) for i, row in enumerate(rows)]


def pairs(n: int = 60) -> Pairs:
    """Two pairs a prompt, in two subsets."""
    return Pairs.from_rows(
        _numbered(
            [
                {
                    "prompt": f"question {i // 2}",
                    "chosen": f"good answer {i}",
                    "rejected": f"bad answer {i}",
                    "subset": ("should answer", "should refuse")[i % 2],
                    "id": f"pair {i}",
                }
                for i in range(n)
            ]
        )
    )


def rm_bench(n: int = 20) -> RMBench:
    """Chat and the safety-refuse pool only: domains are missing."""
    return RMBench.from_rows(
        _numbered(
            [
                {
                    "prompt": f"question {i}",
                    "chosen": [f"good {i} {style}" for style in range(3)],
                    "rejected": [f"bad {i} {style}" for style in range(3)],
                    "domain": ("chat", "safety-refuse")[i % 2],
                }
                for i in range(n)
            ]
        )
    )


def reward_bench2(n: int = 24) -> RewardBench2:
    """Two ordinary subsets and Ties."""
    rows = []
    for i in range(n):
        row: dict[str, Any] = {
            "prompt": f"question {i}",
            "chosen": [f"good {i}"],
            "rejected": [f"bad {i} {j}" for j in range(3)],
            "subset": ("Math", "Focus", "Ties")[i % 3],
            "id": str(i),
        }
        if i % 3 == 2:
            row["id"] = f"{('ref', 'tied')[i // 3 % 2]}:{i // 6}"
            row["chosen"] = [f"good {i} {j}" for j in range(1 + i // 3 % 2)]
        rows.append(row)
    return RewardBench2.from_rows(_numbered(rows))


def matrix_for(benchmark: Any, seed: int = 0, nan: int = 0) -> FeatureMatrix:
    """Sparse random activations, some negative; the first `nan` answers have one that is not a number."""
    rng = np.random.default_rng(seed)
    n = len(benchmark.conversations)
    dense = rng.normal(0.5, 1.0, (n, FEATURES)) * (rng.random((n, FEATURES)) < 0.4)
    dense[:nan, 0] = np.nan
    return FeatureMatrix(
        sparse.csr_matrix(dense.astype(np.float32)), rng.normal(0, 1, FEATURES).astype(np.float32)
    )


def evaluation(
    benchmark: Any,
    steering: Steering | None = SCALED,
    *,
    seed: int = 0,
    nan: int = 0,
    complement: bool = True,
    resamples: int = 100,
) -> dict[str, Any]:
    """As the command line writes it, read back from JSON."""
    report = evaluation_report(
        benchmark,
        matrix_for(benchmark, seed, nan),
        steering,
        complement=Complement(matrix_for(pairs(10), seed)) if complement else None,
        resamples=resamples,
        seed=seed,
    )
    report["model"] = {
        "source": "tiny",
        "name": "a tiny model",
        "fingerprint": FINGERPRINT,
        "features": FEATURES,
        "dtype": "float32",
        "device": "cpu",
        "max_length": 512,
    }
    report["files"] = [{"name": "items.jsonl", "sha256": "cd" * 32}]
    report["cut_answers"] = 2
    report["versions"] = {"sarm-explorer": "0.1.0", "python": "3.11.2"}
    report["command"] = "sarm evaluate pairs items.jsonl"
    return json.loads(json.dumps(report, allow_nan=False))
