"""Write the expected figures again, from the oracle alone: `python -m tests.golden.make`."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np

from tests.golden.oracle import Oracle
from tests.golden.seeded import NAMES, SEEDS, build, expected_file, token_lists

SHOWN = 20
LEAST_GAP = 1e-3
"""Between the last kept and the first dropped pre-activation: below it float32 could choose another feature."""


def figures(name: str, folder: Path) -> dict:
    """What `*.expected.json` holds. Of a dense z the features with the largest |w z| stand for all."""
    oracle = Oracle(build(folder, name))
    rows = token_lists(SEEDS[name])
    found = [oracle.z(ids) for ids in rows]
    if not oracle.dense:
        ranked = [np.sort(oracle.pre_activations(ids))[::-1] for ids in rows]
        gap = min(a[oracle.k - 1] - a[oracle.k] for a in ranked)
        assert gap > LEAST_GAP, (
            f"{name}: the k-th and the next pre-activation are {gap:.1e} apart; take another seed"
        )
    total = np.zeros(len(oracle.head))
    for z in found:
        for i, value in z.items():
            total[i] += abs(oracle.head[i] * value)
    strong = [int(i) for i in np.argsort(-total, kind="stable")[:3]]
    scale = dict(zip(strong, (2.0, 0.0, -1.5), strict=True))
    examples = oracle.examples(rows, scale)
    for example in examples:
        ranked = sorted(example["features"], key=lambda i: -abs(example["features"][i] * oracle.head[i]))
        for key in ("features", "head_weights"):
            example[key] = {i: example[key][i] for i in sorted(ranked[:SHOWN])}
    half = len(rows) // 2
    scores = oracle.contrast(found[:half], found[half:])
    # Signed activations can cancel in the denominator, where rounding then decides the score: none of those.
    sums = np.zeros(len(oracle.head))
    for z in found:
        for i, value in z.items():
            sums[i] += value
    under = np.abs(sums + sums.mean())
    telling = [int(i) for i in np.argsort(-np.abs(scores), kind="stable") if under[i] > 1 or not oracle.dense]
    return {
        "checkpoint": name,
        "steering": {str(i): ["*", factor] for i, factor in scale.items()},
        "contrast": {
            "chosen": list(range(half)),
            "rejected": list(range(half, len(rows))),
            "scores": {str(i): float(scores[i]) for i in telling[:15]},
        },
        "examples": examples,
    }


def rounded(value):
    """Nine figures: more than float32 has."""
    if isinstance(value, dict):
        return {str(key): rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [rounded(inner) for inner in value]
    return float(f"{value:.9g}") if isinstance(value, float) else value


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        for name in NAMES:
            text = json.dumps(rounded(figures(name, Path(scratch))), allow_nan=False)
            expected_file(name).write_text(text + "\n")


if __name__ == "__main__":
    main()
