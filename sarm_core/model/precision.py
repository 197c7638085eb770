"""Which number formats this machine computes in at full speed."""

from __future__ import annotations

import torch

__all__ = ["native_bfloat16"]


def native_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware; emulated, it is many times slower than float32."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
