"""Token sequences -> active features at the positions that count.

Three things make this fast without changing a result: batches of similar length under a token budget, the
SAE at requested positions only (M numbers per token are never made for the others), and one pass over a
prefix that several sequences share, whose keys and values are then reused.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor
from transformers import DynamicCache

from sarm_core.model import SARM, position_ids_of
from sarm_core.sae import standardise

__all__ = ["Batch", "Encoder", "Progress", "hidden_at", "padded", "plan_batches", "shared_prefixes"]

Progress = Callable[[int, int], None]
Ids = npt.NDArray[np.int32]

MIN_SHARED = 16  # shorter prefixes cost more in bookkeeping than they save


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
    features are wanted). Sequences are sorted, so those with a common prefix are neighbours; every run of
    neighbours is then either one group, or split where it shares least, whichever saves more. Returns
    (prefix length, members); ungrouped sequences come as (0, [i]).
    """
    order = sorted(range(len(sequences)), key=lambda i: sequences[i].tobytes())
    common = [
        min(_common_prefix(sequences[a], sequences[b]), limits[a], limits[b])
        for a, b in zip(order, order[1:], strict=False)
    ]

    # A stack of open runs of neighbours, by rising common prefix (the nodes of a Cartesian tree over
    # `common`). When a run closes, it becomes one group if that saves at least what its parts save.
    def close(prefix: int, parts: list[_Part]) -> _Part:
        size = sum(part.size for part in parts)
        whole = prefix * (size - 1) if prefix >= MIN_SHARED else 0
        apart = sum(part.saved for part in parts)
        if whole >= apart and whole > 0:
            return _Part(whole, size, [(prefix, [i for part in parts for _, m in part.groups for i in m])])
        return _Part(apart, size, [group for part in parts for group in part.groups])

    stack: list[tuple[int, list[_Part]]] = [(-1, [])]
    for place, index in enumerate(order):
        part = _Part(0, 1, [(0, [index])])
        here = common[place] if place < len(common) else -1
        if here > stack[-1][0]:
            stack.append((here, [part]))
            continue
        stack[-1][1].append(part)
        while stack[-1][0] > here:
            prefix, parts = stack.pop()
            closed = close(prefix, parts)
            if stack[-1][0] < here:
                stack.append((here, [closed]))
                break
            stack[-1][1].append(closed)
    return [group for part in stack[0][1] for group in part.groups]


@dataclass(frozen=True)
class _Part:
    saved: int
    size: int
    groups: list[tuple[int, list[int]]]


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


class Encoder:
    """Runs a SARM over token sequences. Thread-safe: a lock is held for one batch at a time."""

    def __init__(self, model: SARM, token_budget: int | None = None):
        self.model = model.eval()
        device = next(model.parameters()).device
        self.token_budget = token_budget or (32_768 if device.type == "cuda" else 4_096)
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
            with self._lock, torch.inference_mode():
                parts.append(self._sparse(h))
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
        out = np.zeros((int(offsets[-1]), self.model.sae.pre_bias.shape[0]), dtype=np.float32)
        for batch, h in self._batches(sequences, positions, progress, True):
            where = np.concatenate([np.arange(offsets[i], offsets[i + 1]) for i in batch.members])
            out[where] = h.float().cpu().numpy()
        return out

    def trace(self, sequence: Ids, features: Sequence[int]) -> npt.NDArray[np.float32]:
        """Activations of chosen `features` at EVERY token of one sequence, float32 [T, len(features)].

        A feature that is not among the k largest at a token counts as 0 there, as at the scored token.
        Positions go through the SAE in chunks, so the peak is [64, M].
        """
        positions = [np.arange(len(sequence), dtype=np.int64)]
        ((_, h),) = self._batches([sequence], positions, None, False)
        wanted = torch.tensor(list(features), dtype=torch.int64, device=h.device)
        sae = self.model.sae
        out = []
        with self._lock, torch.inference_mode():
            for chunk in h.split(64):
                a = sae.pre_activations(standardise(chunk))
                z = a[:, wanted]
                if sae.k is not None:
                    lowest = torch.topk(a, sae.k, dim=-1).values[:, -1:]
                    z = torch.where(z >= lowest, z, 0.0)
                out.append(z.cpu().numpy())
        return np.concatenate(out)

    def _batches(
        self,
        sequences: Sequence[Ids],
        positions: Sequence[npt.NDArray[np.int64]],
        progress: Progress | None,
        share_prefixes: bool,
    ) -> Iterator[tuple[Batch, Tensor]]:
        lengths = [len(s) for s in sequences]
        if share_prefixes:
            limits = [int(p.min()) if len(p) else len(s) for s, p in zip(sequences, positions, strict=True)]
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

    def _sparse(self, h: Tensor) -> sparse.csr_matrix:
        codes = self.model.codes(h)
        n_features = self.model.sae.n_features
        if self.model.sae.k is None:
            n = codes.values.shape[0]
            ids = np.tile(np.arange(n_features, dtype=np.int32), n)
            data = codes.values.float().cpu().numpy().ravel()
            return sparse.csr_matrix(
                (data, ids, np.arange(0, n * n_features + 1, n_features)), (n, n_features)
            )
        indices, order = codes.indices.sort(dim=-1)
        values = codes.values.gather(-1, order).float().cpu().numpy()
        n, k = values.shape
        return sparse.csr_matrix(
            (values.ravel(), indices.cpu().numpy().astype(np.int32).ravel(), np.arange(0, n * k + 1, k)),
            shape=(n, n_features),
        )
