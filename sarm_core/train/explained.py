"""How much of a reward model's decisions the features explain: agreement, and explained variance of its margins.

Margins have no sign of their own (a pair can be turned round), so variance is taken around 0:

    R^2 = 1 - sum_p v_p (m_p - m^_p)^2 / sum_p v_p m_p^2          m: the original's margin, m^: what explains it

The built head saw labels, on a scale of its own, so its R^2 is that of the best multiple of its margin. Beside it stand
heads that were fitted to the original's margins by least squares, ridge chosen on the validation part: what features
can explain at best, and what h of the same block can.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from sarm_core.train.head_fit import Part, pick_head
from sarm_core.train.held_out import HeldOut

__all__ = ["agreement", "explained", "share_of_variance", "share_of_variance_at_best"]

Floats = npt.NDArray[np.float64]


def share_of_variance(margins: Floats, explained: Floats, weights: Floats) -> float:
    """R^2 of `explained` [pairs] for the original's `margins` [pairs]; below 0 where it is worse than none."""
    left = float(weights @ (margins - explained) ** 2)
    return 1 - left / max(float(weights @ margins**2), 1e-30)


def share_of_variance_at_best(margins: Floats, other: Floats, weights: Floats) -> float:
    """R^2 of the best multiple of `other`: the squared correlation around 0."""
    both = float(weights @ (margins * other)) ** 2
    return both / max(float(weights @ margins**2) * float(weights @ other**2), 1e-30)


def agreement(held_out: HeldOut, original: Floats, margins: Floats) -> dict[str, Any]:
    """Share of pairs that both put in the same order, with an interval over prompts; a tie agrees with nothing."""
    return asdict(held_out.accuracy(np.sign(original) * np.sign(margins)))


def explained(parts: Mapping[str, Part], held_out: HeldOut) -> dict[str, Any]:
    """A head fitted to the original's margins, which are the targets of `parts`: R^2 and agreement on the test part."""
    head = pick_head(parts["train"], parts["validation"])
    test = parts["test"]
    margins = test.margins(head.w)
    assert test.targets is not None
    return {
        "decay": head.decay,
        "r2": share_of_variance(test.targets, margins, held_out.weights),
        "agreement": agreement(held_out, test.targets, margins),
    }
