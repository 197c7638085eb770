"""How long does the page of agreement work, at 10,000 labels by 20 people?

    python benchmarks/agreement.py
    python benchmarks/agreement.py --labels 50000

A store is filled through events as an import would, two people a feature; then each part of the page is timed, the
median of five: reading the independent ratings, the figures of all together, of each pair, and over time.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.report import Figure, arguments, publish
from feature_db import FeatureRecord, ModelRecord, Store
from feature_db.label.agreement import alpha, by_pair, over_time, percent
from feature_db.label.events import Event, insert_event
from feature_db.label.ratings import ratings

PEOPLE = 20


def fill(store: Store, labels: int) -> None:
    """Two labels a feature, each by another person, seven in ten with the same verdict."""
    rng = np.random.default_rng(6)
    store.import_harvest(FeatureRecord(i) for i in range(labels // 2))
    with store.write():
        for i in range(labels // 2):
            verdict = int(rng.integers(1, 6))
            for place, who in enumerate(rng.choice(PEOPLE, 2, replace=False)):
                said = verdict if place == 0 or rng.random() < 0.7 else int(rng.integers(1, 6))
                event = Event(
                    f"{i}-{place}", i, f"p{who}", "label", 10**15 + 2 * i + place, text="x", verdict=said
                )
                insert_event(store, event)


def seconds(act: Callable[[], object]) -> float:
    """Median of five."""
    times = []
    for _ in range(5):
        started = time.perf_counter()
        act()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--labels", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = ModelRecord("agreement", "agreement", options.labels // 2)
        with Store.open(Path(folder) / "a.db", create=model) as store:
            fill(store, options.labels)
            rated = ratings(store, "verdict")
            figures = [
                Figure(what, seconds(act) * 1e3, "ms")
                for what, act in (
                    ("read the ratings", lambda: ratings(store, "verdict")),
                    (
                        "percent and alpha, 1,000 resamples each",
                        lambda: (percent(rated), alpha(rated, "ordinal")),
                    ),
                    ("kappa of every pair, 200 resamples each", lambda: by_pair(rated)),
                    ("alpha at 6 times, 200 resamples each", lambda: over_time(store, "verdict", points=6)),
                )
            ]
    publish(figures, options.out, labels=options.labels, annotators=PEOPLE, pairs=len(by_pair(rated)))


if __name__ == "__main__":
    main()
