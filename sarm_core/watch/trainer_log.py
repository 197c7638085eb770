"""What a trainer logs beside the completions: `trainer_state.json`, of the run or of its checkpoints."""

from __future__ import annotations

import json
import numbers
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["TrainerLog", "trainer_log"]

_PREFIX, _SUFFIX = "rewards/", "/mean"


@dataclass(frozen=True)
class TrainerLog:
    """`kl` by step, the mean divergence from the first policy (TRL logs it where `beta` is not 0); `rewards`, the names
    of the reward functions; `evaluated`, the steps that an evaluation followed."""

    kl: Mapping[int, float] = field(default_factory=dict)
    rewards: frozenset[str] = frozenset()
    evaluated: frozenset[int] = frozenset()


def trainer_log(folder: Path) -> TrainerLog:
    """The latest log in `folder` or in the one above it, where `folder` holds completions only; an empty one for none.

    A file that is being written, or is none of a trainer's, says nothing.
    """
    runs = [folder, folder.parent] if folder.name == "completions" else [folder]
    found = [
        path
        for run in runs
        for place in ("", "checkpoint-*/")
        for path in run.glob(f"{place}trainer_state.json")
    ]
    logs = [history for path in found if (history := _history(path))]
    if not logs:
        return TrainerLog()
    latest = max(logs, key=lambda history: _step(history[-1]))
    return TrainerLog(
        {_step(row): float(row["kl"]) for row in latest if _is_number(row.get("kl"))},
        frozenset(
            key.removeprefix(_PREFIX).removesuffix(_SUFFIX)
            for row in latest
            for key in row
            if key.startswith(_PREFIX) and key.endswith(_SUFFIX)
        ),
        frozenset(_step(row) for row in latest if any(key.startswith("eval_") for key in row)),
    )


def _history(path: Path) -> list[dict[str, Any]]:
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        rows = held["log_history"]
        return [row for row in rows if isinstance(row, dict) and _is_number(row.get("step"))]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []


def _step(row: Mapping[str, Any]) -> int:
    return int(row["step"])


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and abs(float(value)) < 1e12
