"""What search by meaning costs at the size of the official dictionary: 65,536 features with two names each.

    python benchmarks/meaning_speed.py [--features 65536] [--out runs/benchmark-meaning.json]

A real store with a label and a suggestion a feature, every text different. Wall and processor time; on a busy
machine the second says more.
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.report import Figure, arguments, publish
from feature_db import FeatureFilter, FeatureRecord, ModelRecord, Store, SuggestionRecord
from feature_db.features.names import Names, NameTable
from feature_db.label.events import Event, insert_event
from sarm_core.search import NameIndex, PieceVectors, PreparedNames, best_rows

WORDS = (
    "refusal apology list code python table heading poem story letter greeting thanks question answer "
    "short long warning doctor medicine lawyer money tax travel recipe garden animal weather planet "
    "music sport game film child school sleep diet anger grief joke insult politics religion "
    "history war police court visa house car engine battery chemistry number date unit sum "
    "formula proof translation french emoji capital quote comparison summary "
    "example advice caution uncertainty flattery "
    "disclaimer opening closing repetition padding ending middle word phrase sentence sign mark tone polite "
    "formal friendly cold excited hedged confident wrong invented careful harmful helpful vague concrete "
)
QUERIES = ("declines to help", "programming", "go and see a physician", "excited tone", "fairy tale")


def filled(path: Path, n: int) -> None:
    rng = np.random.default_rng(0)
    words = np.array(WORDS.split())
    with Store.open(path, create=ModelRecord("0" * 64, "synthetic", n)) as store:
        store.import_harvest(
            [FeatureRecord(i, 0.5, 3, 1000, mean=1.0, max=2.0) for i in range(n)], (), (), ()
        )

        def text(i: int) -> str:
            quoted = ", ".join(f'"{word}"' for word in rng.choice(words, 4))
            return f'{quoted}; just after "{rng.choice(words)}"; prompts of category {i}'

        store.replace_suggestions("log-odds", [SuggestionRecord(i, "log-odds", text(i)) for i in range(n)])
        with store.write():
            for i in range(n):
                label = f"{' '.join(rng.choice(words, 4))} {i}"
                insert_event(store, Event(f"{i:032x}", i, "ann", "label", 1 + i, text=label))


def taken(work: Callable[[], object]) -> tuple[float, float]:
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


def main() -> None:
    parser = arguments(__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--features", type=int, default=65_536)
    options = parser.parse_args()
    figures: list[Figure] = []

    def note(name: str, times: tuple[float, float], limit: tuple[str, float] | None = None) -> None:
        figures.append(Figure(name, times[0], "s", limit))
        figures.append(Figure(f"{name}, processor", times[1], "s"))

    with tempfile.TemporaryDirectory(prefix="meaning-speed-") as folder:
        path, file = Path(folder) / "store.db", Path(folder) / "names.npz"
        filled(path, options.features)
        made: list[PieceVectors] = []
        note("read the piece vectors", taken(lambda: made.append(PieceVectors.read())))
        index = NameIndex(made[0], file)

        held: dict[NameIndex, tuple[NameTable, PreparedNames]] = {}

        def search(query: str, index: NameIndex, filters: FeatureFilter) -> None:
            with Store.open(path) as store:
                names = Names(store)
                if index not in held or held[index][0].version != names.version():
                    table = names.table()
                    held[index] = (table, index.prepare(table.texts))
                table, prepared = held[index]
                similarities = prepared.similarities(query)
                assert similarities is not None
                rows = best_rows(similarities, table.features, names.features(filters))
                ids = table.features[rows[:25]].tolist()
                store.features_page(filters=FeatureFilter(ids=ids), limit=25)

        narrowed = FeatureFilter(max_density=0.1)
        with Store.open(path) as store:
            note("read all names", taken(lambda: Names(store).table()))
            note("read the ids a filter lets through", taken(lambda: Names(store).features(narrowed)))
        note("first search: every name embedded", taken(lambda: search("refusal", index, narrowed)))
        note("first search after a restart", taken(lambda: search("x", NameIndex(made[0], file), narrowed)))
        times = [taken(lambda q=query: search(q, index, narrowed)) for query in QUERIES * 3]
        wall, processor = (np.median(column) for column in zip(*times, strict=True))
        note("search, median", (float(wall), float(processor)), ("<=", 1.0))
        figures.append(Figure("names", len(index), ""))
        figures.append(Figure("file of vectors", file.stat().st_size / 2**20, "MiB"))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        figures.append(Figure("peak memory of all of this", peak, "MiB"))
    publish(figures, options.out, load=os.getloadavg()[1], features=options.features)


if __name__ == "__main__":
    main()
