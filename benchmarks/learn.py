"""Learning a steering at size: 5,000 pairs over 65,536 features, with the learning curve and with two people, beside
what scikit-learn takes for one of its problems.

python -m benchmarks.learn [--pairs 5000] [--features 65536] [--elsewhere 7000] [--envs FOLDER] [--out FILE.json]

Answers of 192 active features each, drawn by log-normal frequencies; a person multiplies the 24 that carry most by 0
or 2, and labels are drawn from the rewards that this makes. A path of strengths is fitted to half of the prompts and to
five parts of it; the rest measures. The peer is scikit-learn's LogisticRegression (liblinear), in a virtual environment
of its own (made in `--envs`, kept). It knows neither bounds nor a lead that stands already, so both solve the plain L1
problem of the strength that was taken: the loss of the differences alone. Seconds are the processor's, on one thread
(OMP_NUM_THREADS=1).
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy import sparse, special

from benchmarks.head_path import PACKAGES, PEER, excess
from benchmarks.loaders import environment
from benchmarks.report import Figure, arguments, publish
from sarm_core.features import FeatureMatrix
from sarm_core.prove.complement import Complement
from sarm_core.steering import Steering
from sarm_core.train.head_fit import Part, l1_path
from sarm_core.wish.learned import Learned, learn
from sarm_core.wish.profiles import learn_each

ACTIVE, OWN = 192, 24


def drawn(rng: np.random.Generator, often: np.ndarray, head: np.ndarray, n: int) -> FeatureMatrix:
    """n answers of at most ACTIVE features each, drawn by how often they are active."""
    ids = rng.choice(often.size, (n, ACTIVE), p=often / often.sum())
    rows = np.repeat(np.arange(n), ACTIVE)
    z = sparse.csr_matrix(
        (rng.gamma(2.0, 1.0, n * ACTIVE).astype(np.float32), (rows, ids.ravel())), (n, often.size)
    )
    return FeatureMatrix(z, head)


def labelled(matrix: FeatureMatrix, person: Steering, rng: np.random.Generator) -> np.ndarray:
    """Pairs int [n / 2, 2], as a person prefers who would have the rewards of `person`."""
    rewards = person.rewards(matrix).astype(np.float64)
    lead = rewards[0::2] - rewards[1::2]
    first = rng.random(len(lead)) < special.expit(4 * lead / lead.std())
    pairs = np.arange(len(matrix)).reshape(-1, 2)
    return np.where(first[:, None], pairs, pairs[:, ::-1])


def main() -> None:
    parser = arguments((__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5_000)
    parser.add_argument("--features", type=int, default=65_536)
    parser.add_argument("--elsewhere", type=int, default=7_000, help="pairs whose order should stay")
    parser.add_argument(
        "--envs", type=Path, help="where the peer's environment is made; without it no peer runs"
    )
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    often = rng.lognormal(0.0, 2.0, options.features)
    head = rng.normal(0.0, 0.1, options.features).astype(np.float32)
    matrix = drawn(rng, often, head, 2 * options.pairs)
    others = drawn(rng, often, head, 2 * options.elsewhere)
    elsewhere = Complement(others, np.arange(2 * options.elsewhere).reshape(-1, 2))
    own = np.argsort(-matrix.carried)[:OWN].tolist()
    person = Steering(scale={i: float(2 * (rng.random() < 0.5)) for i in own})
    pairs = labelled(matrix, person, rng)
    started = time.process_time()
    found = learn(matrix, pairs, elsewhere=elsewhere)
    taken = time.process_time() - started
    curve = found.curve
    with_curve = time.process_time() - started
    names = ["one" if i % 2 else "two" for i in range(options.pairs)]
    started = time.process_time()
    profiles = learn_each(matrix, pairs, names, elsewhere=elsewhere)
    figures = [
        Figure("learning, with the frontier", taken, "s"),
        Figure("with the learning curve", with_curve, "s", ("<=", 10.0)),
        Figure("two people side by side", time.process_time() - started, "s"),
        Figure("strengths", len(found.frontier), ""),
        Figure("features moved", len(found.moved), ""),
        Figure("of them planted", len(set(found.moved) & set(person.scale)), f"of {OWN}"),
        Figure("accuracy before, held out", found.before.accuracy, ""),
        Figure("accuracy after", found.after.accuracy, ""),
        Figure("lower end of the gain's interval", found.gain.low or 0.0, "", (">=", 0.0)),
        Figure("accuracy from an eighth of the pairs", curve[0].accuracy, ""),
        Figure(
            "differences told apart between two of one taste",
            _apart(profiles),
            f"of {len(profiles.differences)}",
        ),
    ]
    if options.envs:
        figures += beside(found, options.envs)
    publish(figures, options.out, pairs=options.pairs, features=options.features, elsewhere=options.elsewhere)


def _apart(profiles) -> int:
    return sum(each.told_apart for each in profiles.differences)


def beside(found: Learned, envs: Path) -> list[Figure]:
    """One L1 problem without bounds or a base, solved here and by scikit-learn."""
    problem = found.measured.question.problem(found.preferences)
    d = sparse.csr_matrix(problem.differences @ sparse.diags(1 / problem.prices))
    part = Part(sparse.csc_matrix(d), np.ones(d.shape[0]))
    started = time.process_time()
    (ours,) = l1_path(part, [found.penalty])
    seconds = time.process_time() - started

    def objective(w: np.ndarray) -> float:
        return part.loss(part.margins(w)) + found.penalty * float(np.abs(w).sum())

    python = environment(envs / "sklearn", PACKAGES)
    with tempfile.TemporaryDirectory() as folder:
        sparse.save_npz(Path(folder) / "d.npz", d, compressed=False)
        call = [str(python), str(PEER), folder, "L1", repr(found.penalty)]
        said = subprocess.run(call, capture_output=True, text=True, check=True).stdout
        theirs = np.load(Path(folder) / "w.npy")
    return [
        Figure("one L1 problem: here", seconds, "s"),
        Figure("one L1 problem: scikit-learn", json.loads(said)["seconds"], "s"),
        Figure("objective here above scikit-learn's", excess(objective, ours, theirs), "millionths"),
    ]


if __name__ == "__main__":
    main()
