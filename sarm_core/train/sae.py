"""Stage 1: pretrain a TopK SAE on residual-stream activations [SARM, sec. 3.1].

Differences from the paper, each because it measured better here: b_pre starts at the mean (at block 15 of
the demo backbone the mean carries 94 % of the squared norm), the loss is the fraction of VARIANCE
unexplained, the decoder is renormalised every step, an auxiliary loss revives dead features, answers are also
scored as if they had stopped earlier (`cuts.py`), and differences between answers to one prompt count extra.
"""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sarm_core.errors import SarmError
from sarm_core.model.sae import SAE, JumpReLU, TopK
from sarm_core.train.positions import KINDS, Positions, Siblings
from sarm_core.train.processes import ALONE, Processes
from sarm_core.train.sae_config import SAEConfig
from sarm_core.train.sae_figures import MEASURED, firing_histogram
from sarm_core.train.sae_step import Dictionary, Figures, standardised
from sarm_core.train.unfinished import Metrics, Unfinished

__all__ = ["train_sae"]

THRESHOLD_BATCHES = 50
"""Batches whose lowest activations are averaged to one threshold"""


def train_sae(
    positions: Positions,
    config: SAEConfig,
    *,
    unfinished: Unfinished | None = None,
    board: Any = None,
    log: bool = True,
    processes: Processes = ALONE,
) -> SAE:
    """Train on the train part of `positions`. Deterministic for a seed, machine and thread count.

    With `unfinished`, a checkpoint is kept there every `checkpoint_every` steps and where SIGINT asks to stop, which
    then raises KeyboardInterrupt; where there is one, the run goes on from it and ends with the same weights, bit
    for bit, as if nothing had happened. With `difference_weight` half of each batch is pairs of answers to one prompt:
    what a reward model says is a difference between such rows, a small part of the variance between all rows, and
    without this term the dictionary spends its features on what the prompts differ in.

    Each of several `processes` takes its share of every batch; the weights are those of one process but for the
    rounding of sums. Only the first one has `unfinished` and `board`. Raises SarmError.
    """
    run = _Run(positions, config, unfinished, board, processes)
    with _interruptible(at_once=processes.n == 1) as asked:
        while run.step < config.steps:
            run.advance(log and processes.first)
            stop = processes.any(asked())
            if (run.step % config.checkpoint_every == 0 or stop) and run.step < config.steps:
                run.keep()
            if stop:
                raise KeyboardInterrupt
    return run.sae()


class _Run:
    """The state of a run between two steps."""

    def __init__(
        self,
        positions: Positions,
        config: SAEConfig,
        unfinished: Unfinished | None,
        board: Any,
        processes: Processes,
    ):
        self.positions, self.config, self.unfinished = positions, config, unfinished
        self.processes = processes
        self.generator = torch.Generator().manual_seed(config.seed)
        with processes.agreeing():
            self.device = processes.device_of(config.device)
            siblings = Siblings(positions) if config.difference_weight else None
            self.siblings = siblings if siblings is not None and len(siblings) else None
            self.n_pairs = config.batch // 4 if self.siblings is not None else 0
            available = [positions.counts["train", kind] for kind in KINDS]
            self.shares = _batch_shares(config, available, config.batch - 2 * self.n_pairs)
            self.rows = sum(self.shares) + 2 * self.n_pairs
            _check_share_of_each(config, processes, [*self.shares, self.n_pairs])
            kept = unfinished.read() if unfinished else None
            mean = _mean(positions)
        self.mean = processes.tensors_of_first({"mean": mean})["mean"]
        dtype = {"auto": None, "bfloat16": torch.bfloat16, "float32": torch.float32}[config.products]
        self.dictionary = Dictionary(
            torch.randn(config.n_features, positions.d, generator=self.generator).to(self.device),
            self.mean.to(self.device),
            k=config.k,
            kind=config.kind,
            lr=config.lr,
            aux_k=config.aux_k,
            dead_after=config.dead_after,
            dtype=dtype,
            processes=processes,
        )
        self.mean = self.mean.to(self.device)
        self.fired = torch.zeros(config.n_features, dtype=torch.int64, device=self.device)
        self.step = self.since = 0
        size = self._go_on(kept)
        self.metrics = Metrics(unfinished.metrics if unfinished else None, size, board)
        self.begun, self.first = time.monotonic(), self.step

    def _go_on(self, kept: tuple[dict[str, Tensor], dict[str, Any]] | None) -> int:
        """From the checkpoint, if there is one; returns the size of its metrics."""
        tensors, facts = kept or ({}, {})
        with self.processes.agreeing():
            if self.unfinished is not None and facts:
                self._check_begun(facts["settings"], self.unfinished.folder)
        facts = self.processes.of_first(facts)
        tensors = self.processes.tensors_of_first(tensors)
        if not facts:
            weights = self.dictionary.weights
            for name, weight in self.processes.tensors_of_first(weights).items():
                weights[name].copy_(weight)
            return 0
        self.dictionary.restore({name: tensor.to(self.device) for name, tensor in tensors.items()})
        self.fired.copy_(tensors["fired"])
        self.generator.set_state(tensors["generator"])
        self.step, self.since = facts["step"], facts["since"]
        return int(facts["metrics"])

    def _check_begun(self, begun: Mapping[str, Any], folder: Path) -> None:
        """Raises SarmError where a run was begun with other settings."""
        mine = _decisive(self.config, self.positions, self.processes)
        if begun["processes"] != mine["processes"]:
            print(
                f"begun with {begun['processes']} processes, going on with {mine['processes']}: "
                "sums are rounded in another order",
                file=sys.stderr,
            )
            mine |= {name: begun[name] for name in ("processes", "threads")}  # launchers set threads
        for name, value in begun.items():
            if mine.get(name) != value:
                raise SarmError(
                    f"{folder}: was begun with {name} {value!r}, not {mine.get(name)!r}; "
                    "set it back, or delete the folder to start anew"
                )

    def keep(self) -> None:
        """Write the checkpoint. Raises SarmError when the disk refuses."""
        if not all(bool(weight.isfinite().all()) for weight in self.dictionary.weights.values()):
            raise SarmError(
                f"the weights are no longer numbers at step {self.step}: lower lr (it is {self.config.lr})"
            )
        if self.unfinished is None:
            return
        tensors = self.dictionary.state() | {"fired": self.fired, "generator": self.generator.get_state()}
        facts = {
            "step": self.step,
            "since": self.since,
            "metrics": self.metrics.size,
            "settings": _decisive(self.config, self.positions, self.processes),
        }
        self.unfinished.write(tensors, facts)

    def batch(self) -> Tensor:
        """x, [n, d], of this process's share of the next batch: positions by the mix, then the sides of the pairs."""
        parts = []
        for kind, n in zip(KINDS, self.shares, strict=True):
            if n:
                count = self.positions.counts["train", kind]
                numbers = torch.randint(count, (n,), generator=self.generator)[
                    self.processes.share(n)
                ].numpy()
                parts.append(self.positions.rows(("train", kind), numbers))
        if self.siblings is not None:
            drawn = torch.randint(len(self.siblings), (self.n_pairs,), generator=self.generator)
            both = self.siblings.pairs(drawn[self.processes.share(self.n_pairs)].numpy())
            parts += [self.positions.rows(("train", "scored"), both[:, side]) for side in (0, 1)]
        return standardised(torch.from_numpy(np.concatenate(parts)).to(self.device))

    def advance(self, log: bool) -> None:
        """One step, and an entry of the metrics when it is time."""
        config = self.config
        x = self.batch()
        lr = config.lr * _schedule(self.step, config)
        figures = self.dictionary.step(
            x,
            (x - self.mean).square().sum(),
            lr,
            n_pairs=len(range(self.n_pairs)[self.processes.share(self.n_pairs)]),
            difference_weight=config.difference_weight,
        )
        self.fired += figures.fired
        self.since += self.rows
        self.step += 1
        if self.step % config.log_every == 0 or self.step in (1, config.steps):
            self._entry(figures, lr, log)

    def _entry(self, figures: Figures, lr: float, log: bool) -> None:
        loss = figures.loss.item()
        if not math.isfinite(loss):
            raise SarmError(
                f"the loss is no longer a number at step {self.step}: lower lr (it is {self.config.lr})"
            )
        entry: dict[str, Any] = {
            "step": self.step,
            "variance_unexplained": loss,
            "dead_share": figures.n_dead / self.config.n_features,
            "lr": lr,
            "positions": self.step * self.config.batch,
            "firing_histogram": firing_histogram(self.fired, self.since),
        }
        if self.n_pairs:
            entry["differences_unexplained"] = figures.differences.item()
        self.metrics.add(entry)
        self.fired.zero_()
        self.since = 0
        if log:
            rate = (self.step - self.first) / (time.monotonic() - self.begun)
            print(
                f"  step {self.step:5d}  variance unexplained {loss:.4f}  "
                f"of differences {figures.differences.item():.4f}  dead {figures.n_dead:5d}  "
                f"{rate:.1f} steps/s  {(self.config.steps - self.step) / rate:,.0f} s left",
                file=sys.stderr,
                flush=True,
            )

    def sae(self) -> SAE:
        """The trained SAE on the CPU, of the kind that scoring knows."""
        kind = JumpReLU() if self.config.kind == "batch-topk" else TopK(self.config.k)
        sae = SAE(self.positions.d, self.config.n_features, kind)
        self.dictionary.copy_to(sae)
        if self.config.kind == "batch-topk":
            lowest = [self.dictionary.lowest(self.batch()) for _ in range(THRESHOLD_BATCHES)]
            with torch.no_grad():
                sae.get_parameter("threshold").fill_(float(np.mean(lowest)))
        return sae.eval().requires_grad_(False)


def _check_share_of_each(config: SAEConfig, processes: Processes, parts: Sequence[int]) -> None:
    """Raises SarmError where a process would have no part in a batch."""
    for rank in range(processes.n):
        if not any(len(range(n)[processes.share(n, rank)]) for n in parts):
            raise SarmError(
                f"batch {config.batch} is too small to be divided among {processes.n} processes: "
                "use fewer, or a larger batch"
            )


def _decisive(config: SAEConfig, positions: Positions, processes: Processes) -> dict[str, Any]:
    """What the weights depend on, as JSON holds it."""
    free = {
        "out",
        "cache",
        "checkpoint_every",
        "tensorboard",
        "pairs",
        "data",
        "backbone",
    }  # the positions say what was read
    found = {name: value for name, value in asdict(config).items() if name not in free}
    return {
        **found,
        "positions": positions.folder.name,
        "threads": torch.get_num_threads(),
        "processes": processes.n,
    }


@contextmanager
def _interruptible(*, at_once: bool) -> Iterator[Callable[[], bool]]:
    """A function that says whether SIGINT or SIGTERM asked to stop; with `at_once` a second one stops at once.

    Launchers send a second signal of their own.
    """
    asked = False

    def ask(number: int, frame: object) -> None:
        nonlocal asked
        if asked and at_once:
            raise KeyboardInterrupt
        asked = True

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _batch_shares(config: SAEConfig, available: list[int], size: int) -> list[int]:
    wanted = [config.mix.get(kind, 0.0) if n else 0.0 for kind, n in zip(KINDS, available, strict=True)]
    total = sum(wanted)
    if total <= 0:
        raise SarmError("mix names no kind of position that the data contains")
    return [round(size * share / total) for share in wanted]


def _mean(positions: Positions) -> Tensor:
    """The mean of x over the train part; of each kind at most MEASURED evenly spread ones are read."""
    mean = torch.zeros(positions.d, dtype=torch.float64)
    for kind in KINDS:
        total, n = torch.zeros(positions.d, dtype=torch.float64), 0
        for chunk in positions.spread(("train", kind), MEASURED):
            total += standardised(torch.from_numpy(chunk)).double().sum(0)
            n += len(chunk)
        mean += total / max(n, 1) * positions.counts["train", kind] / positions.count("train")
    return mean.float()


def _schedule(step: int, config: SAEConfig) -> float:
    """The share of the peak learning rate at a step: up, level, down to a fiftieth."""
    warm, down = round(config.warm_up * config.steps), round(config.decay * config.steps)
    if step < warm:
        return (step + 1) / warm
    return min(1.0, max(0.02, (config.steps - step) / max(1, down)))
