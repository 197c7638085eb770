"""What the policy said first and what it says now, to the same prompts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sarm_core.text.rows import Conversation
from sarm_core.watch.drift import Answers, Drift

__all__ = ["FirstAndLast", "first_and_last"]


class FirstAndLast(NamedTuple):
    """An answer of the first point and one of a later point to the same prompt, with the rewards of both and what the
    feature that was asked about contributes to them (0 without one)."""

    first: Conversation
    last: Conversation
    rewards: tuple[float, float]
    parts: tuple[float, float]


def first_and_last(
    drift: Drift, feature: int | None = None, *, at: int = -1, n: int = 5
) -> list[FirstAndLast]:
    """For the `n` prompts of both points whose answers changed most, an answer of each point.

    Change is that of the mean contribution of `feature`, in the direction in which it drifted, or of the reward
    without one. The answer of a point is that in the middle by the same measure, so none is an exception. [] where the
    two points ask no prompt in common.
    """
    answers, last = drift.answers, range(len(drift))[at]
    rewards = answers.matrix.exact_rewards
    by = rewards if feature is None else _parts(answers, feature)
    rows = [_by_prompt(answers, point) for point in (0, last)]
    change = {
        prompt: float(by[rows[1][prompt]].mean() - by[rows[0][prompt]].mean())
        for prompt in rows[0].keys() & rows[1]
    }
    direction = np.sign(sum(change.values())) or 1.0
    wanted = sorted(change, key=lambda prompt: (-direction * change[prompt], prompt))[:n]
    found = []
    for prompt in wanted:
        one, two = (_middle(some[prompt], by) for some in rows)
        found.append(
            FirstAndLast(
                answers.conversations[one],
                answers.conversations[two],
                (float(rewards[one]), float(rewards[two])),
                (0.0, 0.0) if feature is None else (float(by[one]), float(by[two])),
            )
        )
    return found


def _parts(answers: Answers, feature: int) -> npt.NDArray[np.float64]:
    parts = np.zeros(len(answers.matrix))
    rows, z = answers.matrix.column(feature)
    parts[rows] = z.astype(np.float64) * float(answers.matrix.head[feature])
    return parts


def _by_prompt(answers: Answers, point: int) -> dict[int, npt.NDArray[np.int64]]:
    rows = np.flatnonzero(answers.point == point)
    return {int(prompt): rows[answers.prompts[rows] == prompt] for prompt in np.unique(answers.prompts[rows])}


def _middle(rows: npt.NDArray[np.int64], by: npt.NDArray[np.float64]) -> int:
    return int(rows[np.argsort(by[rows], kind="stable")[rows.size // 2]])
