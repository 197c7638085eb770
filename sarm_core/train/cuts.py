"""What the scored token's activation would be if an answer had stopped earlier.

A corpus has one scored token a text, far too few to learn a dictionary from. Any answer could have ended at any of
its tokens, so the end-of-turn token is appended once per cut and all cuts of a text run in one pass: each
appended token sees the text up to its cut and itself, nothing else, at the position it would have had.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from sarm_core.errors import SarmError
from sarm_core.model.sarm import SARM
from sarm_core.score.encoder import Progress

__all__ = ["scored_after_cuts"]

Ids = npt.NDArray[np.int32]


@torch.inference_mode()
def scored_after_cuts(
    model: SARM,
    sequences: Sequence[Ids],
    cuts: Sequence[npt.NDArray[np.int64]],
    *,
    token_budget: int,
    progress: Progress | None = None,
) -> npt.NDArray[np.float32]:
    """h of the end token of each sequence, had it come right after each of `cuts`, float32 [sum of cuts, d].

    A sequence ends with its end token; a cut is the index of the last token kept. Equal, to rounding, to
    encoding `[*sequence[: cut + 1], end]` for every cut, at the price of one pass over the sequence.
    """
    kinds = getattr(model.config, "layer_types", None)
    if "sliding_attention" in kinds if kinds else getattr(model.config, "sliding_window", None):
        raise SarmError("answers can be cut only in backbones with full attention: set cut_texts to 0")
    device = next(model.parameters()).device
    out = np.zeros((sum(len(c) for c in cuts), model.sae.width), dtype=np.float32)
    starts = np.concatenate([[0], np.cumsum([len(c) for c in cuts])])
    order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]) + len(cuts[i]))
    total, done = sum(len(s) + len(c) for s, c in zip(sequences, cuts, strict=True)), 0
    at = 0
    while at < len(order):
        members = [order[at]]
        while at + len(members) < len(order):
            following = order[at + len(members)]
            longest = len(sequences[following]) + len(cuts[following])
            if longest * (len(members) + 1) > token_budget:
                break
            members.append(following)
        at += len(members)
        ids, positions, mask, columns = _batch(sequences, cuts, members)
        allowed = torch.from_numpy(mask).to(device)
        dtype = next(model.model.parameters()).dtype
        added = torch.zeros(allowed.shape, dtype=dtype, device=device)
        added.masked_fill_(~allowed, torch.finfo(dtype).min)
        h = model.hidden(
            torch.from_numpy(ids).to(device), added[:, None], torch.from_numpy(positions).to(device)
        )
        for row, i in enumerate(members):
            out[starts[i] : starts[i + 1]] = h[row, columns[row]].float().cpu().numpy()
        done += sum(len(sequences[i]) + len(cuts[i]) for i in members)
        if progress is not None:
            progress(done, total)
    return out


def _batch(
    sequences: Sequence[Ids], cuts: Sequence[npt.NDArray[np.int64]], members: Sequence[int]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.bool_], list[slice]]:
    """Token ids and positions [B, W], who sees whom [B, W, W], and where the appended tokens stand."""
    width = max(len(sequences[i]) + len(cuts[i]) for i in members)
    ids = np.zeros((len(members), width), dtype=np.int64)
    positions = np.zeros((len(members), width), dtype=np.int64)
    mask = np.zeros((len(members), width, width), dtype=bool)
    columns = []
    for row, i in enumerate(members):
        n, cut = len(sequences[i]), cuts[i]
        end = slice(n, n + len(cut))
        ids[row, :n], ids[row, end] = sequences[i], sequences[i][-1]
        positions[row, :n], positions[row, end] = np.arange(n), cut + 1
        mask[row, :n, :n] = np.tri(n, dtype=bool)
        mask[row, end, :n] = np.arange(n) <= cut[:, None]
        mask[row, range(width), range(width)] = True  # itself; padding must see something
        columns.append(end)
    return ids, positions, mask, columns
