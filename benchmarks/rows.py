"""Reading rows: rows a second of this reader and of another checkout's, and memory over the file's length.

python benchmarks/rows.py [--rows 1000000] [--other FOLDER]

Each reading runs in a process of its own, which reports its processor time (other work on the machine does not count)
and its peak of memory. `--other` is a checkout of this project to compare with, read with its own code; the two take
turns, and the median of the rounds counts.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
READ = """
import resource, sys, time
sys.path.insert(0, sys.argv[1])
try:
    from sarm_core.text.row_files import read_rows
except ImportError:  # a checkout from before the rooms
    from sarm_core.row_files import read_rows
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.process_time()
count = sum(1 for _ in read_rows(sys.argv[2]))
print(count, time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
WORDS = [
    "the",
    "answer",
    "to",
    "a",
    "question",
    "about",
    "rice",
    "that",
    "was",
    "cooled",
    "quickly",
    "and",
    "is",
    "safe",
    "to",
    "heat",
    "once",
    "more",
]


def write(path: Path, n: int, size: int) -> None:
    """`n` preference rows of about `size` bytes, no two alike."""
    text = " ".join(WORDS * (size // 80 + 1))
    part = (size - 90) // 3
    with path.open("w", encoding="utf-8") as file:
        for i in range(n):
            shift = i % 80
            a, b, c = (text[shift + k : shift + k + part] for k in (0, 5, 9))
            row = {"id": i, "source": "made", "prompt": a, "chosen": b, "rejected": c}
            file.write(json.dumps(row) + "\n")


def read(checkout: Path, path: Path) -> tuple[int, float, int]:
    """(Rows, seconds, KiB of memory above the start) of a process that reads the file with a checkout's code."""
    done = subprocess.run(
        [sys.executable, "-c", READ, str(checkout), str(path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    count, seconds, memory = done.stdout.split()
    return int(count), float(seconds), int(memory)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--size", type=int, default=1_000, help="bytes a row")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--other", type=Path, help="another checkout")
    parser.add_argument("--out", type=Path, help="also write the figures as JSON")
    options = parser.parse_args()
    checkouts = {"this": HERE} | ({"other": options.other.resolve()} if options.other else {})
    figures: dict[str, float] = {"rows": options.rows, "bytes_a_row": options.size}
    with tempfile.TemporaryDirectory() as folder:
        for n in (10_000, options.rows):
            path = Path(folder) / f"{n}.jsonl"
            write(path, n, options.size)
            times: dict[str, list[float]] = {name: [] for name in checkouts}
            memory: dict[str, list[int]] = {name: [] for name in checkouts}
            for _ in range(options.rounds):
                for name, checkout in checkouts.items():
                    count, seconds, peak = read(checkout, path)
                    assert count == n
                    times[name].append(seconds)
                    memory[name].append(peak)
            for name in checkouts:
                rate = n / statistics.median(times[name])
                figures[f"{name}_{n}_rows_a_second"] = round(rate)
                figures[f"{name}_{n}_memory_kib"] = max(memory[name])
                print(
                    f"{name:6} {n:>9,} rows: {rate:>10,.0f} rows/s, {max(memory[name]) / 1024:6.1f} MiB above the start"
                )
            if "other" in times:
                ratio = statistics.median(times["other"]) / statistics.median(times["this"])
                figures[f"ratio_{n}"] = round(ratio, 2)
                print(f"{'':6} {n:>9,} rows: {ratio:.2f} times the other's rate")
    if options.out:
        options.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
