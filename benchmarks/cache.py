"""A look-up in the cache of encoded answers among 1,000 parts: no model runs.

A command meets the cache for the first time and reads the whole index; the app has read it before.
"""

from __future__ import annotations

import hashlib
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from scipy import sparse

from benchmarks.report import Figure, arguments, publish
from sarm_core.score import part_index
from sarm_core.score.cache import EncodedParts, Piece

N_FEATURES = 65_536
MODEL = SimpleNamespace(n_features=N_FEATURES, encoding_key="0" * 64)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--parts", type=int, default=1_000)
    parser.add_argument("--answers", type=int, default=256, help="in each part")
    parser.add_argument("--active", type=int, default=64, help="features of an answer")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    middle, many = options.parts // 2, range(min(100, options.parts))
    with tempfile.TemporaryDirectory(prefix="cache-benchmark-") as name:
        folder = Path(name)
        parts = EncodedParts(folder, MODEL)  # type: ignore[arg-type]
        for number in range(options.parts):
            parts.add(piece(number, options.answers, options.active))

        def look_up(wanted: Sequence[tuple[int, int]], kept: int, forget: bool = False) -> float:
            """Milliseconds of processor time, the median of some rounds."""
            hashes = {digest(part, row) for part, row in wanted}
            times = []
            for _ in range(options.rounds):
                if forget:
                    part_index._seen.clear()
                started = time.process_time()
                found = list(EncodedParts(folder, MODEL).find(hashes))  # type: ignore[arg-type]
                times.append(1e3 * (time.process_time() - started))
                assert sum(len(some.hashes) for some in found) == kept
            return statistics.median(times)

        one = [(middle, 3)]
        figures = [
            Figure("one kept answer", look_up(one, 1), "ms", ("<=", 10.0)),
            Figure("one that is not kept", look_up([(options.parts, 0)], 0), "ms", ("<=", 10.0)),
            Figure("8 answers of one part", look_up([(middle, row) for row in range(8)], 8), "ms"),
            Figure("100 answers of 100 parts", look_up([(part, 1) for part in many], len(many)), "ms"),
            Figure("one kept answer, index not read before", look_up(one, 1, forget=True), "ms"),
        ]
        next(folder.rglob("index")).unlink()
        part_index._seen.clear()
        options.rounds = 1
        figures.append(Figure("the same, and the index lost", look_up(one, 1), "ms"))
        size = next(folder.rglob("index")).stat().st_size
        figures.append(Figure("the index", size / 1e6, "MB"))
    publish(figures, options.out, parts=options.parts, answers=options.answers, active=options.active)


def digest(part: int, row: int) -> bytes:
    return hashlib.sha256(f"{part} {row}".encode()).digest()


def piece(number: int, n: int, active: int) -> Piece:
    draw = np.random.default_rng(number)
    ids = np.sort(draw.choice(N_FEATURES, n * active), axis=None).reshape(n, active)
    csr = sparse.csr_matrix(
        (draw.random(n * active, dtype=np.float32), ids.ravel(), np.arange(0, n * active + 1, active)),
        shape=(n, N_FEATURES),
    )
    csr.sum_duplicates()
    return Piece(tuple(digest(number, row) for row in range(n)), csr, np.zeros(n, dtype=np.int64))


if __name__ == "__main__":
    main()
