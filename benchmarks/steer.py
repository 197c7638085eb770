"""How long it takes to evaluate 10,000 stored pairs under another steering, beside the limit.

    python benchmarks/steer.py [--out runs/benchmark-steer.json]
    python benchmarks/steer.py --small    1/20 of it, to try the script

Pairs of random token ids go through a tiny backbone with a dictionary of 65,536 features, 192 of them active,
so that the stored activations have the size of an 8B model's. Then, from the stored activations:

    read      the matrix from disk, with all checks (once per process)
    rewards   steered rewards of all answers under 32 features
    evaluate  rewards, scores by subset, and the list of flips
    whole     the same with paired bootstrap intervals (1,000 resamples), collateral and distributions

The claim is about `whole`: at most 1 s. Each steering is another one. Median and largest of the repeats.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sarm_core import Steering, load_sarm
from sarm_core.features import FeatureMatrix
from sarm_core.prove.benchmarks.pairs import Pairs
from sarm_core.prove.evaluate import collateral, compare, distribution, evaluate
from sarm_core.score.encoded import encode_once
from tests.sarm_core.tiny_models import reference_checkpoint

LIMIT_SECONDS = 1.0
STEERED = 32
SUBSETS = ("chat", "code", "math", "safety")


def pairs(n: int) -> Pairs:
    """n pairs of short random token lists, two pairs a prompt, in four subsets."""
    rng = np.random.default_rng(0)

    def ids() -> list[int]:
        return rng.integers(2, 290, 8).tolist()

    rows = [
        {"chosen_input_ids": ids(), "rejected_input_ids": ids(), "subset": SUBSETS[i % len(SUBSETS)]}
        for i in range(n)
    ]
    return Pairs.from_rows([("synthetic", i + 1, row) for i, row in enumerate(rows)])


def steerings(matrix: FeatureMatrix, repeats: int) -> list[Steering]:
    """Different steerings of 32 features each, among the 200 that fire most: the slow case."""
    rng = np.random.default_rng(1)
    fires = np.bincount(matrix.csr.indices, minlength=matrix.n_features)
    often = np.argsort(-fires)[:200]
    return [
        Steering(
            scale={
                int(i): float(m)
                for i, m in zip(
                    rng.choice(often, STEERED, replace=False), rng.uniform(-2, 3, STEERED), strict=True
                )
            }
        )
        for _ in range(repeats)
    ]


def timed(action: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    value = action()
    return time.perf_counter() - started, value


def run(folder: Path, n_pairs: int, repeats: int) -> dict[str, Any]:
    checkpoint = reference_checkpoint(folder / "model", n_features=65_536, k=192)
    scorer = load_sarm(checkpoint, dtype="float32")
    benchmark = pairs(n_pairs)
    cache = folder / "cache"
    encode_seconds, first = timed(lambda: encode_once(scorer, benchmark.conversations, folder=cache))
    read_seconds, stored = timed(lambda: encode_once(scorer, benchmark.conversations, folder=cache))
    matrix = stored.matrix
    if stored.reused != len(matrix) or not np.array_equal(matrix.rewards, first.matrix.rewards):
        raise SystemExit("the stored activations were not used, or are not the encoded ones")
    before = evaluate(benchmark, matrix)
    index = benchmark.pair_numbers

    def whole(steering: Steering) -> int:
        compared = compare(before, evaluate(benchmark, matrix, steering))
        own = matrix.rewards, steering.rewards(matrix)
        collateral(*own, index)
        distribution(*own)
        return len(compared.flips)

    tried = steerings(matrix, repeats)
    figures: dict[str, list[float]] = {"rewards": [], "evaluate": [], "whole": []}
    flips = 0
    for steering in tried:
        figures["rewards"].append(timed(lambda s=steering: s.rewards(matrix))[0])
        figures["evaluate"].append(
            timed(lambda s=steering: compare(before, evaluate(benchmark, matrix, s), resamples=0))[0]
        )
        seconds, flipped = timed(lambda s=steering: whole(s))
        figures["whole"].append(seconds)
        flips += flipped
    return {
        "pairs": n_pairs,
        "answers": len(matrix),
        "active_features_an_answer": float(matrix.n_active.mean()),
        "stored_bytes": sum(path.stat().st_size for path in cache.rglob("*.npz")),
        "first_encoding_seconds": encode_seconds,
        "read_seconds": read_seconds,
        "flips_a_steering": flips / len(tried),
        "seconds": {
            name: {"median": statistics.median(values), "max": max(values)}
            for name, values in figures.items()
        },
        "limit_seconds": LIMIT_SECONDS,
        "within_limit": statistics.median(figures["whole"]) <= LIMIT_SECONDS,
    }


def show(results: dict[str, Any]) -> None:
    print(
        f"{results['pairs']:,} pairs, {results['active_features_an_answer']:.0f} active features an answer, "
        f"{results['stored_bytes'] / 2**20:.0f} MiB on disk, {results['flips_a_steering']:.0f} flips a steering"
    )
    print(f"{'':12}{'median s':>10}{'max s':>10}{'limit s':>10}")
    print(f"{'read':12}{results['read_seconds']:10.3f}")
    for name, figure in results["seconds"].items():
        limit = f"{LIMIT_SECONDS:10.1f}" if name == "whole" else ""
        print(f"{name:12}{figure['median']:10.3f}{figure['max']:10.3f}{limit}")
    setting = results["setting"]
    print(f"load of the machine: {setting['load']:.1f} on {setting['cores']} cores")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--small", action="store_true", help="500 pairs instead of 10,000")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark-steer.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="steer-benchmark-") as folder:
        results = run(Path(folder), 500 if options.small else 10_000, options.repeats)
    results["setting"] = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "load": os.getloadavg()[0],
        "cores": os.cpu_count(),
    }
    show(results)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
