"""Processor time of one step of stage 1, beside sparsify and SAELens, in turns on one thread; loss after equal tokens.

python -m benchmarks.sae_step [--envs FOLDER] [--rounds 12] [--steps 200] [--how float32 autocast] [--out FILE]

d 576, M 4,608, k 64, batch 1,024: the shape of the shipped dictionary. Each peer runs in a virtual environment of its
own (made in `--envs`, kept), once in float32, once under bfloat16 autocast; the faster way of a peer counts. (SAELens'
sparse activations have no backward pass on a CPU: its `view` of them is refused.) All see the same batches, the same
learning rate and Adam. The data are planted: sparse sums of 2,000 directions around a mean, with noise.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.loaders import environment
from sarm_core.model.backbone import native_bfloat16
from sarm_core.train.sae_step import Dictionary, standardised

PEER = Path(__file__).with_name("sae_step_peer.py")
ENVIRONMENTS = {"sparsify": ["eai-sparsify==1.3.3"], "saelens": ["sae-lens==6.54.0"]}
WAYS = [
    ("sparsify", "float32"),
    ("sparsify", "autocast"),
    ("saelens", "float32"),
    ("saelens", "autocast"),
]
D, FEATURES, K, BATCH, LR, DEAD_AFTER, HELD_OUT = 576, 4608, 64, 1024, 5e-4, 60, 4096


def planted(rows: int) -> np.ndarray:
    """Standardised vectors, float32 [rows, D]."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(2000, D)).astype(np.float32)
    mean = 3 * rng.normal(size=D).astype(np.float32)
    parts = []
    for start in range(0, rows, 8192):
        n = min(8192, rows - start)
        active = rng.random((n, 2000), dtype=np.float32) < 0.02
        z = np.where(active, rng.exponential(1.0, (n, 2000)), 0).astype(np.float32)
        h = z @ directions / 6 + mean + 0.2 * rng.normal(size=(n, D)).astype(np.float32)
        parts.append(standardised(torch.from_numpy(h)).numpy())
    return np.concatenate(parts)


class Ours:
    """The same questions as a peer's process, answered here."""

    def __init__(self, x: torch.Tensor):
        self.held, self.train = x[-HELD_OUT:], x[:-HELD_OUT]
        self.mean, self.done = self.train.mean(0), 0
        columns = torch.randn(FEATURES, D, generator=torch.Generator().manual_seed(0))
        self.dictionary = Dictionary(columns, self.mean, k=K, lr=LR, aux_k=128, dead_after=DEAD_AFTER)

    def steps(self, n: int) -> list[float]:
        times = []
        for _ in range(n):
            at = self.done * BATCH % (len(self.train) - BATCH + 1)
            begun = time.process_time()
            x = standardised(self.train[at : at + BATCH])  # the peers are given x, so that this is ours alone
            self.dictionary.step(x, (x - self.mean).square().sum(), LR * min(1.0, (self.done + 1) / 20))
            times.append(time.process_time() - begun)
            self.done += 1
        return times

    def unexplained(self) -> float:
        variance = (self.held - self.held.mean(0)).square().sum()
        return sum(self.dictionary.gradients(part, variance).loss.item() for part in self.held.split(BATCH))


class Peer:
    """A process of `sae_step_peer.py`."""

    def __init__(self, python: Path, data: Path, peer: str, how: str):
        asked = {
            "peer": peer,
            "how": how,
            "data": str(data),
            "features": FEATURES,
            "k": K,
            "batch": BATCH,
            "lr": LR,
            "dead_after": DEAD_AFTER,
            "held_out": HELD_OUT,
        }
        self.process = subprocess.Popen(
            [str(python), "-W", "ignore", str(PEER), json.dumps(asked)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=data.parent,
        )
        self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("a peer's process ended; what it said stands above")
        found: dict[str, Any] = json.loads(line)
        return found

    def _ask(self, **question: Any) -> dict[str, Any]:
        assert self.process.stdin
        print(json.dumps(question), file=self.process.stdin, flush=True)
        return self._answer()

    def steps(self, n: int) -> list[float]:
        found: list[float] = self._ask(steps=n)["times"]
        return found

    def unexplained(self) -> float:
        return float(self._ask(held_out=True)["unexplained"])


def parts_alone(x: torch.Tensor) -> dict[str, float]:
    """Milliseconds of the products of a dense step and of one top-k, each the best of five."""
    dtype = torch.bfloat16 if native_bfloat16(x.device) else torch.float32
    batch, w = x[:BATCH].to(dtype), torch.randn(FEATURES, D).to(dtype)
    z = torch.randn(BATCH, FEATURES).to(dtype)

    def best(what: Any) -> float:
        times = []
        for _ in range(5):
            begun = time.process_time()
            what()
            times.append(time.process_time() - begun)
        return 1e3 * min(times)

    products = 2 * best(lambda: batch @ w.t()) + best(lambda: z @ w) + 2 * best(lambda: z.t() @ batch)
    return {"five dense products": products, "torch.topk": best(lambda: torch.topk(z.float(), K, dim=-1))}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--envs", type=Path, default=Path(tempfile.gettempdir()) / "sarm-sae-step")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--steps", type=int, default=200, help="steps after which the loss is compared")
    parser.add_argument("--how", nargs="+", default=["float32", "autocast"], help="ways of the peers")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    pythons = {name: environment(options.envs / name, wanted) for name, wanted in ENVIRONMENTS.items()}
    x = planted(BATCH * options.steps + HELD_OUT)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "x.npy"
        np.save(data, x)
        runs: dict[str, Any] = {"this project": Ours(torch.from_numpy(x))}
        for peer, how in (way for way in WAYS if way[1] in options.how):
            runs[f"{peer} {how}"] = Peer(pythons[peer], data, peer, how)
        times: dict[str, list[float]] = {name: [] for name in runs}
        for number in range(options.rounds):
            for name, run in runs.items():
                found = run.steps(4)
                times[name] += (
                    found[1:] if number else []
                )  # the first round warms up, so does each first step
        fastest = {
            peer: min((n for n in runs if n.startswith(peer)), key=lambda n: float(np.median(times[n])))
            for peer in ENVIRONMENTS
        }
        left = options.steps - 4 * options.rounds
        unexplained = {}
        for name in ("this project", *fastest.values()):
            runs[name].steps(max(0, left))
            unexplained[name] = runs[name].unexplained()
        for run in runs.values():
            if isinstance(run, Peer):
                run.process.terminate()
    report: dict[str, Any] = {"parts": parts_alone(torch.from_numpy(x)), "steps": options.steps, "runs": {}}
    for name, seconds in times.items():
        ms = 1e3 * np.array(seconds)
        report["runs"][name] = {
            "median_ms": float(np.median(ms)),
            "fastest_ms": float(ms.min()),
            "variance_unexplained": unexplained.get(name),
        }
        print(
            f"{name:22s} median {np.median(ms):6.0f} ms   fastest {ms.min():6.0f} ms   unexplained "
            + (f"{unexplained[name]:.4f}" if name in unexplained else "-")
        )
    own = report["runs"]["this project"]["median_ms"]
    for name in fastest.values():
        print(f"{name} / this project: {report['runs'][name]['median_ms'] / own:.2f} (goal: 2)")
    print("  ".join(f"{name} {ms:.0f} ms" for name, ms in report["parts"].items()))
    if options.out:
        options.out.write_text(json.dumps(report, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
