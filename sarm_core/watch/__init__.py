"""A training run while it goes on: which features its answers gain, and how much of the reward's rise they carry."""

from sarm_core.watch.drift import Drift, Estimate, Point
from sarm_core.watch.watch import Watch

__all__ = ["Drift", "Estimate", "Point", "Watch"]
