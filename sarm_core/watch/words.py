"""A drift in a sentence, and as plain data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from sarm_core.figures import reward, signed
from sarm_core.steering import Steering
from sarm_core.watch.drift import Alarm, Drift, Estimate, Point

__all__ = ["FORMAT", "alarm_in_words", "drift_json", "headline", "named"]

FORMAT = "sarm-watch/1"
_SAME_LENGTH = 0.1
_NAMED = 70


def headline(drift: Drift, at: int = -1) -> str:
    """How far the reward moved to point `at`, which feature carries most of it, how much longer answers became."""
    first, last = drift.points[0], drift.points[at]
    if last is first:
        return (
            f"Mean reward {reward(first.reward.value)} at step {first.title}: nothing to compare it with yet."
        )
    rise = last.rise
    moved = "rose" if rise.value > 0 else "fell"
    said = f"Mean reward {moved} by {_estimate(rise)} from step {first.title} to {last.title}"
    carries = _carries(drift, at)
    if not np.isnan(rise.low) and not rise.is_apart:
        moved = f"moved by {_estimate(rise)} from step {first.title} to {last.title}"
        said = f"Mean reward {moved}: not told apart from 0"
    elif carries:
        said += f"; {carries}"
    longer = last.length / first.length if first.length else np.nan
    if abs(longer - 1) >= _SAME_LENGTH:
        said += f"; answers became {longer:.1f} times as long"
        if not np.isnan(last.matched_rise.value):
            said += f" ({signed(last.matched_rise.value)} remains at equal length)"
    return said + "."


def _carries(drift: Drift, at: int) -> str:
    share = drift.share[:, at]
    if not share.size or np.isnan(share).all():
        return ""
    row = int(np.nanargmax(share))
    return f"{share[row]:.0%} of that is {named(drift, int(drift.features[row]))}"


def named(drift: Drift, feature: int) -> str:
    """ "#17 “asks back”", or the number alone."""
    name = drift.names.get(feature, "")
    return f"#{feature} “{name[:_NAMED]}”" if name else f"#{feature}"


def alarm_in_words(drift: Drift, alarm: Alarm) -> str:
    """Which feature, at which step, how much."""
    share = "" if np.isnan(alarm.share) else f"carries {alarm.share:.0%} of the rise"
    z = "" if np.isnan(alarm.z) else f"moved by {alarm.z:+.1f} standard errors"
    said = " and ".join(part for part in (share, z) if part)
    return f"{named(drift, alarm.feature)} {said} at step {drift.points[alarm.point].title}"


def _estimate(found: Estimate) -> str:
    if np.isnan(found.low):
        return signed(found.value)
    return f"{signed(found.value)} (interval {signed(found.low)} to {signed(found.high)})"


def drift_json(
    drift: Drift, about: Mapping[str, Any], steering: Steering, alarms: list[Alarm]
) -> dict[str, Any]:
    """Everything of a drift but the answers; what is undefined is null. `about` comes first: model, folder, ..."""
    return {
        "format": FORMAT,
        **about,
        "headline": headline(drift),
        "points": [_point(point) for point in drift.points],
        "features": [
            {
                "feature": int(feature),
                **({"name": name} if (name := drift.names.get(int(feature))) else {}),
                **{
                    key: [_number(value) for value in getattr(drift, key)[row]]
                    for key in (
                        "mean", "mean_low", "mean_high", "change", "change_low", "change_high", "z", "share",
                        "matched", "matched_low", "matched_high",
                    )
                },
            }
            for row, feature in enumerate(drift.features)
        ],
        "others": [_number(value) for value in drift.others],
        "error": drift.error,
        "confidence": drift.confidence,
        "resamples": drift.resamples,
        "alarms": [
            {
                "feature": alarm.feature,
                "steps": list(drift.points[alarm.point].steps),
                "share": _number(alarm.share),
                "z": _number(alarm.z),
            }
            for alarm in alarms
        ],
        "notes": list(drift.notes),
        "steering": json.loads(steering.to_json()),
    }  # fmt: skip


def _point(point: Point) -> dict[str, Any]:
    return {
        "steps": list(point.steps),
        "answers": point.n,
        "prompts": point.n_prompts,
        "empty": point.n_empty,
        "reward": _as_json(point.reward),
        "rise": _as_json(point.rise),
        "matched_rise": _as_json(point.matched_rise),
        "length": point.length,
        "overlap": point.overlap,
        "common_prompts": point.common,
        "kl": _number(point.kl),
        "trainer": dict(point.figures),
    }


def _as_json(found: Estimate) -> dict[str, float | None]:
    return {"value": _number(found.value), "low": _number(found.low), "high": _number(found.high)}


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
