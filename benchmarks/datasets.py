"""Does a data set of 100,000 pairs stay at hand: how long do keeping it, a page of its table and its counts take?

    python benchmarks/datasets.py
    python benchmarks/datasets.py --pairs 10000

Pairs of about 600 characters an answer, in 8 subsets, with two columns of their own; scores are drawn at random. Each
figure is the median of 5.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.report import Figure, arguments, publish
from feature_db import ModelRecord, Store
from feature_db.datasets.datasets import DataSets, ItemRecord
from feature_db.datasets.items import Items, ItemScore
from feature_db.datasets.slices import Slice
from sarm_core.prove.agreement import share_agreed
from sarm_core.text.answers import Reader
from sarm_core.text.items import read_items

LIMIT_MS = 100.0
ROWS = 50


def rows(n: int) -> Iterator[dict[str, object]]:
    """Pairs with words drawn at random."""
    rng = np.random.default_rng(0)
    words = [f"word{i}" for i in range(1000)]
    for i in range(n):
        prompt, chosen, rejected = (" ".join(rng.choice(words, size)) for size in (30, 90, 90))
        yield {
            "prompt": f"{i} {prompt}", "chosen": chosen, "rejected": rejected, "subset": f"s{i % 8}",
            "rater": f"r{i % 40}", "seconds": int(rng.integers(1, 600)),
        }  # fmt: skip


def measured(action: Callable[[], object]) -> float:
    """Median milliseconds of 5."""
    taken = []
    for _ in range(5):
        started = time.perf_counter()
        action()
        taken.append(1000 * (time.perf_counter() - started))
    return median(taken)


def main() -> None:
    import json

    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=100_000)
    options = parser.parse_args()
    n, figures = options.pairs, []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pairs.jsonl"
        with path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows(n))
        with Store.open(Path(folder) / "store.db", create=ModelRecord("b" * 64, "bench", 16)) as store:
            columns: list[str] = []
            started = time.perf_counter()
            items = (ItemRecord(**vars(item)) for item in read_items([path], Reader(), columns))
            kept, _ = DataSets(store).add("pairs", "a" * 64, items, columns=columns)
            figures.append(Figure("keep the file", time.perf_counter() - started, "s"))
            of, rng = Items(store, kept.address), np.random.default_rng(1)
            started = time.perf_counter()
            order = rng.integers(0, 3, n)
            margins = rng.normal(size=n)
            scores = [
                ItemScore(i, int(o == 2), int(o == 1), float(m))
                for i, (o, m) in enumerate(zip(order, margins, strict=True))
            ]
            of.keep_scores("bench", scores)
            figures.append(Figure("keep every score", time.perf_counter() - started, "s"))
            wrong, words = Slice(verdict="disagrees", sort="worst"), Slice(words="99", sort="close")
            limit = ("<=", LIMIT_MS)
            for name, asked, offset in (
                ("first page, as it stands", Slice(), 0),
                ("last page, as it stands", Slice(), n - ROWS),
                ("first page, most wrong first", Slice(sort="worst"), 0),
                ("last page, most wrong first", Slice(sort="worst"), n - ROWS),
                ("page 300 of the disagreements", wrong, min(300 * ROWS, n // 4)),
                ("one subset, longest first", Slice(subset="s3", sort="length"), 0),
                ("sorted by a column of one's own", Slice(sort="-own:seconds"), 0),
                ("words in the prompt", words, 0),
            ):
                figures.append(
                    Figure(
                        name,
                        measured(lambda a=asked, o=offset: of.page(a, limit=ROWS, offset=o)),
                        "ms",
                        limit,
                    )
                )
            figures += [
                Figure("counts of everything", measured(lambda: of.counts(Slice())), "ms", limit),
                Figure("counts of the disagreements", measured(lambda: of.counts(wrong)), "ms", limit),
                Figure("counts of words in the prompt", measured(lambda: of.counts(words)), "ms"),
                Figure(
                    "share agreed with its interval",
                    measured(lambda: share_agreed(of.credits(Slice()))),
                    "ms",
                ),
                Figure(
                    "place in the disagreements",
                    measured(lambda: of.place(wrong, of.page(wrong, offset=99)[0].number)),
                    "ms",
                ),
                Figure(
                    "the rows of the disagreements", measured(lambda: sum(1 for _ in of.rows(wrong))), "ms"
                ),
                Figure("store", store.path.stat().st_size / 2**20, "MiB"),
            ]
    publish(figures, options.out, pairs=n)


if __name__ == "__main__":
    main()
