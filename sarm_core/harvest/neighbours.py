"""Which features write in nearly the same direction: cosines between decoder columns."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from sarm_core.model.sae import SAE

__all__ = ["decoder_neighbours"]

BLOCK_NUMBERS = 1 << 24


@torch.inference_mode()
def decoder_neighbours(
    sae: SAE, size: int, progress: Callable[[int], object] = lambda _n: None
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """The `size` nearest features of each and their cosines, both [M, min(size, M - 1)], nearest first.

    Decoder columns are multiplied a block at a time: the peak is [2^24 / M, M] cosines, not [M, M]. Equal
    cosines go by feature id; columns of zeros have cosine 0 with all. `progress` is told how many features
    each block had.
    """
    columns = sae.decoder.weight.float().t()
    columns = columns / columns.norm(dim=1, keepdim=True).clamp_min(1e-12)
    n_features = len(columns)
    size = min(size, n_features - 1)
    ids = np.zeros((n_features, size), dtype=np.int32)
    cosines = np.zeros((n_features, size), dtype=np.float32)
    block = max(1, BLOCK_NUMBERS // n_features)
    for start in range(0, n_features, block):
        near = columns[start : start + block] @ columns.t()
        rows = torch.arange(len(near), device=near.device)
        near[rows, start + rows] = -torch.inf
        best = torch.topk(near, size, dim=1)
        found, values = best.indices.cpu().numpy(), best.values.cpu().numpy()
        order = np.lexsort((found, -values), axis=1)
        ids[start : start + len(near)] = np.take_along_axis(found, order, 1)
        cosines[start : start + len(near)] = np.clip(np.take_along_axis(values, order, 1), -1, 1)
        progress(len(near))
    return ids, cosines
