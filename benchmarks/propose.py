"""Proposals: how long the smallest steering takes, with what it turns elsewhere counted.

Two sizes, drawn from a seed: 16 answers of 64 active features among 4,608 with 7,000 pairs elsewhere, and 16 answers of
192 among 65,536 with 100,000 pairs. How often features are active is log-normal, as in trained dictionaries, weights
are normal. Wanted is a random order of all 16 answers, and one where a single answer should win. "First" is the first
proposal over a set of other answers, whose rewards and columns are then kept with them.

    python -m benchmarks.propose
"""

from __future__ import annotations

import statistics
import time

import numpy as np
from scipy import sparse

from benchmarks.report import Figure, arguments, publish
from sarm_core.features import FeatureMatrix
from sarm_core.prove.complement import Complement
from sarm_core.wish.proposal import propose

SIZES = ((4_608, 64, 7_000, 0.05), (65_536, 192, 100_000, 1.0))


def drawn(rng: np.random.Generator, often: np.ndarray, head: np.ndarray, n: int, k: int) -> FeatureMatrix:
    """n answers of at most k active features each, drawn by how often they are active."""
    ids = rng.choice(often.size, (n, k), p=often / often.sum())
    rows = np.repeat(np.arange(n), k)
    z = sparse.csr_matrix(
        (rng.gamma(2.0, 1.0, n * k).astype(np.float32), (rows, ids.ravel())), (n, often.size)
    )
    return FeatureMatrix(z, head)


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    figures = []
    for n_features, k, n_pairs, limit in SIZES:
        rng = np.random.default_rng(0)
        often = rng.lognormal(0.0, 2.0, n_features)
        head = rng.normal(0.0, 0.1, n_features).astype(np.float32)
        others = drawn(rng, often, head, 2 * n_pairs, k)
        elsewhere = Complement(others, np.arange(2 * n_pairs).reshape(-1, 2))
        size = f"{n_features:,} features, {n_pairs:,} pairs"
        taken: dict[str, list[float]] = {"any order": [], "one answer first": []}
        found: dict[str, list[int]] = {what: [] for what in taken}
        for number in range(options.rounds + 1):
            answers = drawn(rng, often, head, 16, k)
            ranked = np.argsort(-answers.rewards)
            wishes = {
                "any order": {"order": rng.permutation(16).tolist()},
                "one answer first": {"wishes": [(int(ranked[8]), int(other)) for other in ranked[:8]]},
            }
            for what, asked in wishes.items():
                started = time.perf_counter()
                proposal = propose(answers, elsewhere=elsewhere, **asked)
                seconds = time.perf_counter() - started
                if number == 0 and what == "any order":
                    figures.append(Figure(f"{size}: first proposal", seconds, "s", ("<=", limit)))
                elif number:
                    taken[what].append(seconds)
                    found[what].append(len(proposal.moved) if proposal.steering is not None else -1)
        for what, seconds_of in taken.items():
            median = statistics.median(seconds_of)
            figures.append(Figure(f"{size}: {what}", median * 1e3, "ms", ("<=", limit * 1e3)))
            figures.append(
                Figure(f"{size}: {what}, features moved", statistics.median(found[what]), "features")
            )
    publish(figures, options.out, rounds=options.rounds)


if __name__ == "__main__":
    main()
