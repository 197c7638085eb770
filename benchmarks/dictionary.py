"""Time and memory of a dictionary's report: M features of width d, and another one beside it.

python -m benchmarks.dictionary [--features 65536] [--width 4096] [--answers 2000] [--active 192] [--device cpu]
[--out FILE.json]

Columns are random, float32 or what --dtype says, with a thousand doubled; activations are random with --active features
an answer. Memory is what the process holds at most (its peak RSS) beside the decoders and activations that are given.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable

import numpy as np
import torch
from scipy import sparse

from benchmarks.report import Figure, arguments, publish
from sarm_core.dictionary.directions import near_pairs, nearest
from sarm_core.dictionary.together import firing_together, most_alike

DOUBLED = 1000


def activations(n: int, m: int, k: int, rng: np.random.Generator) -> sparse.csr_matrix:
    """k of m features in each of n answers, some far more often than others."""
    weight = rng.permutation(1 / np.arange(1, m + 1) ** 0.8)
    keys = rng.exponential(size=(n, m)).astype(np.float32) / weight.astype(np.float32)
    ids = np.sort(np.argpartition(keys, k, axis=1)[:, :k], axis=1)
    values = rng.exponential(size=n * k).astype(np.float32)
    return sparse.csr_matrix((values, ids.ravel(), np.arange(0, n * k + 1, k)), shape=(n, m))


def measured(name: str, work: Callable[[], object]) -> tuple[list[Figure], object]:
    """Seconds, and how much the peak of memory rose."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    made = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return [
        Figure(name, seconds, "s"),
        Figure("  more memory at its peak", (after - before) / 1024, "MB"),
    ], made


def main() -> None:
    """Measure and publish."""
    parser = arguments(__doc__)
    parser.add_argument("--features", type=int, default=65_536)
    parser.add_argument("--width", type=int, default=4096)
    parser.add_argument("--answers", type=int, default=2000)
    parser.add_argument("--active", type=int, default=192)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    shape = (options.width, options.features)
    left = torch.randn(shape, dtype=getattr(torch, options.dtype), device=options.device)
    left[:, -DOUBLED:] = left[:, :DOUBLED]
    right = left[:, torch.randperm(options.features, device=options.device)]
    z = activations(options.answers, options.features, options.active, rng)
    figures = []
    rows, near = measured("pairs of near directions", lambda: near_pairs(left, 0.7))
    figures += rows
    assert near.total == DOUBLED, near.total  # type: ignore[attr-defined]
    rows, found = measured("nearest of another dictionary, both ways", lambda: nearest(left, right))
    figures += rows
    assert found.left_cosine.min() > 0.99  # type: ignore[attr-defined]
    figures += measured("pairs that fire together", lambda: firing_together(z, 0.5))[0]
    rows, _ = measured("most alike of another dictionary", lambda: most_alike(z, z))
    figures += rows
    figures.append(Figure("load of the machine at the end", os.getloadavg()[0], ""))
    publish(figures, options.out, **{k: v for k, v in vars(options).items() if k != "out"})


if __name__ == "__main__":
    main()
