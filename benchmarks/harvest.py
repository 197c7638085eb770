"""How much a harvest costs beyond bare encoding, and that its memory does not grow with the corpus.

    python benchmarks/harvest.py [--model demo] [--texts 256] [--out runs/benchmark-harvest.json]

Rate: the same texts are encoded bare (tokenise, encode at the same positions, drop the result) and harvested
(reading, tokenising, encoding, all statistics, samples, pairs and a checkpoint), in turns; the fastest of
each counts. The second phase runs the kept texts once more. Their number is bounded, so on a long corpus it costs
nothing to speak of, but a corpus as short as this one is kept whole: its rate with both phases is given beside the
rate of the stream alone. Without a trained model, a random SAE of the demo's shape is put on the demo's backbone.

Memory: peak resident size of whole runs in processes of their own, over a tiny model with small tables and a corpus
that fills them (both runs keep as many examples, which is checked), and over one ten times as long.

On a busy machine wall time says little, so processor time is given beside it and the limit is held to it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CORPUS = ROOT / "sarm_core" / "demo" / "corpus.jsonl"
LEAST_RATIO = 0.90
MOST_GROWTH = 1.10
LEAST_FILLED = 0.95
"""Examples of the shorter run over those of the longer: below it the tables were not full."""
SMALL_TABLES = {"top": 5, "per_band": 2, "random": 2, "pool": 512, "pair_positions": 2048}


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """(wall, processor) seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - processor


def random_demo(folder: Path) -> Path:
    """The demo's backbone under a random SAE of the demo's shape."""
    import numpy as np
    import torch

    from sarm_core.model.checkpoint import Shape
    from sarm_core.model.sae import SAE, TopK
    from sarm_core.ship.export import sae_tensors, write_own

    torch.manual_seed(0)
    folder.mkdir()
    head = np.random.default_rng(0).normal(size=4608).astype(np.float32)
    write_own(
        folder,
        shape=Shape(15, 4608, TopK(27)),
        tensors=sae_tensors(SAE(576, 4608, TopK(27))),
        head=head,
        backbone="demo",
        rule="last-special-token",
    )
    return folder


def rates(model: str, n_texts: int, repeats: int, folder: Path) -> dict[str, Any]:
    """Bare encoding and harvest of the first `n_texts` texts of the demo corpus."""
    from sarm_core import load_sarm
    from sarm_core.cli.stores import harvest_into
    from sarm_core.harvest.accumulator import Accumulator
    from sarm_core.harvest.activity import sequences_of
    from sarm_core.harvest.corpus import read_corpus
    from sarm_core.harvest.harvest import HarvestSettings, Workspace, harvest
    from sarm_core.harvest.work import EncodeWork, run_here
    from sarm_core.score.scorer import sentence_ends

    shipped = ROOT / "sarm_core" / "demo" / "model"
    name = model
    if model == "demo" and not shipped.exists():
        model, name = str(random_demo(folder / "model")), "random SAE on the demo's backbone"
    scorer = load_sarm(model)
    corpus = folder / "corpus.jsonl"
    rows, count = [], 0
    for line in CORPUS.open():
        rows.append(line)
        count += len(json.loads(line)["answers"])
        if count >= n_texts:
            break
    corpus.write_text("".join(rows))
    texts = [text for row in read_corpus([corpus]) for text in row.texts]
    settings = HarvestSettings()

    def bare() -> None:
        # Texts of one chunk at a time, as any program that streams would.
        stream = iter(texts)
        while part := list(islice(stream, settings.chunk_texts)):
            sequences = [sequence for _, sequence in sequences_of(scorer, part)[0]]
            scorer.encoder.encode([s.input_ids for s in sequences], [sentence_ends(s) for s in sequences])

    def stream() -> None:
        accumulator = Accumulator(scorer.n_features, settings)
        workspace = Workspace(folder / "rate.db")
        with workspace.opened(resume=True):
            for activity in run_here(scorer)(
                EncodeWork((str(corpus),), settings.positions, settings.chunk_texts)
            ):
                accumulator.update(activity)  # type: ignore[arg-type]
            workspace.write({}, accumulator.state())

    def both_phases() -> None:
        workspace = Workspace(folder / "phases.db")
        with workspace.opened(resume=False):
            harvest(scorer, [corpus], workspace, settings)
        workspace.remove()

    bare()  # warm up
    bare_times, stream_times = [], []
    for _ in range(repeats):
        bare_times.append(timed(bare))
        stream_times.append(timed(stream))
    whole = timed(both_phases)
    store = timed(lambda: harvest_into(folder / "store.db", scorer, [corpus], settings))
    n_tokens = sum(len(s) for _, s in sequences_of(scorer, texts)[0])
    best = [min(times) for times in zip(*bare_times, strict=True)]
    best_stream = [min(times) for times in zip(*stream_times, strict=True)]
    return {
        "model": name,
        "texts": len(texts),
        "tokens": n_tokens,
        "bare_tokens_per_second": {"wall": n_tokens / best[0], "processor": n_tokens / best[1]},
        "harvest_tokens_per_second": {
            "wall": n_tokens / best_stream[0],
            "processor": n_tokens / best_stream[1],
        },
        "ratio": {
            "wall": best[0] / best_stream[0],
            "processor": best[1] / best_stream[1],
            "limit": LEAST_RATIO,
        },
        "with_tracing_tokens_per_second": {"wall": n_tokens / whole[0], "processor": n_tokens / whole[1]},
        "ratio_with_tracing": {"wall": best[0] / whole[0], "processor": best[1] / whole[1]},
        "both_phases_seconds": {"wall": whole[0], "processor": whole[1]},
        "into_a_store_seconds": {"wall": store[0], "processor": store[1]},
        "store_bytes": (folder / "store.db").stat().st_size,
    }


def tiny_model(folder: Path) -> Path:
    """A random decoder with token ids only: 2 blocks of width 16, 256 features, k 8."""
    import numpy as np
    import torch
    from transformers import LlamaConfig, LlamaModel

    from sarm_core.model.checkpoint import Shape
    from sarm_core.model.sae import SAE, TopK
    from sarm_core.ship.export import sae_tensors, write_own

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=500, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2
    )
    folder.mkdir()
    LlamaModel(config).save_pretrained(folder / "backbone")
    write_own(
        folder,
        shape=Shape(2, 256, TopK(8)),
        tensors=sae_tensors(SAE(16, 256, TopK(8))),
        head=np.ones(256, dtype=np.float32),
        backbone="backbone",
        rule="last-token",
    )
    return folder


def memory(n_texts: int, folder: Path) -> dict[str, Any]:
    """Peak resident megabytes of whole harvests of `n_texts` and ten times as many texts."""
    model = tiny_model(folder / "tiny")
    found: dict[str, Any] = {}
    for factor in (1, 10):
        rng = random.Random(0)
        corpus = folder / f"ids-{factor}.jsonl"
        with corpus.open("w") as file:
            for _ in range(n_texts * factor):
                file.write(
                    json.dumps({"input_ids": [rng.randrange(500) for _ in range(rng.randint(4, 24))]}) + "\n"
                )
        done = subprocess.run(
            [sys.executable, __file__, "--child", str(model), str(corpus), str(folder / f"{factor}.db")],
            capture_output=True,
            text=True,
            check=True,
        )
        found[f"{factor}x"] = {"texts": n_texts * factor, **json.loads(done.stdout.splitlines()[-1])}
    growth = found["10x"]["peak_mb"] / found["1x"]["peak_mb"]
    for size in found.values():
        size["harvest_mb"] = size["peak_mb"] - size["loaded_mb"]
    filled = found["1x"]["examples"] / found["10x"]["examples"]
    return {**found, "growth": growth, "limit": MOST_GROWTH, "filled": filled}


def peak_mb() -> float:
    """Peak resident megabytes of this process. `ru_maxrss` would not do: it survives exec, so that a child of a
    large parent starts with the parent's peak, and nothing it does below that shows."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("this system does not tell a process's peak memory (no VmHWM in /proc/self/status)")


def child(model: str, corpus: str, database: str) -> None:
    """One harvest in this process; prints what it had before the work and its peak."""
    from sarm_core import load_sarm
    from sarm_core.cli.stores import harvest_into
    from sarm_core.harvest.harvest import HarvestSettings

    scorer = load_sarm(model)
    before = peak_mb()
    header = harvest_into(Path(database), scorer, [corpus], HarvestSettings(**SMALL_TABLES))
    peak = peak_mb()
    kept = {name: header[name] for name in ("kept_texts", "examples", "positions")}
    print(json.dumps({"loaded_mb": before, "peak_mb": peak, **kept}))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo")
    parser.add_argument("--texts", type=int, default=256, help="texts of the rate measurement")
    parser.add_argument("--memory-texts", type=int, default=3000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "benchmark-harvest.json")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        result = {
            "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
            "load": os.getloadavg()[0],
            "rate": rates(options.model, options.texts, options.repeats, folder),
            "memory": memory(options.memory_texts, folder),
        }
    rate, peak = result["rate"], result["memory"]
    ratio, growth = rate["ratio"]["processor"], peak["growth"]
    print(f"{rate['model']}: {rate['texts']} texts, {rate['tokens']} tokens; load {result['load']:.1f}")
    print(f"{'':34}{'wall':>10}{'processor':>12}{'limit':>10}")
    for label, key in (
        ("bare encoding, tokens/s", "bare_tokens_per_second"),
        ("harvest, tokens/s", "harvest_tokens_per_second"),
    ):
        print(f"{label:34}{rate[key]['wall']:10,.0f}{rate[key]['processor']:12,.0f}")
    print(f"{'harvest / bare':34}{rate['ratio']['wall']:10.3f}{ratio:12.3f}{'>= ' + str(LEAST_RATIO):>10}")
    traced = rate["with_tracing_tokens_per_second"]
    print(f"{'with tracing, tokens/s':34}{traced['wall']:10,.0f}{traced['processor']:12,.0f}")
    traced = rate["ratio_with_tracing"]
    print(f"{'with tracing / bare':34}{traced['wall']:10.3f}{traced['processor']:12.3f}  every text is kept")
    for label, key in (
        ("both phases, s", "both_phases_seconds"),
        ("all into a store, s", "into_a_store_seconds"),
    ):
        print(f"{label:34}{rate[key]['wall']:10.1f}{rate[key]['processor']:12.1f}")
    for factor in ("1x", "10x"):
        size = peak[factor]
        grown = (
            f"({size['texts']:,} texts, {size['examples']:,} examples; "
            f"{size['harvest_mb']:.0f} MB of it since the model was loaded)"
        )
        print(f"{'peak MB at ' + factor:34}{size['peak_mb']:10.0f}  {grown}")
    print(f"{'growth':34}{growth:10.3f}{'':12}{'<= ' + str(MOST_GROWTH):>10}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1))
    if peak["filled"] < LEAST_FILLED:
        print(f"the shorter corpus filled only {peak['filled']:.0%} of the tables: raise --memory-texts")
    met = ratio >= LEAST_RATIO and growth <= MOST_GROWTH and peak["filled"] >= LEAST_FILLED
    print("within the limits" if met else "OUTSIDE THE LIMITS")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
