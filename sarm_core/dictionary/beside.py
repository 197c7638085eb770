"""Two dictionaries of one backbone: which features of one are in the other, by direction and by activation.

By direction: the cosine of the nearest decoder column. By activation: the largest correlation of activations at the
same positions of the same answers. A feature is matched when either is at least its bound, else it is only in one;
one that fires on hardly any answer can be matched by direction alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from sarm_core.dictionary.directions import nearest
from sarm_core.dictionary.look import Bounds, Known
from sarm_core.dictionary.side import Side
from sarm_core.dictionary.together import LEAST_TOGETHER, most_alike

__all__ = ["beside"]

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def beside(
    left: Side,
    right: Side,
    known: Known | None = None,
    *,
    bounds: Bounds | None = None,
    progress: Callable[[int, int], object] = lambda _done, _of: None,
) -> dict[str, Any]:
    """How much of each dictionary's mass is matched in the other; both `z` are of the same answers.

    `known` is what a store knows of the left one. See `side.check_comparable`, which comes first.
    """
    known, bounds = known or Known(), bounds or Bounds()
    near = nearest(left.decoder, right.decoder, progress)
    alike = most_alike(left.z, right.z)
    ways = (
        (left, near.left, near.left_cosine, alike.left, alike.left_correlation),
        (right, near.right, near.right_cosine, alike.right, alike.right_correlation),
    )
    notes = []
    kinds = [side.checkpoint.shape.sae for side in (left, right)]
    if (kinds[0].input, kinds[0].factor) != (kinds[1].input, kinds[1].factor):
        notes.append(
            "They are given the residual stream in different scales: correlations do not mind, cosines may."
        )
    sides: list[dict[str, Any]] = []
    for number, (side, near_id, cosine, alike_id, correlation) in enumerate(ways):
        names = known.names if number == 0 else (lambda _features: {})
        by_direction, by_activation = cosine >= bounds.cosine, correlation >= bounds.correlation
        either = by_direction | by_activation
        sides.append(
            {
                "model": side.facts(),
                "direction": _part(side, by_direction),
                "activation": _part(side, by_activation),
                "both": _part(side, by_direction & by_activation),
                "matched": _part(side, either),
                "only": _part(side, ~either),
                "seldom": int((side.fires < LEAST_TOGETHER).sum()),
            }
        )
        order = np.argsort(-side.shares, kind="stable")
        for kind, here in (("matched", either), ("only", ~either)):
            chosen = [int(i) for i in order[here[order]][: bounds.rows]]
            called = names(chosen)
            sides[-1][f"{kind}_rows"] = [
                {
                    "feature": i,
                    "name": called.get(i, ""),
                    "share": float(side.shares[i]),
                    "nearest": int(near_id[i]),
                    "cosine": float(cosine[i]),
                    "alike": int(alike_id[i]) if correlation[i] > 0 else None,
                    "correlation": float(correlation[i]),
                    "answers": int(side.fires[i]),
                }
                for i in chosen
            ]
    return {
        "cosine": bounds.cosine,
        "correlation": bounds.correlation,
        "answers": left.n_answers,
        "sides": sides,
        "notes": notes,
    }


def _part(side: Side, here: npt.NDArray[np.bool_]) -> dict[str, Any]:
    return {"features": int(here.sum()), "share": float(side.shares[here].sum())}
