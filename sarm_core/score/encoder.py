"""Token sequences -> active features at the positions that count.

Three things make this fast without changing a result: batches of similar length under a token budget, the
SAE at requested positions only (M numbers per token are never made for the others), and one pass over a
prefix that several sequences share, whose keys and values are then reused.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from sarm_core.model.cut import blocks_read
from sarm_core.model.sarm import SARM, position_ids_of

__all__ = ["Batch", "Encoder", "Progress", "Traced", "hidden_at", "padded", "plan_batches", "shared_prefixes"]

Progress = Callable[[int, int], None]
Ids = npt.NDArray[np.int32]

MIN_SHARED = 16  # shorter prefixes cost more in bookkeeping than they save
SPLIT = 64  # positions of a trace that meet the SAE at once


@dataclass(frozen=True)
class Batch:
    """Sequences that go through the model together, by index, with the prefix length they share in groups.

    `groups` holds (prefix length, members); a group of prefix 0 has one member and is read whole.
    """

    groups: tuple[tuple[int, tuple[int, ...]], ...]

    @property
    def members(self) -> tuple[int, ...]:
        """All sequence indices, group after group."""
        return tuple(i for _, group in self.groups for i in group)


def shared_prefixes(sequences: Sequence[Ids], limits: Sequence[int]) -> list[tuple[int, list[int]]]:
    """Split sequences into groups that share a prefix so that the fewest tokens are computed.

    `limits[i]` is the first position of sequence i that must not be in a shared part (a position whose
    features are wanted). Returns (prefix length, members); ungrouped sequences come as (0, [i]).

    Sorted by what may be shared, sequences with a common prefix are neighbours and form a tree of runs. A
    group with prefix p and m members saves p (m - 1) tokens: p for each member, less p for computing it.
    """
    parts = [s[:limit] for s, limit in zip(sequences, limits, strict=True)]
    order = sorted(range(len(parts)), key=lambda i: parts[i].tobytes())
    common = [_common_prefix(parts[a], parts[b]) for a, b in pairwise(order)]
    stack: list[tuple[int, list[_Run]]] = [(0, [])]  # open runs of neighbours, by rising common prefix
    for index, here in zip(order, [*common, 0], strict=False):
        run = _Run(0, (), index, steps=[(0.0, 1)])
        if here > stack[-1][0]:
            stack.append((here, [run]))
            continue
        stack[-1][1].append(run)
        while stack[-1][0] > here:
            prefix, runs = stack.pop()
            closed = _closed(prefix, runs)
            if stack[-1][0] < here:
                stack.append((here, [closed]))
                break
            stack[-1][1].append(closed)
    groups: list[tuple[int, list[int]]] = []
    todo: list[tuple[_Run, int, list[int] | None]] = [(run, 0, None) for run in reversed(stack[0][1])]
    while todo:
        run, price, group = todo.pop()
        if run.index is not None:
            if group is None:
                groups.append((0, [run.index]))
            else:
                group.append(run.index)
            continue
        if price < run.worth:
            price, group = run.prefix, []
            groups.append((price, group))
        todo += [(part, price, group) for part in reversed(run.parts)]
    return groups


@dataclass(frozen=True)
class _Run:
    """Neighbours that share `prefix` tokens: one sequence (`index`), or `parts` that are runs themselves.

    The best saving inside the run, if every sequence may instead join an outer group that saves `price`
    tokens a member, is saved + sum over `steps` (at, members) of members * max(0, price - at). The run is
    a group of its own as long as the price is below `worth`.
    """

    prefix: int
    parts: tuple[_Run, ...]
    index: int | None = None
    saved: float = 0.0
    worth: float = 0.0
    steps: list[tuple[float, int]] = field(default_factory=list)


def _closed(prefix: int, parts: list[_Run]) -> _Run:
    """The run over `parts`, made a group where that saves more than its parts do."""
    apart = sum(part.saved for part in parts)
    steps = sorted(step for part in parts for step in part.steps)
    grouped = apart + sum(n * max(0.0, prefix - at) for at, n in steps) - prefix
    if prefix < MIN_SHARED or grouped <= apart:
        return _Run(prefix, tuple(parts), None, apart, 0.0, steps)
    price, reached, joining = 0.0, apart, 0  # walk up to the price at which going apart saves as much
    while steps and reached + joining * (steps[0][0] - price) < grouped:
        at, n = steps.pop(0)
        price, reached, joining = at, reached + joining * (at - price), joining + n
    worth = price + (grouped - reached) / joining
    return _Run(prefix, tuple(parts), None, grouped, worth, [(worth, joining), *steps])


def _common_prefix(a: Ids, b: Ids) -> int:
    n = min(len(a), len(b))
    differ = np.flatnonzero(a[:n] != b[:n])
    return int(differ[0]) if len(differ) else n


def plan_batches(
    lengths: Sequence[int], groups: Sequence[tuple[int, Sequence[int]]], token_budget: int
) -> list[Batch]:
    """Pack groups into batches of at most `token_budget` computed tokens, padding included.

    A batch computes (groups x longest prefix) + (members x longest rest) tokens, so groups are sorted by
    both lengths. A group too large for one batch is cut into several, each with its own prefix pass.
    """
    chunks: list[tuple[int, tuple[int, ...]]] = []
    for prefix, members in groups:
        ranked = sorted(members, key=lambda i: lengths[i])
        fit = max(1, (token_budget - prefix) // max(1, lengths[ranked[-1]] - prefix))
        chunks += [(prefix, tuple(ranked[at : at + fit])) for at in range(0, len(ranked), fit)]
    chunks.sort(key=lambda chunk: (chunk[0] > 0, max(lengths[i] - chunk[0] for i in chunk[1]), chunk[0]))
    batches: list[Batch] = []
    current: list[tuple[int, tuple[int, ...]]] = []

    def cost(groups: list[tuple[int, tuple[int, ...]]]) -> int:
        rest = max(lengths[i] - prefix for prefix, members in groups for i in members)
        n = sum(len(members) for _, members in groups)
        return len(groups) * max(prefix for prefix, _ in groups) + n * rest

    for chunk in chunks:
        mixes = bool(current) and (current[0][0] > 0) != (chunk[0] > 0)
        if current and (mixes or cost([*current, chunk]) > token_budget):
            batches.append(Batch(tuple(current)))
            current = []
        current.append(chunk)
    if current:
        batches.append(Batch(tuple(current)))
    return batches


def padded(rows: Sequence[Ids], *, left: bool, device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids and 0/1 mask, int64 [n, longest], padded on one side with token 0."""
    width = max(len(row) for row in rows)
    ids = np.zeros((len(rows), width), dtype=np.int64)
    mask = np.zeros((len(rows), width), dtype=np.int64)
    for i, row in enumerate(rows):
        where = slice(width - len(row), width) if left else slice(0, len(row))
        ids[i, where] = row
        mask[i, where] = 1
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)


@torch.inference_mode()
def hidden_at(
    model: SARM, sequences: Sequence[Ids], positions: Sequence[npt.NDArray[np.int64]], batch: Batch
) -> Tensor:
    """h at the requested positions of one batch's members, [sum of positions, d], member after member.

    Prefixes are padded on the left and rests on the right, so that every row's real tokens are contiguous
    and sliding-window attention sees the true distances.
    """
    device = next(model.parameters()).device
    prefixes = [prefix for prefix, _ in batch.groups]
    members = batch.members
    group_of = [g for g, (_, group) in enumerate(batch.groups) for _ in group]
    if not any(prefixes):
        ids, mask = padded([sequences[i] for i in members], left=False, device=device)
        h = model.hidden(ids, mask)
    else:
        heads = [sequences[group[0]][:prefix] for prefix, group in batch.groups]
        ids, prefix_mask = padded(heads, left=True, device=device)
        cache = DynamicCache(config=model.config)
        model.hidden(ids, prefix_mask, position_ids_of(prefix_mask), cache)
        index = torch.tensor(group_of, device=device)
        cache.batch_select_indices(index)
        rests = [sequences[i][prefixes[g] :] for i, g in zip(members, group_of, strict=True)]
        ids, rest_mask = padded(rests, left=False, device=device)
        mask = torch.cat([prefix_mask[index], rest_mask], dim=1)
        h = model.hidden(ids, mask, position_ids_of(mask)[:, prefix_mask.shape[1] :], cache)
    rows = np.repeat(np.arange(len(members)), [len(positions[i]) for i in members])
    columns = np.concatenate([positions[i] - prefixes[g] for i, g in zip(members, group_of, strict=True)])
    return h[torch.from_numpy(rows).to(device), torch.from_numpy(columns).to(device)]


class Traced(NamedTuple):
    """z along one sequence: of all features at its last token, of the wanted ones at every token."""

    ids: npt.NDArray[np.int32]
    """Active features at the last token, ascending"""
    z: npt.NDArray[np.float32]
    along: npt.NDArray[np.float32]
    """[T, wanted], 0 where a feature is silent"""


_CONTINUED_OTHERWISE = ("moshi", "roformer")
"""Decoders (model_type) that keep keys and values and continue a text in another way: benchmarks/backbones.py."""
_READ_ANEW = "this backbone's layers keep more of a prompt than keys and values"


def why_not_shared(model: SARM) -> str | None:
    """Why the work on a prompt cannot be kept for several answers; None where every layer keeps plain keys and values.

    Decided by the cache that Transformers makes for the config. Recurrent and convolution states (Qwen3-Next, Qwen3.5,
    Jamba, Mamba, LFM2, ...) are not selected by row, and some are continued over several tokens in another way than
    they were begun; such a backbone reads every prompt anew.
    """
    if "past_key_values" not in inspect.signature(model.model.forward).parameters:
        return _READ_ANEW
    if model.config.model_type in _CONTINUED_OTHERWISE:
        return "this backbone continues a text in another way than it reads one"
    layers = DynamicCache(config=model.config).layers[: blocks_read(model.model)]
    plain = bool(layers) and all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers)
    return None if plain else _READ_ANEW


class Encoder:
    """Runs a SARM over token sequences. Thread-safe: a lock is held for one batch at a time."""

    def __init__(self, model: SARM, token_budget: int | None = None):
        self.model = model.eval()
        device = next(model.parameters()).device
        self.token_budget = token_budget or (32_768 if device.type == "cuda" else 4_096)
        self.why_not_shared = why_not_shared(self.model)
        self._lock = threading.Lock()

    def encode(
        self,
        sequences: Sequence[Ids],
        positions: Sequence[npt.NDArray[np.int64]] | None = None,
        *,
        progress: Progress | None = None,
        share_prefixes: bool = True,
    ) -> sparse.csr_matrix:
        """Active features at `positions` (default: the last token) of every sequence, in order.

        Returns CSR float32 [number of positions, M]: the positions of sequence 0, then those of sequence
        1, and so on. `progress(tokens done, tokens in all)` is called after every batch; it may raise to
        stop. Peak memory is one batch's activations plus the result.
        """
        if positions is None:
            positions = [np.array([len(s) - 1], dtype=np.int64) for s in sequences]
        counts = np.array([len(p) for p in positions], dtype=np.int64)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        parts: list[sparse.csr_matrix] = []
        places: list[npt.NDArray[np.int64]] = []
        for batch, h in self._batches(sequences, positions, progress, share_prefixes):
            if len(h):
                with self._lock, torch.inference_mode():
                    parts.append(self.model.codes(h).csr())
            places += [np.arange(offsets[i], offsets[i + 1]) for i in batch.members]
        n_features = self.model.sae.n_features
        if not parts:
            return sparse.csr_matrix((0, n_features), dtype=np.float32)
        back = np.argsort(np.concatenate(places), kind="stable")
        return sparse.csr_matrix(sparse.vstack(parts, format="csr")[back])

    def hidden(
        self,
        sequences: Sequence[Ids],
        positions: Sequence[npt.NDArray[np.int64]],
        *,
        progress: Progress | None = None,
    ) -> npt.NDArray[np.float32]:
        """h itself at the requested positions, float32 [number of positions, d], in order."""
        counts = np.array([len(p) for p in positions], dtype=np.int64)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        out = np.zeros((int(offsets[-1]), self.model.sae.width), dtype=np.float32)
        for batch, h in self._batches(sequences, positions, progress, True):
            where = np.concatenate([np.arange(offsets[i], offsets[i + 1]) for i in batch.members])
            out[where] = h.float().cpu().numpy()
        return out

    def trace(self, sequence: Ids, features: Sequence[int]) -> npt.NDArray[np.float32]:
        """Activations of chosen `features` at EVERY token of one sequence, float32 [T, len(features)].

        A feature that is not active at a token counts as 0 there, as at the scored token.
        """
        ((_, traced),) = self.traces([sequence], [features])
        return traced.along

    def traces(
        self, sequences: Sequence[Ids], features: Sequence[npt.ArrayLike]
    ) -> Iterator[tuple[int, Traced]]:
        """(i, z of sequence i) for every sequence, in the order in which they are computed.

        `features[i]` are those wanted along sequence i. Positions go through the SAE in chunks, so the peak is
        one batch's h and [64, M]; h never leaves the device.
        """
        positions = [np.arange(len(sequence), dtype=np.int64) for sequence in sequences]
        for batch, h in self._batches(sequences, positions, None, False):
            start = 0
            for i in batch.members:
                part = h[start : start + len(sequences[i])]
                start += len(part)
                with self._lock, torch.inference_mode():
                    traced = self._traced(part, features[i])
                yield i, traced

    def _traced(self, h: Tensor, features: npt.ArrayLike) -> Traced:
        wanted = torch.as_tensor(np.asarray(features, dtype=np.int64), device=h.device)
        along = []
        for chunk in h.split(SPLIT):
            rows = self.model.codes(chunk)
            along.append(rows.of(wanted).float().cpu().numpy())
        last = rows.csr()[-1]
        return Traced(last.indices, last.data, np.concatenate(along))

    def _batches(
        self,
        sequences: Sequence[Ids],
        positions: Sequence[npt.NDArray[np.int64]],
        progress: Progress | None,
        share_prefixes: bool,
    ) -> Iterator[tuple[Batch, Tensor]]:
        lengths = [len(s) for s in sequences]
        if share_prefixes and self.why_not_shared is None:
            limits = [
                int(p.min()) if len(p) else len(s) - 1 for s, p in zip(sequences, positions, strict=True)
            ]
            groups = shared_prefixes(sequences, limits)
        else:
            groups = [(0, [i]) for i in range(len(sequences))]
        total, done = sum(lengths), 0
        for batch in plan_batches(lengths, groups, self.token_budget):
            with self._lock:
                h = hidden_at(self.model, sequences, positions, batch)
            yield batch, h
            done += sum(lengths[i] for i in batch.members)
            if progress is not None:
                progress(done, total)
