"""The heads of `sarm build` at size: ridge over all weight decays and the whole L1 path, with peak memory and a peer.

python -m benchmarks.head_path [--pairs 100000] [--features 65536] [--envs FOLDER] [--out FILE.json]

Pairs whose answers have about 192 active features each, drawn by log-normal frequencies (some fire in most answers,
most in few of ten thousand); 400 features carry a planted head, labels are drawn from its margins. Eight tenths are
fitted, one chooses, one measures. The peer is scikit-learn's LogisticRegression (liblinear, without intercept), in a
virtual environment of its own (made in `--envs`, kept): it solves the ridge problem of the decay that was chosen here
and one L1 problem of the path, on the same pairs. Both objectives are compared, so that neither stops earlier. Seconds
are the processor's, on one thread (OMP_NUM_THREADS=1), as other work on the machine would count in those of the clock.
"""

from __future__ import annotations

import json
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy import sparse

from benchmarks.loaders import environment
from benchmarks.report import Figure, arguments, publish
from sarm_core.train.head_fit import Part, fit_head, l1_path, largest_l1, polished, ridge_path
from sarm_core.train.held_out import HeldOut
from sarm_core.train.selection import STEP, chosen_by_validation, curve_of

PEER = Path(__file__).with_name("head_path_peer.py")
PACKAGES = ["scikit-learn==1.9.1"]
ACTIVE, USED, BLOCK = 192, 400, 4096
AT_STEP = 22
"""Which penalty of the path both solve by itself"""


def planted(pairs: int, features: int) -> sparse.csr_matrix:
    """D, float32 CSR [pairs, features], chosen minus rejected."""
    rng = np.random.default_rng(0)
    rate = np.exp(rng.normal(0, 2, features))
    for _ in range(50):
        rate = np.minimum(rate * ACTIVE / rate.sum(), 0.9)
    share = rate / rate.sum()
    scale = np.exp(rng.normal(0, 0.5, features)).astype(np.float32)
    w = np.zeros(features)
    w[rng.choice(features, USED, replace=False, p=share)] = rng.normal(0, 1, USED)
    cumulated, drawn = np.cumsum(share), round(ACTIVE * 1.25)  # some are drawn twice
    blocks = []
    for at in range(0, pairs, BLOCK):
        n = 2 * min(BLOCK, pairs - at)
        ids = np.searchsorted(cumulated, rng.random(n * drawn)).clip(0, features - 1).astype(np.int32)
        values = rng.gamma(2, 0.5, n * drawn).astype(np.float32) * scale[ids]
        z = sparse.csr_matrix((values, ids, np.arange(0, n * drawn + 1, drawn)), (n, features))
        z.sum_duplicates()
        blocks.append(sparse.csr_matrix(z[0::2] - z[1::2]))
    d = sparse.csr_matrix(sparse.vstack(blocks, format="csr"))
    margins = d @ w
    margins *= 2 / margins.std()
    signs = np.where(rng.random(pairs) < 1 / (1 + np.exp(-margins)), 1, -1).astype(np.float32)
    d.data *= np.repeat(signs, np.diff(d.indptr))
    return d


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--features", type=int, default=65_536)
    parser.add_argument(
        "--envs", type=Path, help="where the peer's environment is made; without it no peer runs"
    )
    options = parser.parse_args()
    d = planted(options.pairs, options.features)
    active = d.nnz / options.pairs
    bounds = [0, int(0.8 * options.pairs), int(0.9 * options.pairs), options.pairs]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    train, validation, test = (Part(sparse.csc_matrix(d[a:b]), np.ones(b - a)) for a, b in pairwise(bounds))
    started = time.process_time()
    fits = ridge_path(train, validation)
    ridge_done = time.process_time()
    best = polished(train, validation, min(fits, key=lambda fit: fit.loss))
    curve = curve_of(train, validation, best)
    done = time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    n = bounds[2] - bounds[1]
    point = chosen_by_validation(
        curve, validation, HeldOut(np.ones(n), [str(i) for i in range(n)], ["all"] * n)
    )
    figures = [
        Figure("ridge, all decays", ridge_done - started, "s"),
        Figure("L1 path with ridge on each set", done - ridge_done, "s"),
        Figure("both", done - started, "s", ("<=", 60.0)),
        Figure("peak memory", peak, "MiB"),
        Figure("of it the data, as CSR, and their making", before, "MiB"),
        Figure("weight decays", len(fits), ""),
        Figure("points of the curve", len(curve), ""),
        Figure("features of the ridge head", curve[-1].n_features, ""),
        Figure("its accuracy", float(np.mean(test.margins(best.w) > 0)), ""),
        Figure("features of the chosen head", point.n_features, ""),
        Figure(
            "its accuracy, held out", float(np.mean(test.of(point.features).margins(point.weights) > 0)), ""
        ),
    ]
    if options.envs:
        figures += beside(train, best.decay, d[: bounds[1]], options.envs)
    publish(figures, options.out, pairs=options.pairs, features=options.features, differing_a_pair=active)


def beside(train: Part, decay: float, d: sparse.csr_matrix, envs: Path) -> list[Figure]:
    """One ridge and one L1 problem, each from nothing, here and by scikit-learn."""
    largest = largest_l1(train)
    penalties = [largest * STEP**step for step in range(1, AT_STEP + 1)]

    def ridge_objective(w: np.ndarray) -> float:
        return train.loss(train.margins(w)) + decay / 2 * float(w @ w)

    def l1_objective(w: np.ndarray) -> float:
        return train.loss(train.margins(w)) + penalties[-1] * float(np.abs(w).sum())

    python = environment(envs / "sklearn", PACKAGES)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        sparse.save_npz(Path(folder) / "d.npz", d, compressed=False)
        for kind, objective, strength in (
            ("ridge", ridge_objective, decay),
            ("L1", l1_objective, penalties[-1]),
        ):
            started = time.process_time()
            ours = fit_head(train, decay) if kind == "ridge" else [*l1_path(train, penalties)][-1]
            seconds = time.process_time() - started
            call = [str(python), str(PEER), folder, kind, repr(float(strength))]
            said = subprocess.run(call, capture_output=True, text=True, check=True).stdout
            theirs = np.load(Path(folder) / "w.npy")
            name = f"one {kind} problem" + (
                "" if kind == "ridge" else f", with the {AT_STEP - 1} before it here"
            )
            figures += [
                Figure(f"{name}: here", seconds, "s"),
                Figure(f"{name}: scikit-learn", json.loads(said)["seconds"], "s"),
                Figure(
                    f"{kind}: objective here above scikit-learn's",
                    excess(objective, ours, theirs),
                    "millionths",
                ),
            ]
    return figures


def excess(objective: Callable[[np.ndarray], float], ours: np.ndarray, theirs: np.ndarray) -> float:
    """How much higher the objective is at `ours`, in millionths of that at `theirs`."""
    return 1e6 * (objective(ours) / objective(theirs) - 1)


if __name__ == "__main__":
    main()
