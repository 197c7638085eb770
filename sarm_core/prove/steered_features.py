"""What each steered feature does to the margins of a benchmark: exact shares of the change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sarm_core.features import FeatureMatrix
from sarm_core.prove.benchmarks.benchmark import Benchmark
from sarm_core.prove.benchmarks.scores import Floats, Ids, json_number
from sarm_core.steering import Steering

__all__ = ["steered_features"]

ALL = "all items"


def steered_features(benchmark: Benchmark, matrix: FeatureMatrix, steering: Steering) -> dict[str, Any]:
    """Plain data for JSON: `features`, one entry a steered feature, and `margins`, what they sum to.

    The margin of an item is the mean over its right x wrong answers of the difference of their rewards. An
    entry's `margin_change` is the mean over items of the change that this feature alone makes; over features
    it sums to `after` - `before` of `margins`, because rewards are sums over features. Both are given for all
    items and by subset. Items with a reward that is not finite are in neither; `items` counts the others.
    """
    item, right, wrong = benchmark.item_pairs
    before = matrix.exact_rewards
    after = steering.rewards(matrix).astype(np.float64)
    n = len(benchmark.items)
    margins = [_by_item(side, item, right, wrong, n) for side in (before, after)]
    known = np.isfinite(margins[0]) & np.isfinite(margins[1])
    subsets = np.array([each.subset for each in benchmark.items])
    inside: dict[str, npt.NDArray[np.bool_]] = {ALL: known}
    for name in dict.fromkeys(subsets.tolist()):
        if name:
            inside[f"subset {name}" if name == ALL else name] = known & (subsets == name)

    def means(values: Floats) -> dict[str, float | None]:
        return {
            name: json_number(float(values[rows].mean())) if rows.any() else None
            for name, rows in inside.items()
        }

    entries = []
    for feature in steering.features():
        rows, z = matrix.column(feature)
        delta = np.zeros(len(matrix))
        delta[rows] = _change(matrix, steering, feature, z.astype(np.float64))
        entries.append(
            {
                "feature": feature,
                "w": json_number(float(matrix.head[feature])),
                **_what(steering, feature),
                "answers": len(matrix),
                "answers_active": int(rows.size),
                "mean_activation": json_number(float(z.astype(np.float64).mean())) if rows.size else None,
                "margin_change": means(_by_item(delta, item, right, wrong, n)),
            }
        )
    sides = zip(("before", "after"), margins, strict=True)
    return {
        "features": entries,
        "margins": {
            "items": {name: int(rows.sum()) for name, rows in inside.items()},
            **{side: means(values) for side, values in sides},
        },
    }


def _by_item(rewards: Floats, item: Ids, right: Ids, wrong: Ids, n: int) -> Floats:
    with np.errstate(invalid="ignore"):
        margins = rewards[right] - rewards[wrong]
    count = np.bincount(item, minlength=n)
    return np.divide(np.bincount(item, margins, n), count, out=np.full(n, np.nan), where=count > 0)


def _change(matrix: FeatureMatrix, steering: Steering, feature: int, z: Floats) -> Floats:
    """Change of w z in the answers where the feature is active; an offset is in every answer, so in no margin."""
    weight = float(matrix.head[feature])
    if feature in steering.set:
        return weight * (steering.set[feature] - z)
    return (steering.multipliers().get(feature, 1.0) - 1.0) * weight * z


def _what(steering: Steering, feature: int) -> Mapping[str, Any]:
    multiplier = None if feature in steering.set else steering.multipliers().get(feature)
    return {
        "multiplier": multiplier,
        "set": steering.set.get(feature),
        "offset": steering.offset.get(feature),
        "groups": [name for name, group in steering.groups.items() if feature in group.features],
    }
