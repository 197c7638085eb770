"""How long the embedded model's store takes to a Neuronpedia folder and back, and whether others can write meanwhile.

    python benchmarks/interchange.py

Exports the store, imports the folder into a new store and exports that one; the two folders must be equal row for row.
While the import runs another connection writes twenty times a second: the longest of its waits is the time the store
was locked. Prints a table and writes JSON. On a busy machine wall time says little, so processor time is given too.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import lzma
import os
import platform
import resource
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from feature_db import Store
from feature_db.exchange.neuronpedia_export import export_folder
from feature_db.exchange.neuronpedia_import import import_folder

DEMO = Path(__file__).resolve().parents[1] / "sarm_core" / "demo" / "store.db.xz"


def timed(work: Callable[[], Any]) -> dict[str, float]:
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return {"wall_s": time.perf_counter() - wall, "processor_s": time.process_time() - processor}


def rows_of(folder: Path) -> dict[str, list[bytes]]:
    """A digest of each row by batch, the time it was written left out; the rows themselves take gigabytes."""
    found = {}
    for batch in sorted(folder.rglob("*.gz")):
        digests = []
        with gzip.open(batch) as file:
            for line in file:
                row = json.loads(line)
                row.pop("createdAt", None)
                digests.append(hashlib.sha256(json.dumps(row, sort_keys=True).encode()).digest())
        found[batch.relative_to(folder).as_posix()] = digests
    return found


def write_meanwhile(path: Path, stop: threading.Event, waits: list[float]) -> None:
    with Store.open(path) as store:
        while not stop.wait(0.05):
            began = time.perf_counter()
            store.save_session({"n": len(waits)})
            waits.append(time.perf_counter() - began)


def run(folder: Path) -> dict[str, Any]:
    source, copy = folder / "source.db", folder / "copy.db"
    source.write_bytes(lzma.decompress(DEMO.read_bytes()))
    results: dict[str, Any] = {}
    with Store.open(source) as store:
        model = store.model
        results["examples"] = store.stats()["examples"]
        results["export"] = timed(
            lambda: export_folder(store, folder / "first", model_id="demo", source_id="15-sarm")
        )
    with Store.open(copy, create=model) as store:
        stop, waits = threading.Event(), [0.0]
        other = threading.Thread(target=write_meanwhile, args=(copy, stop, waits))
        other.start()
        results["import"] = timed(lambda: import_folder(store, folder / "first"))
        stop.set()
        other.join()
        results["longest_wait_of_another_writer_s"] = max(waits)
        export_folder(store, folder / "second", model_id="demo", source_id="15-sarm")
    first, second = rows_of(folder / "first"), rows_of(folder / "second")
    results["rows"] = sum(map(len, first.values()))
    results["rows_that_differ"] = sum(
        a != b for name in first for a, b in zip(first[name], second.get(name, []), strict=True)
    )
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark-interchange.json"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = run(Path(folder))
    results["peak_memory_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    results["machine"] = {
        "processors": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
    }
    print(f"{results['examples']:,} examples, load {results['machine']['load']:.1f}")
    for name in ("export", "import"):
        print(
            f"{name:8} {results[name]['wall_s']:7.1f} s, of processor time {results[name]['processor_s']:.1f} s"
        )
    print(f"another writer waited {results['longest_wait_of_another_writer_s']:.1f} s at most")
    print(f"{results['rows_that_differ']:,} of {results['rows']:,} rows differ after export, import, export")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
