"""Reading rows: rows a second of this reader and of another checkout's, and memory over the file's length.

python benchmarks/rows.py [--rows 1000000] [--other FOLDER]

Each reading runs in a process of its own, which reports its processor time (other work on the machine does not count)
and its peak of memory. `--other` is a checkout of this project to compare with, read with its own code. Beside both
stand the least that a reader can do (the file's bytes alone; orjson alone, on blocks of 64 KiB, without a check) and
what others make of the file (pandas, pyarrow). All take turns, and the median of the rounds counts.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
FRAME = """
import resource, sys, time
sys.path.insert(0, sys.argv[1])
{setup}
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.process_time()
count = {count}
print(count, time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
ROWS = """
try:
    from sarm_core.text.row_files import read_rows
except ImportError:  # a checkout from before the rooms
    from sarm_core.row_files import read_rows
"""
ANSWERS = """
try:
    from sarm_core.text.answers import Reader
    reader = Reader()
    rows, answers = reader.rows, reader.answers
except ImportError:
    from sarm_core.rows import pair_of as answers, read_rows as rows
"""
BLOCKS = """
import orjson
def blocks():
    with open(sys.argv[2], "rb") as file:
        held = b"["
        while block := file.read(1 << 16):
            held += block
            end = held.rfind(b"\\n")
            yield held[:end]
            held = b"[" + held[end + 1 :]
"""
READERS = {
    "rows": (ROWS, "sum(1 for _ in read_rows(sys.argv[2]))"),
    "answers": (ANSWERS, "sum(1 for _, row in rows(sys.argv[2]) if answers(row))"),
}
"""What is read with the code of both checkouts"""
OTHERS = {
    "bytes alone": (BLOCKS, "sum(1 for _ in blocks())"),
    "orjson alone": (
        BLOCKS,
        "sum(1 for b in blocks() for _ in orjson.loads(b.replace(b'\\n', b',') + b']'))",
    ),
    "pandas": (
        "import pandas",
        "sum(1 for part in pandas.read_json(sys.argv[2], lines=True, chunksize=10_000)"
        " for _ in part.to_dict('records'))",
    ),
    "pyarrow": (
        "import pyarrow, pyarrow.json\npyarrow.set_cpu_count(1)",
        "sum(1 for part in pyarrow.json.open_json(sys.argv[2]) for _ in part.to_pylist())",
    ),
}
WORDS = ["the", "answer", "to", "a", "question", "about", "rice", "that", "was", "cooled"]
WORDS += ["quickly", "and", "is", "safe", "to", "heat", "once", "more"]
SIGNS = [". ", ": ", ".\n\n", "? ", '! "Yes," he said. ', " \u2013 "]


def plain(i: int, size: int) -> dict[str, object]:
    """A row of words and blanks, no two alike: the file of the goal."""
    text, shift, part = " ".join(WORDS * (size // 80 + 1)), i % 80, (size - 90) // 3
    prompt, chosen, rejected = (text[shift + k : shift + k + part] for k in (0, 5, 9))
    return {"id": i, "source": "made", "prompt": prompt, "chosen": chosen, "rejected": rejected}


def prose(rng: random.Random, size: int) -> str:
    """Words with the signs that answers have: quotes, colons, line ends, a dash that is no ASCII."""
    text = ""
    while len(text) < size:
        text += " ".join(rng.choices(WORDS, k=9)) + rng.choice(SIGNS)
    return text[:size]


def as_prose(i: int, size: int) -> dict[str, object]:
    """A row of prose with a score."""
    rng = random.Random(i)
    part = (size - 150) // 3
    texts = {key: prose(rng, part) for key in ("prompt", "chosen", "rejected")}
    return {"id": i, **texts, "score_chosen": rng.random()}


def as_turns(i: int, size: int) -> dict[str, object]:
    """A row of two conversations."""
    rng = random.Random(i)
    part = (size - 300) // 4
    asked = {"role": "user", "content": prose(rng, part)}
    return {
        "id": i,
        "chosen": [asked, {"role": "assistant", "content": prose(rng, part)}],
        "rejected": [asked, {"role": "assistant", "content": prose(rng, part)}],
    }


KINDS = {"plain": plain, "prose": as_prose, "turns": as_turns}


def write(path: Path, n: int, size: int, kind: str) -> None:
    """`n` preference rows of about `size` bytes."""
    with path.open("w", encoding="utf-8") as file:
        for i in range(n):
            file.write(json.dumps(KINDS[kind](i, size), ensure_ascii=False) + "\n")


def read(code: tuple[str, str], checkout: Path, path: Path) -> tuple[int, float, int]:
    """(Rows or blocks, seconds, KiB of memory above the start) of a process that reads the file."""
    setup, count = code
    done = subprocess.run(
        [sys.executable, "-c", FRAME.format(setup=setup, count=count), str(checkout), str(path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    found, seconds, memory = done.stdout.split()
    return int(found), float(seconds), int(memory)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--size", type=int, default=1_000, help="bytes a row")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--other", type=Path, help="another checkout")
    parser.add_argument("--peers", action="store_true", help="also what pandas and pyarrow make of the file")
    parser.add_argument("--out", type=Path, help="also write the figures as JSON")
    options = parser.parse_args()
    checkouts = {"this": HERE} | ({"other": options.other.resolve()} if options.other else {})
    runs = {f"{what}, {name}": (code, at) for what, code in READERS.items() for name, at in checkouts.items()}
    runs |= {
        what: (code, HERE)
        for what, code in OTHERS.items()
        if options.peers or what not in ("pandas", "pyarrow")
    }
    figures: dict[str, float] = {"rows": options.rows, "bytes_a_row": options.size}
    with tempfile.TemporaryDirectory() as folder:
        for kind in options.kinds:
            for n in sorted({min(10_000, options.rows), options.rows}):
                path = Path(folder) / "rows.jsonl"
                write(path, n, options.size, kind)
                found: dict[str, list[tuple[int, float, int]]] = {name: [] for name in runs}
                for _ in range(options.rounds):
                    for name, (code, checkout) in runs.items():
                        found[name].append(read(code, checkout, path))
                        assert name == "bytes alone" or found[name][-1][0] == n
                print(f"{n:,} rows, {kind} (load {os.getloadavg()[0]:.1f})")
                times = {
                    name: statistics.median(seconds for _, seconds, _ in of) for name, of in found.items()
                }
                for name in runs:
                    memory = max(kib for *_, kib in found[name]) / 1024
                    line = f"  {name:16} {n / times[name]:>12,.0f} rows/s, {memory:6.1f} MiB above the start"
                    figures[f"{kind}_{n}_{name}_rows_a_second"] = round(n / times[name])
                    figures[f"{kind}_{n}_{name}_memory_mib"] = round(memory, 2)
                    what, _, whose = name.partition(", ")
                    if whose == "other":
                        ratio = times[name] / times[f"{what}, this"]
                        figures[f"{kind}_{n}_{what}_ratio"] = round(ratio, 2)
                        line += f"; this is {ratio:.2f} times as fast"
                    print(line)
    if options.out:
        options.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
