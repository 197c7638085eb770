"""Time and memory of a dictionary's report: M features of width d, and another one beside it.

python -m benchmarks.dictionary [--features 65536] [--width 4096] [--answers 2000] [--active 192] [--blocks N] [--out
F.json]

Columns are random, float32 or what --dtype says, with a thousand doubled; activations are random with --active features
an answer. Products of blocks are alike, so --blocks stops after so many of them and says the time of one. Memory is the
process's peak beyond what the decoders and activations hold before.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import sparse

from benchmarks.report import Figure, arguments, publish
from sarm_core.dictionary.directions import near_pairs, nearest
from sarm_core.dictionary.together import firing_together, most_alike

DOUBLED = 1000


class Enough(Exception):
    """As many blocks as were asked for."""


def activations(n: int, m: int, k: int, rng: np.random.Generator) -> sparse.csr_matrix:
    """k of m features in each of n answers, some far more often than others."""
    weight = rng.permutation(1 / np.arange(1, m + 1) ** 0.8).astype(np.float32)
    rows = [
        np.sort(np.argpartition(rng.exponential(size=m).astype(np.float32) / weight, k)[:k]) for _ in range(n)
    ]
    values = rng.exponential(size=n * k).astype(np.float32)
    return sparse.csr_matrix((values, np.concatenate(rows), np.arange(0, n * k + 1, k)), shape=(n, m))


def memory(name: str) -> float:
    """A line of /proc/self/status, in MB."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"))
    assert found is not None
    return int(found[1]) / 1024


def measured(name: str, work: Callable[[Any], object], most: int | None = None) -> tuple[list[Figure], Any]:
    """Seconds (of one block, where only `most` are done), and the peak of memory beyond what is held already."""
    seen = [0, 0]

    def progress(done: int, of: int) -> None:
        seen[:] = done, of
        if most is not None and done >= most:
            raise Enough

    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
    before, start, made = memory("VmRSS"), time.perf_counter(), None
    with suppress(Enough):
        made = work(progress)
    seconds = time.perf_counter() - start
    figures = [Figure(name, seconds, "s")]
    if made is None:
        figures = [Figure(f"{name}: one of {seen[1]:,} blocks", seconds / seen[0], "s")]
    return [*figures, Figure("  more memory at its peak", memory("VmHWM") - before, "MB")], made


def main() -> None:
    """Measure and publish."""
    parser = arguments(__doc__)
    parser.add_argument("--features", type=int, default=65_536)
    parser.add_argument("--width", type=int, default=4096)
    parser.add_argument("--answers", type=int, default=2000)
    parser.add_argument("--active", type=int, default=192)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--blocks", type=int, help="stop after so many products of blocks")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    shape = (options.width, options.features)
    left = torch.randn(shape, dtype=getattr(torch, options.dtype), device=options.device)
    left[:, -DOUBLED:] = left[:, :DOUBLED]
    right = left[:, torch.randperm(options.features, device=options.device)]
    z = activations(options.answers, options.features, options.active, rng)
    figures = []
    rows, near = measured(
        "pairs of near directions", lambda told: near_pairs(left, 0.7, told), options.blocks
    )
    figures += rows
    assert near is None or near.total == DOUBLED, near.total
    rows, found = measured(
        "nearest of another, both ways", lambda told: nearest(left, right, told), options.blocks
    )
    figures += rows
    assert found is None or found.left_cosine.min() > 0.99
    figures += measured("pairs that fire together", lambda _told: firing_together(z, 0.5))[0]
    figures += measured("most alike of another dictionary", lambda _told: most_alike(z, z))[0]
    figures.append(Figure("load of the machine at the end", os.getloadavg()[0], ""))
    publish(figures, options.out, **{k: v for k, v in vars(options).items() if k != "out"})


if __name__ == "__main__":
    main()
