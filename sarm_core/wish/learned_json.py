"""What was learned, as plain data for JSON: undefined numbers become null."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from sarm_core.prove.benchmarks.scores import json_number
from sarm_core.train.held_out import RESAMPLES
from sarm_core.wish.learned import Learned
from sarm_core.wish.profiles import Profiles

__all__ = ["learned_json", "profiles_json"]


def learned_json(found: Learned) -> dict[str, Any]:
    """Multipliers, held-out figures, the learning curve and the frontier; `steering` is null where none is proposed."""
    question = found.measured.question
    report: dict[str, Any] = {
        "told_apart": found.steering is not None,
        "why_not": found.why or None,
        "learned_from": {
            "pairs": found.n_pairs,
            "prompts": found.n_prompts,
            "ties": found.ties,
            "alike": found.alike,
        },
        "limits": {
            "low": question.bounds[0],
            "high": question.bounds[1],
            "features": question.max_features,
            "collateral": question.max_collateral,
        },
        "penalty": found.penalty,
        "share": found.share,
        "features": [
            {"feature": feature, "before": before, "after": after}
            for feature, (before, after) in found.moved.items()
        ],
        "held_out": {
            "before": asdict(found.before),
            "after": asdict(found.after),
            "gain": asdict(found.gain),
            "resamples": RESAMPLES,
        },
        "learning_curve": [asdict(point) for point in found.curve],
        "frontier": [asdict(point) for point in found.frontier],
        "steering": None if found.steering is None else json.loads(found.steering.to_json()),
    }
    if found.collateral is not None:
        report["elsewhere"] = {
            **found.collateral.collateral.to_dict(),
            "prompts": found.collateral.n_prompts,
            "low": json_number(found.collateral.low),
            "high": json_number(found.collateral.high),
        }
    return report


def profiles_json(found: Profiles) -> dict[str, Any]:
    """`learned_json` by name, and what tells the names apart."""
    return {
        "profiles": {name: learned_json(each) for name, each in found.learned.items()},
        "left_out": found.left_out,
        "multipliers": {
            name: [
                {
                    "feature": feature,
                    "multiplier": each.value,
                    "low": json_number(each.low),
                    "high": json_number(each.high),
                }
                for feature, each in own.items()
            ]
            for name, own in found.multipliers.items()
        },
        "differences": [
            {
                "feature": each.feature,
                "one": each.one,
                "other": each.other,
                "difference": each.difference,
                "low": json_number(each.low),
                "high": json_number(each.high),
                "told_apart": each.told_apart,
            }
            for each in found.differences
        ],
        "crossed": [asdict(each) for each in found.crossed],
    }
