"""Weights stored as 8-bit floats, and their scales: w = w8 * s, with a scale for all, for each row or for each block.

DeepSeek and Qwen call the scale `weight_scale_inv` (blocks of 128 x 128), compressed-tensors `weight_scale`; both are
multiplied.
"""

from __future__ import annotations

from torch import Tensor

from sarm_core.errors import CheckpointError

__all__ = ["SCALES", "dequantised"]

SCALES = ("weight_scale_inv", "weight_scale")
"""What stands in the place of "weight" in a scale's name."""
_BLOCK = 128  # the only size that these formats are published with


def dequantised(weight: Tensor, scale: Tensor, place: str) -> Tensor:
    """The weight [r, c] in float32. `scale`: [] or [1] for all, [r] or [r, 1] for rows, [r / 128, c / 128] for blocks.

    Raises CheckpointError, with `place`, for another shape of scale.
    """
    w, s = weight.float(), scale.float()
    if s.numel() == 1:
        return w * s.reshape(())
    if w.ndim == 2:
        rows, columns = w.shape
        if s.shape in ((rows,), (rows, 1)):
            return w * s.reshape(rows, 1)
        if s.shape == (-(-rows // _BLOCK), -(-columns // _BLOCK)):
            tall = s.repeat_interleave(_BLOCK, 0)[:rows]
            return w.mul_(tall.repeat_interleave(_BLOCK, 1)[:, :columns])
    raise CheckpointError(
        f"{place}: its scale has shape {list(scale.shape)}, which fits neither rows nor blocks of {_BLOCK} x {_BLOCK} "
        f"of a weight of shape {list(weight.shape)}: dequantize() the model where it was made and save it again"
    )
