"""What a harvest adds to encoding at the official shape: 65,536 features, 192 of them active at a position.

    python benchmarks/harvest_shape.py [--chunks 40] [--texts 256] [--out runs/benchmark-harvest-shape.json]

Synthetic activity (features drawn so that few are frequent and most are rare; 20 positions a text) goes through the
real accumulator, chunk by chunk as a harvest hands it over; then pairs are counted and examples chosen. No model
runs: this is the processor time that comes on top of its. The first chunks fill the tables, so the last quarter of
them is given apart: it is what a long corpus costs. `--texts 2500` makes chunks of 50,000 positions, about the largest
that 4 million characters can hold.

Memory is what this process holds beside what the docstrings of the accumulator's parts allow, and its peak.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
M, K, POSITIONS_A_TEXT = 65_536, 192, 20


def chunk_of(number: int, n_texts: int, first: int, rng: np.random.Generator) -> Any:
    """Activity of `n_texts` texts: 192 distinct features at each of 20 positions a text."""
    from sarm_core.harvest.activity import ChunkActivity

    n = n_texts * POSITIONS_A_TEXT
    # The cube makes a hundredth of the features take a fifth of the places; the odd factor scatters their ids.
    drawn = (M * rng.random((n, 2 * K)) ** 3).astype(np.int64) * 40_503 % M
    features = np.empty((n, K), dtype=np.int32)
    for row, several in zip(features, drawn, strict=True):
        found = np.unique(several)
        row[:] = np.sort(rng.permutation(found)[:K])
    values = rng.exponential(size=features.shape).astype(np.float32) + np.float32(1e-3)
    return ChunkActivity(
        number,
        first + n_texts,
        n * 20,
        np.arange(first, first + n_texts),
        rng.integers(0, 2**63, n_texts).astype(np.uint64),
        np.repeat(np.arange(n_texts, dtype=np.int32), POSITIONS_A_TEXT),
        np.tile(np.arange(POSITIONS_A_TEXT, dtype=np.int32), n_texts),
        np.arange(n + 1, dtype=np.int64) * K,
        features.ravel(),
        values.ravel(),
    )


def memory_mb(which: str) -> float:
    """VmRSS (now) or VmHWM (peak) of this process in megabytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(which + ":"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"no {which} in /proc/self/status")


def parts_of(accumulator: Any) -> dict[str, Any]:
    """What each part does with a chunk, for a clock around each."""
    from sarm_core.harvest.samples import peaks

    held: dict[str, Any] = {}

    def find(chunk: Any) -> None:
        held["peaks"] = peaks(chunk)

    return {
        "peaks of every text": find,
        "statistics": accumulator.statistics.update,
        "top texts": lambda _chunk: accumulator.top.update(held["peaks"]),
        "bands": lambda _chunk: accumulator.bands.update(held["peaks"]),
        "silent pool": lambda chunk: accumulator.pool.update(chunk, held["peaks"]),
        "pairs": accumulator.pairs.update,
    }


def allowed_bytes(settings: Any) -> int:
    """What the docstrings allow: statistics, places of top and band examples, the pool, the sample of positions."""
    places = 32 * M * (settings.top + 7 * settings.per_band)
    pool = 4 * settings.pool * min(M, K * POSITIONS_A_TEXT)
    return 816 * M + places + pool + 5 * settings.pair_positions * K


def measure(sizes: list[int], seed: int) -> dict[str, Any]:
    """Chunks of `sizes` texts through a new accumulator."""
    from sarm_core.harvest.accumulator import Accumulator
    from sarm_core.harvest.selection import select
    from sarm_core.harvest.settings import HarvestSettings

    rng = np.random.default_rng(seed)
    settings = HarvestSettings()
    before = memory_mb("VmRSS")
    accumulator = Accumulator(M, settings)
    seconds = dict.fromkeys(parts_of(accumulator), 0.0)
    late = dict(seconds)
    positions = late_positions = largest = 0
    for number, n_texts in enumerate(sizes):
        chunk = chunk_of(number, n_texts, sum(sizes[:number]), rng)
        positions += len(chunk.position_text)
        largest = max(largest, len(chunk.features))
        is_late = number >= len(sizes) * 3 // 4
        late_positions += len(chunk.position_text) * is_late
        for name, run in parts_of(accumulator).items():
            started = time.process_time()
            run(chunk)
            took = time.process_time() - started
            seconds[name] += took
            late[name] += took * is_late
    streamed = memory_mb("VmHWM")
    started = time.process_time()
    held = sum(array.nbytes for array in accumulator.state().values()) / 2**20
    saved = time.process_time() - started
    started = time.process_time()
    partners = accumulator.pairs.partners(settings.partners)  # type: ignore[union-attr]
    counting = time.process_time() - started
    counted = memory_mb("VmHWM")
    started = time.process_time()
    kept = select(accumulator, settings)
    return {
        "texts": sum(sizes),
        "positions": positions,
        "largest_chunk_positions": largest // K,
        "sampled_positions": len(accumulator.pairs),  # type: ignore[arg-type]
        "milliseconds_a_position": {name: 1000 * s / positions for name, s in seconds.items()},
        "milliseconds_a_position_late": {name: 1000 * s / late_positions for name, s in late.items()},
        "state_seconds": saved,
        "partners_seconds": counting,
        "partners": len(partners.features),
        "select_seconds": time.process_time() - started,
        "examples": len(kept.feature),
        "memory_mb": {
            "before": before,
            "allowed": allowed_bytes(settings) / 2**20,
            "state": held,
            "peak_streaming": streamed,
            "peak_partners": counted,
            "peak": memory_mb("VmHWM"),
        },
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chunks", type=int, default=40)
    parser.add_argument("--texts", type=int, default=256, help="texts of a chunk")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "benchmark-harvest-shape.json")
    options = parser.parse_args()
    found = measure([options.texts] * options.chunks, 0)
    print(f"{found['positions']:,} positions of {K} among {M:,} features, chunks of {options.texts} texts")
    print(f"{'processor ms a position':34}{'all':>10}{'late':>10}")
    whole, late = found["milliseconds_a_position"], found["milliseconds_a_position_late"]
    for name in whole:
        print(f"{name:34}{whole[name]:10.3f}{late[name]:10.3f}")
    print(f"{'together':34}{sum(whole.values()):10.3f}{sum(late.values()):10.3f}")
    sampled = f"at {found['sampled_positions']:,} positions"
    print(f"{'pairs counted once, s':34}{found['partners_seconds']:10.1f}  {sampled}")
    print(f"{'examples chosen once, s':34}{found['select_seconds']:10.1f}  {found['examples']:,}")
    memory = found["memory_mb"]
    print(f"{'accumulator, MB':34}{memory['state']:10.0f}  {memory['allowed']:.0f} allowed")
    for label, key in (("streaming", "peak_streaming"), ("pairs", "peak_partners"), ("choosing", "peak")):
        print(
            f"{'peak MB after ' + label:34}{memory[key]:10.0f}  {memory[key] - memory['before']:.0f} since the start"
        )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"load": os.getloadavg()[0], **found}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
