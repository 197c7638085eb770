"""Arrays as bytes. Little-endian, no pickle, lengths checked when read."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from feature_db.errors import StoreError

__all__ = [
    "pack_array",
    "pack_sparse",
    "pack_values",
    "unpack_array",
    "unpack_sparse",
    "unpack_values",
]

_DENSE, _SPARSE = b"d", b"s"


def pack_array(array: npt.ArrayLike, dtype: str) -> bytes:
    """One array; `dtype` is a numpy name such as "<f8"."""
    return np.asarray(array).astype(dtype).tobytes()


def unpack_array(blob: bytes, dtype: str) -> npt.NDArray[np.generic]:
    """The array that `pack_array` stored. Raises StoreError when its length does not fit the type."""
    if len(blob) % np.dtype(dtype).itemsize:
        raise StoreError("a stored array is damaged: its length does not fit its type")
    return np.frombuffer(blob, dtype=dtype)


def pack_sparse(indices: npt.ArrayLike, values: npt.ArrayLike) -> bytes:
    """int32 indices [n], then float32 values [n]."""
    return np.asarray(indices).astype("<i4").tobytes() + np.asarray(values).astype("<f4").tobytes()


def unpack_sparse(blob: bytes) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Indices int32 [n] and values float32 [n]. Raises StoreError."""
    if len(blob) % 8:
        raise StoreError("a stored sparse vector is damaged: its length is not a multiple of 8")
    half = len(blob) // 2
    return np.frombuffer(blob[:half], dtype="<i4"), np.frombuffer(blob[half:], dtype="<f4")


def pack_values(values: npt.NDArray[np.float32]) -> bytes:
    """float32 [T]. TopK leaves most tokens at 0, so the shorter of a dense and a sparse form is kept."""
    nonzero = values.nonzero()[0]
    if nonzero.size * 2 + 1 >= values.size:
        return _DENSE + values.astype("<f4", copy=False).tobytes()
    count = values.size.to_bytes(4, "little")
    return (
        _SPARSE
        + count
        + nonzero.astype("<i4").tobytes()
        + values[nonzero].astype("<f4", copy=False).tobytes()
    )


def unpack_values(blob: bytes) -> npt.NDArray[np.float32]:
    """float32 [T]. Raises StoreError."""
    if blob[:1] == _DENSE and len(blob) % 4 == 1:
        return np.frombuffer(blob, dtype="<f4", offset=1).astype(np.float32)
    if blob[:1] == _SPARSE and len(blob) % 8 == 5:
        positions, values = unpack_sparse(blob[5:])
        dense = np.zeros(int.from_bytes(blob[1:5], "little"), dtype=np.float32)
        if positions.size == 0 or 0 <= positions.min() <= positions.max() < dense.size:
            dense[positions] = values
            return dense
    raise StoreError("stored per-token values are damaged")
