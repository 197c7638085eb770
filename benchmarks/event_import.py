"""How long does an import of label events take, and how long does it keep others from labelling?

    python benchmarks/event_import.py
    python benchmarks/event_import.py --events 200000

A file of events is taken in by one process while a person labels in another; the longest of their labels is what
anybody would notice of the import. A dry run takes no lock.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.report import Figure, arguments, publish
from feature_db import FeatureFilter, FeatureRecord, ModelRecord, Store
from feature_db.exchange.event_files import export_events
from feature_db.exchange.merge import import_events
from feature_db.label.events import Event, insert_event
from feature_db.label.labels import Labels
from feature_db.label.queues import Queues
from feature_db.roles import People

FEATURES = 20_000


def make_store(path: Path) -> Store:
    """Features, an admin, and a queue that asks for every one of them."""
    store = Store.open(path, create=ModelRecord("import", "import", FEATURES))
    store.import_harvest(FeatureRecord(i) for i in range(FEATURES))
    People(store).set_role(None, "root", "admin")
    Queues(store, "root").make("all", FeatureFilter(), sort="id", limit=FEATURES, overlap=100)
    return store


def label(path: str, begin: Any, stop: Any, longest: Any) -> None:
    """One label after another until told to stop; keeps the longest, in seconds."""
    with Store.open(path) as store:
        labels, number = Labels(store, "busy"), 0
        begin.set()
        while not stop.is_set():
            started = time.perf_counter()
            labels.label(number % FEATURES, f"label {number}")
            longest.value = max(longest.value, time.perf_counter() - started)
            number += 1
            time.sleep(0.02)


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=10_000)
    options = parser.parse_args()
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "events.jsonl"
        with make_store(Path(folder) / "from.db") as store:
            with store.write():
                for i in range(options.events):
                    who = f"p{i // FEATURES}"
                    insert_event(
                        store,
                        Event(f"e{i}", i % FEATURES, who, "label", 10**15 + i, text=f"text {i}", verdict=3),
                    )
            export_events(store, file)
        with make_store(Path(folder) / "into.db") as store:
            for dry_run in (True, False):
                spawn = multiprocessing.get_context("spawn")
                begin, stop, longest = spawn.Event(), spawn.Event(), spawn.Value("d", 0.0)
                person = spawn.Process(target=label, args=(str(store.path), begin, stop, longest))
                person.start()
                begin.wait()
                started = time.perf_counter()
                import_events(store, file, "root", dry_run=dry_run)
                taken = time.perf_counter() - started
                stop.set()
                person.join()
                what = "dry run" if dry_run else "import"
                figures += [
                    Figure(f"{what}: whole", taken, "s"),
                    Figure(f"{what}: longest label of somebody else meanwhile", longest.value, "s"),
                ]
        size = file.stat().st_size
    publish(figures, options.out, events=options.events, megabytes=round(size / 1e6, 1))


if __name__ == "__main__":
    main()
