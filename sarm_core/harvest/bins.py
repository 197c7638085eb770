"""Log-spaced half-open bins, exact at their edges, and the hash that orders reservoirs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["log_bin", "lower_edge", "mixed", "priorities"]

_SPLIT = np.uint64(0x9E3779B97F4A7C15)
_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)


def _mantissas(per_octave: int) -> npt.NDArray[np.float64]:
    return 0.5 * 2.0 ** (np.arange(per_octave) / per_octave)


def log_bin(z: npt.NDArray[np.floating], per_octave: int) -> npt.NDArray[np.int64]:
    """Bin of every positive z, int64: bin i holds lower_edge(i) <= z < lower_edge(i + 1).

    Mantissa and exponent are compared apart, so a z that equals an edge falls in the bin above it, always.
    """
    mantissa, exponent = np.frexp(np.asarray(z, dtype=np.float64))
    inside = np.searchsorted(_mantissas(per_octave), mantissa, side="right") - 1
    return per_octave * (exponent.astype(np.int64) - 1) + inside


def lower_edge(index: int, per_octave: int) -> float:
    """The smallest z of a bin: 2 ** (index / per_octave)."""
    octave, inside = divmod(index, per_octave)
    return float(np.ldexp(_mantissas(per_octave)[inside], octave + 1))


def mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """splitmix64's finaliser: neighbouring integers become unrelated ones."""
    with np.errstate(over="ignore"):
        x = values + _SPLIT
        x = (x ^ (x >> np.uint64(30))) * _M1
        x = (x ^ (x >> np.uint64(27))) * _M2
        return x ^ (x >> np.uint64(31))


def priorities(
    seed: int, features: npt.NDArray[np.integer], digests: npt.NDArray[np.uint64]
) -> npt.NDArray[np.float64]:
    """One uniform number in [0, 1) for each (seed, feature, text), float64.

    Keeping the R smallest of a set is a uniform sample of R without replacement that depends neither on the
    order of the set nor on how it was cut: the R smallest of a union are among the R smallest of its parts.
    """
    salt = mixed(np.array([seed], dtype=np.int64).astype(np.uint64))
    per_feature = mixed(features.astype(np.int64).astype(np.uint64) ^ salt)
    return (mixed(digests ^ per_feature) >> np.uint64(11)).astype(np.float64) * 2.0**-53
