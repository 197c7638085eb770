"""SARM Explorer's engine: score answers with a readable reward model, attribute, compare, steer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sarm_core.errors import CheckpointError, RowError, SarmError, SteeringError
from sarm_core.features import FeatureMatrix
from sarm_core.steering import Steering
from sarm_core.version import VERSION as __version__

if TYPE_CHECKING:
    from sarm_core.score.scorer import Scored, Scorer, load_sarm

__all__ = [
    "CheckpointError",
    "FeatureMatrix",
    "RowError",
    "SarmError",
    "Scored",
    "Scorer",
    "Steering",
    "SteeringError",
    "__version__",
    "load_sarm",
]

_NEED_TORCH = ("Scored", "Scorer", "load_sarm")


def __getattr__(name: str) -> Any:
    """Import torch and transformers (seconds) only when a model is wanted; arithmetic works without."""
    if name in _NEED_TORCH:
        from sarm_core.score import scorer

        return getattr(scorer, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
