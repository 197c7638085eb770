"""Memory of stage 1 against the size of its corpus: collecting texts, and training on positions, each in a process.

python -m benchmarks.sae_memory [--texts 1000 10000] [--rows 200000 2000000] [--out FILE.json]

Collecting reads a tiny random backbone, so that what is measured is what the corpus leaves behind; training reads
positions of d 576 that are written for it, at M 4,608. Memory is the process's own (RssAnon, its peak): mapped pages of
files belong to the system, which takes them back.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import re
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def peak(work: Callable[[], object]) -> float:
    """MB of its own that this process holds at most while it does the work, looked at every 20 ms."""
    most, done = 0, threading.Event()

    def look() -> None:
        nonlocal most
        while not done.wait(0.02):
            status = Path("/proc/self/status").read_text()
            if found := re.search(r"RssAnon:\s+(\d+) kB", status):
                most = max(most, int(found[1]))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        work()
    finally:
        done.set()
        watcher.join()
    return most / 1000


def collecting(n: int, queue: Any) -> None:
    """Positions of n texts of about 200 tokens."""
    import torch

    from sarm_core.train.activations import Corpus, Reader, Taken, collect
    from tests.sarm_core.tiny_models import backbone, chatml

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        backbone("llama").save_pretrained(folder / "tiny")
        chatml().save_pretrained(folder / "tiny")
        with (folder / "texts.jsonl").open("w") as file:
            for i in range(n):
                text = f"It is {i}. " + f"That is all there is to say of {i % 97}. " * 4
                file.write(json.dumps({"prompt": f"Question {i}?", "response": text}) + "\n")
        reader = Reader(str(folder / "tiny"), 2, torch.float32)
        corpus = Corpus([folder / "texts.jsonl"])
        queue.put(peak(lambda: collect(reader, corpus, Taken(8), folder)))


def training(rows: int, queue: Any) -> None:
    """Fifty steps on so many positions."""
    import torch

    from sarm_core.train.positions import Positions, PositionWriter
    from sarm_core.train.sae import train_sae
    from sarm_core.train.sae_config import SAEConfig

    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        with PositionWriter(Path(name), 576, {}).opened() as writer:
            block = rng.normal(size=(8192, 576)).astype(np.float16)
            for start in range(0, rows, 8192):
                writer.append(("train", "token"), np.roll(block, start, axis=1)[: rows - start])
            writer.commit(rows)
        positions = Positions(Path(name))
        config = SAEConfig(n_features=4608, k=64, mix={"token": 1.0}, steps=50)
        queue.put(peak(lambda: train_sae(positions, config, log=False)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--texts", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--rows", type=int, nargs="+", default=[200_000, 2_000_000])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    report: dict[str, dict[str, float]] = {}
    for what, sizes in ((collecting, options.texts), (training, options.rows)):
        for size in sizes:
            queue = context.Queue()
            process = context.Process(target=what, args=(size, queue))
            process.start()
            process.join()
            if process.exitcode:
                raise SystemExit(f"{what.__name__} {size} failed")
            report.setdefault(what.__name__, {})[str(size)] = queue.get()
            print(f"{what.__name__:10s} {size:>10,}  {report[what.__name__][str(size)]:,.0f} MB", flush=True)
    if options.out:
        options.out.write_text(json.dumps(report, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
