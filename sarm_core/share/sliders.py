"""A steering as the sliders of the ranking take it."""

from __future__ import annotations

from typing import Any

from sarm_core.steering import Steering

__all__ = ["State", "from_steering"]

State = dict[str, dict[str, float]]
"""Values by kind ("scale", "set", "offset") and feature, and by "groups" and name."""


def from_steering(steering: Steering) -> tuple[State, list[dict[str, Any]]]:
    """The component's `steering` and `groups` for an engine Steering (read from a file, say)."""
    state: State = {
        kind: {str(i): float(v) for i, v in getattr(steering, kind).items()}
        for kind in ("scale", "set", "offset")
    }
    state["groups"] = {name: float(group.scale) for name, group in steering.groups.items()}
    groups = [
        {"name": name, "features": list(group.features), "scale": float(group.scale)}
        for name, group in steering.groups.items()
    ]
    return state, groups
