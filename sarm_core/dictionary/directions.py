"""Cosines between decoder columns, a block of products at a time: pairs within a dictionary, the nearest in another.

Memory beside the decoders: a few blocks of [BLOCK, d] and [BLOCK, BLOCK] float32, under 300 MB at d 4,096, however many
features there are; and the pairs that are kept, 16 bytes each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["BLOCK", "Near", "Nearest", "near_pairs", "nearest"]

BLOCK = 4096
MOST_PAIRS = 200_000
"""Pairs that are kept, those of the largest cosines; in a dictionary of equal columns every pair is near."""

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Progress = Callable[[int, int], object]
"""Told (products of blocks done, in all); may raise to stop."""


class Near(NamedTuple):
    """Pairs of features with nearly one direction, nearest first; equal cosines go by feature ids."""

    left: Ids
    right: Ids
    """[n]; left < right"""
    cosine: Floats
    total: int
    """How many there are; n is at most MOST_PAIRS"""


class Nearest(NamedTuple):
    """Of each feature the one of the other dictionary with the nearest direction; ties go to the smaller id."""

    left: Ids
    """[M of the left], a feature of the right"""
    left_cosine: Floats
    right: Ids
    """[M of the right], a feature of the left"""
    right_cosine: Floats


def _nothing(_done: int, _of: int) -> None:
    """Progress that nobody looks at."""


@torch.inference_mode()
def near_pairs(decoder: Tensor, bound: float, progress: Progress = _nothing) -> Near:
    """Pairs of columns of `decoder` [d, M] whose cosine is at least `bound`. A column of zeros is near to none."""
    starts = range(0, decoder.shape[1], BLOCK)
    total, done, of = 0, 0, len(starts) * (len(starts) + 1) // 2
    kept: list[tuple[Ids, Ids, Floats]] = []
    held = 0
    for first in starts:
        rows = _unit(decoder, first)
        for second in range(first, decoder.shape[1], BLOCK):
            cosines = rows @ (rows if second == first else _unit(decoder, second)).t()
            here = cosines >= bound
            left, right = torch.nonzero(torch.triu(here, 1) if second == first else here, as_tuple=True)
            if len(left):
                total += len(left)
                kept.append(
                    (
                        left.cpu().numpy() + first,
                        right.cpu().numpy() + second,
                        cosines[left, right].cpu().numpy(),
                    )
                )
                held += len(left)
            if held > 2 * MOST_PAIRS:
                kept = [_largest(kept)]
                held = len(kept[0][0])
            done += 1
            progress(done, of)
    left_ids, right_ids, found = _largest(kept)
    return Near(left_ids, right_ids, np.minimum(found, 1), total)


@torch.inference_mode()
def nearest(left: Tensor, right: Tensor, progress: Progress = _nothing) -> Nearest:
    """The nearest columns of two decoders [d, M] of one width, each way, in one pass. Raises ValueError."""
    if left.shape[0] != right.shape[0]:
        raise ValueError(f"decoders of width {left.shape[0]} and {right.shape[0]}")
    sizes = left.shape[1], right.shape[1]
    ids = [np.zeros(size, dtype=np.int64) for size in sizes]
    best = [np.full(size, -np.inf, dtype=np.float32) for size in sizes]
    starts = [range(0, size, BLOCK) for size in sizes]
    done, of = 0, len(starts[0]) * len(starts[1])
    for first in starts[0]:
        rows = _unit(left, first)
        for second in starts[1]:
            cosines = rows @ _unit(right, second).t()
            for side, (axis, start, other) in enumerate(((1, first, second), (0, second, first))):
                value, place = (found.cpu().numpy() for found in cosines.max(dim=axis))
                here = slice(start, start + len(value))
                better = value > best[side][here]
                ids[side][here] = np.where(better, place + other, ids[side][here])
                best[side][here] = np.where(better, value, best[side][here])
            done += 1
            progress(done, of)
    return Nearest(ids[0], np.clip(best[0], -1, 1), ids[1], np.clip(best[1], -1, 1))


def _unit(decoder: Tensor, start: int) -> Tensor:
    """Columns from `start` on as rows of length 1, float32 [up to BLOCK, d]; a column of zeros stays one."""
    rows = decoder[:, start : start + BLOCK].t().float()
    return rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-12)


def _largest(parts: list[tuple[Ids, Ids, Floats]]) -> tuple[Ids, Ids, Floats]:
    if not parts:
        none = np.zeros(0, dtype=np.int64)
        return none, none, np.zeros(0, dtype=np.float32)
    left, right, cosine = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((right, left, -cosine))[:MOST_PAIRS]
    return left[order], right[order], cosine[order]
