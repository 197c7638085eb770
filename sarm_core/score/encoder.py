"""Token sequences -> active features at the positions that count.

Three things make this fast without changing a result: passes over texts of similar length, small enough that little
is padded; the SAE at requested positions only (M numbers per token are never made for the others); and one pass over a
prefix that several sequences share, whose keys and values are then reused.
"""

from __future__ import annotations

import copy
import inspect
import math
import random
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor

from sarm_core.model.cut import blocks_read
from sarm_core.model.hf import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer
from sarm_core.model.sarm import SARM, position_ids_of

__all__ = ["Batch", "Encoder", "Progress", "Traced", "padded", "plan_batches", "shared_prefixes"]

Progress = Callable[[int, int], None]
Ids = npt.NDArray[np.int32]

MIN_SHARED = 16  # shorter prefixes cost more in bookkeeping than they save
SPLIT = 64  # positions of a trace that meet the SAE at once
PASS = 8
"""Which part of the token budget a pass over what is not shared takes on a CPU: 512 tokens keep its cores as busy as
4,096 do, and fewer texts together leave less padding."""
REPEATED = 8
"""How many times the token budget the keys and values of a pass may hold, where many texts share a long prefix"""


@dataclass(frozen=True)
class Batch:
    """Sequences by index: prefixes that go through the model together, and the passes over what follows them.

    `groups` holds (prefix length, members); a group of prefix 0 has one member and is read whole. `passes` holds all
    members again, those of similar rest together.
    """

    groups: tuple[tuple[int, tuple[int, ...]], ...]
    passes: tuple[tuple[int, ...], ...]

    @property
    def members(self) -> tuple[int, ...]:
        """All sequence indices, pass after pass."""
        return tuple(i for part in self.passes for i in part)


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
    lengths: Sequence[int],
    groups: Sequence[tuple[int, Sequence[int]]],
    token_budget: int,
    pass_budget: int | None = None,
) -> list[Batch]:
    """Pack groups into batches whose prefixes are `token_budget` tokens at most, padding included, and what follows
    them into passes of `pass_budget` tokens at most (default: as many).

    Prefixes of similar length stand together, and within a batch rests of similar length; so do texts that share
    nothing. What is longer than a budget goes alone.
    """
    pass_budget = pass_budget or token_budget
    alone = [members[0] for prefix, members in groups if not prefix]
    batches = [
        Batch(tuple((0, (i,)) for i in part), (part,))
        for part in _packed(alone, lengths.__getitem__, pass_budget)
    ]
    sharing = [(prefix, tuple(members)) for prefix, members in groups if prefix]
    for part in _packed(range(len(sharing)), lambda g: sharing[g][0], token_budget):
        some = tuple(sharing[g] for g in part)
        rest = {i: lengths[i] - prefix for prefix, members in some for i in members}
        longest = max(prefix for prefix, _ in some)
        most = REPEATED * token_budget
        batches.append(Batch(some, tuple(_packed(rest, rest.__getitem__, pass_budget, longest, most))))
    return batches


def _packed(
    items: Iterable[int],
    length: Callable[[int], int],
    budget: int,
    before: int = 0,
    most: float = math.inf,
) -> Iterator[tuple[int, ...]]:
    """Items by length, as many together as are at most `budget` long when each is as long as the longest of them, and
    at most `most` with what stands `before` each."""
    part: list[int] = []
    for item in sorted(items, key=length):
        n, longest = len(part) + 1, length(item)
        if part and (n * longest > budget or n * (before + longest) > most):
            yield tuple(part)
            part = []
        part.append(item)
    if part:
        yield tuple(part)


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
def _prefixes_read(model: SARM, sequences: Sequence[Ids], batch: Batch) -> tuple[DynamicCache, Tensor] | None:
    """Keys and values of a batch's prefixes, padded on the left, and their mask [groups, longest]; None without any."""
    if not any(prefix for prefix, _ in batch.groups):
        return None
    heads = [sequences[group[0]][:prefix] for prefix, group in batch.groups]
    ids, mask = padded(heads, left=True, device=next(model.parameters()).device)
    cache = DynamicCache(config=model.config)
    model.hidden(ids, mask, position_ids_of(mask), cache)
    return cache, mask


@torch.inference_mode()
def _hidden_at(
    model: SARM,
    sequences: Sequence[Ids],
    positions: Sequence[npt.NDArray[np.int64]],
    batch: Batch,
    members: Sequence[int],
    read: tuple[DynamicCache, Tensor] | None,
) -> Tensor:
    """h at the requested positions of one pass's members, [sum of positions, d], member after member.

    Prefixes are padded on the left and rests on the right, so that every row's real tokens are contiguous
    and sliding-window attention sees the true distances.
    """
    device = next(model.parameters()).device
    prefix_of = {i: prefix for prefix, group in batch.groups for i in group}
    ids, mask = padded([sequences[i][prefix_of[i] :] for i in members], left=False, device=device)
    if read is None:
        h = model.hidden(ids, mask)
    else:
        cache, prefix_mask = read
        group_of = {i: g for g, (_, group) in enumerate(batch.groups) for i in group}
        index = torch.tensor([group_of[i] for i in members], device=device)
        mask = torch.cat([prefix_mask[index], mask], dim=1)
        h = model.hidden(ids, mask, position_ids_of(mask)[:, prefix_mask.shape[1] :], _selected(cache, index))
    rows = np.repeat(np.arange(len(members)), [len(positions[i]) for i in members])
    columns = np.concatenate([positions[i] - prefix_of[i] for i in members])
    return h[torch.from_numpy(rows).to(device), torch.from_numpy(columns).to(device)]


def _selected(cache: DynamicCache, index: Tensor) -> DynamicCache:
    """Rows of a cache as one of their own, which may be continued while the other stays as it is."""
    part = copy.copy(cache)
    part.layers = [copy.copy(layer) for layer in cache.layers]
    part.batch_select_indices(index)
    return part


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
    """Runs a SARM over token sequences. Thread-safe: a lock is held for one pass at a time."""

    def __init__(self, model: SARM, token_budget: int | None = None):
        self.model = model.eval()
        on_gpu = next(model.parameters()).device.type == "cuda"
        self.token_budget = token_budget or (32_768 if on_gpu else 4_096)
        self.pass_budget = self.token_budget if on_gpu else max(1, self.token_budget // PASS)
        self.why_not_shared = why_not_shared(self.model)
        self._lock = threading.Lock()
        self._last: tuple[Ids, DynamicCache] | None = None

    def encode_edit(self, sequence: Ids) -> sparse.csr_matrix:
        """As `encode` of one sequence, CSR float32 [1, M], for a text that is being changed: what it begins with as the
        one before it did is not read again. Keys and values of one text are kept for that.

        Backbones whose layers keep anything but plain keys and values read it whole. The same activations but for
        rounding: in bfloat16 and float16 a feature at the edge of the k largest may differ (see `encoded`).
        """
        with self._lock, torch.inference_mode():
            layers = DynamicCache(config=self.model.config).layers
            if self.why_not_shared is not None or any(type(layer) is not DynamicLayer for layer in layers):
                same, cache = 0, None
            else:
                same, cache = self._begun(sequence)
            device = next(self.model.parameters()).device
            ids, mask = padded([sequence], left=False, device=device)
            if cache is None:
                h = self.model.hidden(ids, mask)
            else:
                # Whatever is raised on the way, a cache that was read in half is not taken for a whole one.
                self._last = None
                h = self.model.hidden(ids[:, same:], mask, position_ids_of(mask)[:, same:], cache)
                self._last = (sequence, cache)
            return self.model.codes(h[0, -1:]).csr()

    def _begun(self, sequence: Ids) -> tuple[int, DynamicCache]:
        """How many tokens need not be read again, all but the last at most, and what was kept of them."""
        if self._last is not None:
            before, cache = self._last
            same = min(_common_prefix(before, sequence), len(sequence) - 1)
            if same:
                if same < len(before):
                    cache.crop(same - len(before))
                return same, cache
        return 0, DynamicCache(config=self.model.config)

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
        1, and so on. `progress(tokens done, tokens in all)` is called after every pass; it may raise to
        stop. Peak memory is one pass's activations, the keys and values of a batch's prefixes, and the result.
        """
        if positions is None:
            positions = [np.array([len(s) - 1], dtype=np.int64) for s in sequences]
        counts = np.array([len(p) for p in positions], dtype=np.int64)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        parts: list[sparse.csr_matrix] = []
        places: list[npt.NDArray[np.int64]] = []
        for members, h in self._passes(sequences, positions, progress, share_prefixes):
            if len(h):
                with self._lock, torch.inference_mode():
                    parts.append(self.model.codes(h).csr())
            places += [np.arange(offsets[i], offsets[i + 1]) for i in members]
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
        for members, h in self.hidden_parts(sequences, positions, progress=progress):
            where = np.concatenate([np.arange(offsets[i], offsets[i + 1]) for i in members])
            out[where] = h
        return out

    def hidden_parts(
        self,
        sequences: Sequence[Ids],
        positions: Sequence[npt.NDArray[np.int64]],
        *,
        progress: Progress | None = None,
    ) -> Iterator[tuple[tuple[int, ...], npt.NDArray[np.float32]]]:
        """(sequence indices, h at their positions, float32 [sum of positions, d]), as they are computed."""
        for members, h in self._passes(sequences, positions, progress, True):
            yield members, h.float().cpu().numpy()

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
        one pass's h and [64, M]; h never leaves the device.
        """
        positions = [np.arange(len(sequence), dtype=np.int64) for sequence in sequences]
        for members, h in self._passes(sequences, positions, None, False):
            start = 0
            for i in members:
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

    def _passes(
        self,
        sequences: Sequence[Ids],
        positions: Sequence[npt.NDArray[np.int64]],
        progress: Progress | None,
        share_prefixes: bool,
    ) -> Iterator[tuple[tuple[int, ...], Tensor]]:
        """(members, h at their positions) of every pass.

        Batches come in an order that has nothing to do with length, so what is done tells how long the rest takes.
        """
        lengths = [len(s) for s in sequences]
        if share_prefixes and self.why_not_shared is None:
            limits = [
                int(p.min()) if len(p) else len(s) - 1 for s, p in zip(sequences, positions, strict=True)
            ]
            groups = shared_prefixes(sequences, limits)
        else:
            groups = [(0, [i]) for i in range(len(sequences))]
        total, done = sum(lengths), 0
        batches = plan_batches(lengths, groups, self.token_budget, self.pass_budget)
        random.Random(0).shuffle(batches)
        for batch in batches:
            with self._lock:
                read = _prefixes_read(self.model, sequences, batch)
            for members in batch.passes:
                with self._lock:
                    h = _hidden_at(self.model, sequences, positions, batch, members, read)
                yield members, h
                done += sum(lengths[i] for i in members)
                if progress is not None:
                    progress(done, total)
