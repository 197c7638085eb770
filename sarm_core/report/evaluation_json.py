"""Reading what `evaluate` wrote. The file may come from anyone, so every value a report uses is checked first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sarm_core.errors import SarmError, SteeringError
from sarm_core.prove.evaluation_report import FORMAT
from sarm_core.steering import Steering
from sarm_core.text.json_check import (
    ANY,
    COUNT,
    MAYBE_TEXT,
    NUMBER,
    TEXT,
    ListOf,
    MapOf,
    Object,
    Value,
    check,
    one_line,
    read_json,
    wrong,
)

__all__ = ["checked_evaluation", "read_evaluation", "steering_of"]

MAX_BYTES = 500_000_000


_PAIR = ListOf(NUMBER, 2)
_SIDE = Object(
    {"counts": ListOf(COUNT), "n": COUNT, "nan": COUNT, "mean": NUMBER, "quantiles": MapOf(NUMBER)}
)
_DISTRIBUTION = Object({"edges": ListOf(NUMBER), "before": _SIDE}, {"after": _SIDE})
_COLLATERAL = Object(
    {
        **dict.fromkeys(("answers", "moved", "nan", "pairs", "flipped", "pairs_nan"), COUNT),
        **dict.fromkeys(("share_moved", "mean_change", "largest_change", "share_flipped"), NUMBER),
    }
)
_FLIP = Object(
    {
        **dict.fromkeys(("id", "subset", "case", "prompt", "direction", "source"), TEXT),
        **dict.fromkeys(("margin_before", "margin_after", "credit_before", "credit_after"), NUMBER),
        "row": COUNT,
        "right_answer": MAYBE_TEXT,
        "wrong_answer": MAYBE_TEXT,
    }
)
_FILE = Object({"name": TEXT, "sha256": TEXT})
_FEATURE = Object(
    {
        "feature": COUNT,
        "answers": COUNT,
        "answers_active": COUNT,
        **dict.fromkeys(("w", "multiplier", "set", "offset", "mean_activation"), NUMBER),
        "groups": ListOf(TEXT),
        "margin_change": MapOf(NUMBER),
    }
)
_CURVE_SCORE = Object(
    {"value": ListOf(NUMBER)},
    dict.fromkeys(("low", "high", "change_low", "change_high"), ListOf(NUMBER)),
)
_STEERED = {
    "steering": ANY,
    "scores_steered": MapOf(NUMBER),
    "intervals_steered": MapOf(_PAIR),
    "notes_steered": ListOf(TEXT),
    "change": MapOf(Object(dict.fromkeys(("before", "after", "change", "low", "high"), NUMBER))),
    "won": COUNT,
    "lost": COUNT,
    "flips": ListOf(_FLIP),
    "collateral": _COLLATERAL,
    "distribution": _DISTRIBUTION,
}
_REPORT = {
    "benchmark": TEXT,
    "items": COUNT,
    "scores": MapOf(NUMBER),
    "n": MapOf(COUNT),
    "decisions": COUNT,
    "nan": COUNT,
    "tied": COUNT,
    "missing": ListOf(TEXT),
    "skipped_rows": ListOf(TEXT),
    "notes": ListOf(TEXT),
    "intervals": MapOf(_PAIR),
    "bootstrap": Object(
        {"resamples": COUNT, "confidence": NUMBER, "seed": COUNT}, {"unit": TEXT, "fewest_prompts": COUNT}
    ),
    "model": Object(
        {"source": MAYBE_TEXT, "fingerprint": TEXT},
        {
            "name": MAYBE_TEXT,
            "dtype": TEXT,
            "device": TEXT,
            "features": COUNT,
            "max_length": Value("a whole number or null"),
        },
    ),
}
_OPTIONAL = {
    "files": ListOf(_FILE),
    "prompts": MapOf(COUNT),
    "cut_answers": COUNT,
    "encoding_notes": ListOf(TEXT),
    "complement": Object(
        {"distribution": _DISTRIBUTION}, {"collateral": _COLLATERAL, "file": _FILE, "pairing": TEXT}
    ),
    "versions": MapOf(TEXT),
    "command": TEXT,
    "steered_features": Object(
        {
            "features": ListOf(_FEATURE),
            "margins": Object(
                {"items": MapOf(COUNT), "before": MapOf(NUMBER), "after": MapOf(NUMBER)},
            ),
        }
    ),
    "curve": Object({"strengths": ListOf(NUMBER), "scores": MapOf(_CURVE_SCORE)}),
}


def read_evaluation(path: str | Path) -> dict[str, Any]:
    """The evaluation in a JSON file of this project. Raises SarmError with one line for anything else."""
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise SarmError(f"{path}: larger than {MAX_BYTES:,} bytes, which no evaluation is")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SarmError(f"{path}: cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError as error:
        raise SarmError(f"{path}: not a readable JSON file ({one_line(error)})") from None
    return checked_evaluation(read_json(text, str(path)), str(path))


def checked_evaluation(data: Any, source: str = "the evaluation") -> dict[str, Any]:
    """`data` when it is an evaluation with all that a report needs. Raises SarmError naming `source` and the key."""
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise SarmError(f"{source}: not an evaluation; give what `sarm evaluate` wrote")
    needed = {**_REPORT, **(_STEERED if "steering" in data else {})}
    check(data, Object(needed, _OPTIONAL), source, remedy="evaluate again")
    if "total" not in data["scores"]:
        raise wrong(source, "scores", "must name the total")
    names = set(data["scores"])
    for key in ("n", "prompts", "intervals", "scores_steered", "intervals_steered", "change"):
        if key in data and set(data[key]) != names:
            raise wrong(source, key, "does not name the same scores as 'scores'")
    if not 0 < (data["bootstrap"]["confidence"] or 0) < 1:
        raise wrong(source, "bootstrap.confidence", "must be between 0 and 1")
    for key in ("distribution", "complement.distribution"):
        _check_distribution(_inside(data, key), key, source)
    curve = data.get("curve")
    if curve is not None:
        if None in curve["strengths"] or sorted(set(curve["strengths"])) != curve["strengths"]:
            raise wrong(source, "curve.strengths", "must be numbers in ascending order")
        for columns in curve["scores"].values():
            for values in columns.values():
                if len(values) != len(curve["strengths"]):
                    raise wrong(source, "curve.scores", "needs one value for each strength")
    if "steering" in data:
        steering_of(data, source)
        for flip in data["flips"]:
            if flip["direction"] not in ("won", "lost"):
                raise wrong(source, "flips", 'has a direction that is neither "won" nor "lost"')
    return data


def steering_of(data: Mapping[str, Any], source: str = "the evaluation") -> Steering:
    """The steering in an evaluation; an empty one when there is none. Raises SteeringError."""
    if "steering" not in data:
        return Steering()
    try:
        return Steering.from_json(json.dumps(data["steering"]), f"{source}, its steering")
    except (RecursionError, ValueError) as error:
        raise SteeringError(f"{source}: its steering cannot be read ({one_line(error)})") from None


def _check_distribution(found: Mapping[str, Any] | None, key: str, source: str) -> None:
    if found is None:
        return
    edges = found["edges"]
    if len(edges) < 2 or None in edges or sorted(set(edges)) != edges:
        raise wrong(source, f"{key}.edges", "must be numbers in ascending order")
    for side in ("before", "after"):
        if side in found and len(found[side]["counts"]) != len(edges) - 1:
            raise wrong(source, f"{key}.{side}.counts", "needs one count for each bin")


def _inside(data: Mapping[str, Any], key: str) -> Any:
    found: Any = data
    for part in key.split("."):
        found = found.get(part) if found is not None else None
    return found
