"""Reading what `evaluate` wrote. The file may come from anyone, so every value a report uses is checked first."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sarm_core.errors import SarmError, SteeringError
from sarm_core.prove.evaluation_report import FORMAT
from sarm_core.steering import Steering

__all__ = ["checked_evaluation", "read_evaluation", "steering_of"]

MAX_BYTES = 500_000_000
LARGEST = 1e39  # a reward is a float32, and so is all that an evaluation takes from rewards


@dataclass(frozen=True)
class _Kind:
    """A value that is not made of others."""

    name: str


@dataclass(frozen=True)
class _List:
    of: Any
    length: int | None = None


@dataclass(frozen=True)
class _Map:
    of: Any


@dataclass(frozen=True)
class _Object:
    needed: Mapping[str, Any]
    optional: Mapping[str, Any] = field(default_factory=dict)


NUMBER = _Kind("a number or null")
COUNT = _Kind("a whole number from 0")
TEXT = _Kind("text")
MAYBE_TEXT = _Kind("text or null")
ANY = _Kind("anything")

_PAIR = _List(NUMBER, 2)
_SIDE = _Object({"counts": _List(COUNT), "n": COUNT, "nan": COUNT, "mean": NUMBER, "quantiles": _Map(NUMBER)})
_DISTRIBUTION = _Object({"edges": _List(NUMBER), "before": _SIDE}, {"after": _SIDE})
_COLLATERAL = _Object(
    {
        **dict.fromkeys(("answers", "moved", "nan", "pairs", "flipped", "pairs_nan"), COUNT),
        **dict.fromkeys(("share_moved", "mean_change", "largest_change", "share_flipped"), NUMBER),
    }
)
_FLIP = _Object(
    {
        **dict.fromkeys(("id", "subset", "case", "prompt", "direction", "source"), TEXT),
        **dict.fromkeys(("margin_before", "margin_after", "credit_before", "credit_after"), NUMBER),
        "row": COUNT,
        "right_answer": MAYBE_TEXT,
        "wrong_answer": MAYBE_TEXT,
    }
)
_FILE = _Object({"name": TEXT, "sha256": TEXT})
_FEATURE = _Object(
    {
        "feature": COUNT,
        "answers": COUNT,
        "answers_active": COUNT,
        **dict.fromkeys(("w", "multiplier", "set", "offset", "mean_activation"), NUMBER),
        "groups": _List(TEXT),
        "margin_change": _Map(NUMBER),
    }
)
_CURVE_SCORE = _Object(
    {"value": _List(NUMBER)},
    dict.fromkeys(("low", "high", "change_low", "change_high"), _List(NUMBER)),
)
_STEERED = {
    "steering": ANY,
    "scores_steered": _Map(NUMBER),
    "intervals_steered": _Map(_PAIR),
    "notes_steered": _List(TEXT),
    "change": _Map(_Object(dict.fromkeys(("before", "after", "change", "low", "high"), NUMBER))),
    "won": COUNT,
    "lost": COUNT,
    "flips": _List(_FLIP),
    "collateral": _COLLATERAL,
    "distribution": _DISTRIBUTION,
}
_REPORT = {
    "benchmark": TEXT,
    "items": COUNT,
    "scores": _Map(NUMBER),
    "n": _Map(COUNT),
    "decisions": COUNT,
    "nan": COUNT,
    "tied": COUNT,
    "missing": _List(TEXT),
    "skipped_rows": _List(TEXT),
    "notes": _List(TEXT),
    "intervals": _Map(_PAIR),
    "bootstrap": _Object(
        {"resamples": COUNT, "confidence": NUMBER, "seed": COUNT}, {"unit": TEXT, "fewest_prompts": COUNT}
    ),
    "model": _Object(
        {"source": MAYBE_TEXT, "fingerprint": TEXT},
        {
            "name": MAYBE_TEXT,
            "dtype": TEXT,
            "device": TEXT,
            "features": COUNT,
            "max_length": _Kind("a whole number or null"),
        },
    ),
}
_OPTIONAL = {
    "files": _List(_FILE),
    "prompts": _Map(COUNT),
    "cut_answers": COUNT,
    "encoding_notes": _List(TEXT),
    "complement": _Object(
        {"distribution": _DISTRIBUTION}, {"collateral": _COLLATERAL, "file": _FILE, "pairing": TEXT}
    ),
    "versions": _Map(TEXT),
    "command": TEXT,
    "steered_features": _Object(
        {
            "features": _List(_FEATURE),
            "margins": _Object(
                {"items": _Map(COUNT), "before": _Map(NUMBER), "after": _Map(NUMBER)},
            ),
        }
    ),
    "curve": _Object({"strengths": _List(NUMBER), "scores": _Map(_CURVE_SCORE)}),
}


def read_evaluation(path: str | Path) -> dict[str, Any]:
    """The evaluation in a JSON file of this project. Raises SarmError with one line for anything else."""
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise SarmError(f"{path}: larger than {MAX_BYTES:,} bytes, which no evaluation is")
        text = path.read_text(encoding="utf-8")
        data = json.loads(text, parse_constant=_refused)
    except OSError as error:
        raise SarmError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (RecursionError, ValueError) as error:
        raise SarmError(f"{path}: not a readable JSON file ({_one_line(error)})") from None
    return checked_evaluation(data, str(path))


def checked_evaluation(data: Any, source: str = "the evaluation") -> dict[str, Any]:
    """`data` when it is an evaluation with all that a report needs. Raises SarmError naming `source` and the key."""
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise SarmError(f"{source}: not an evaluation; give what `sarm evaluate` wrote")
    needed = {**_REPORT, **(_STEERED if "steering" in data else {})}
    _check(data, _Object(needed, _OPTIONAL), "", source)
    if "total" not in data["scores"]:
        raise _wrong(source, "scores", "must name the total")
    names = set(data["scores"])
    for key in ("n", "prompts", "intervals", "scores_steered", "intervals_steered", "change"):
        if key in data and set(data[key]) != names:
            raise _wrong(source, key, "does not name the same scores as 'scores'")
    if not 0 < (data["bootstrap"]["confidence"] or 0) < 1:
        raise _wrong(source, "bootstrap.confidence", "must be between 0 and 1")
    for key in ("distribution", "complement.distribution"):
        _check_distribution(_inside(data, key), key, source)
    curve = data.get("curve")
    if curve is not None:
        if None in curve["strengths"] or sorted(set(curve["strengths"])) != curve["strengths"]:
            raise _wrong(source, "curve.strengths", "must be numbers in ascending order")
        for columns in curve["scores"].values():
            for values in columns.values():
                if len(values) != len(curve["strengths"]):
                    raise _wrong(source, "curve.scores", "needs one value for each strength")
    if "steering" in data:
        steering_of(data, source)
        for flip in data["flips"]:
            if flip["direction"] not in ("won", "lost"):
                raise _wrong(source, "flips", 'has a direction that is neither "won" nor "lost"')
    return data


def steering_of(data: Mapping[str, Any], source: str = "the evaluation") -> Steering:
    """The steering in an evaluation; an empty one when there is none. Raises SteeringError."""
    if "steering" not in data:
        return Steering()
    try:
        return Steering.from_json(json.dumps(data["steering"]), f"{source}, its steering")
    except (RecursionError, ValueError) as error:
        raise SteeringError(f"{source}: its steering cannot be read ({_one_line(error)})") from None


def _check_distribution(found: Mapping[str, Any] | None, key: str, source: str) -> None:
    if found is None:
        return
    edges = found["edges"]
    if len(edges) < 2 or None in edges or sorted(set(edges)) != edges:
        raise _wrong(source, f"{key}.edges", "must be numbers in ascending order")
    for side in ("before", "after"):
        if side in found and len(found[side]["counts"]) != len(edges) - 1:
            raise _wrong(source, f"{key}.{side}.counts", "needs one count for each bin")


def _inside(data: Mapping[str, Any], key: str) -> Any:
    found: Any = data
    for part in key.split("."):
        found = found.get(part) if found is not None else None
    return found


def _check(value: Any, kind: Any, place: str, source: str) -> None:
    if isinstance(kind, _Kind):
        if not _is(value, kind):
            raise _wrong(source, place, f"must be {kind.name}, not {_shown(value)}")
    elif isinstance(kind, _List):
        if not isinstance(value, list):
            raise _wrong(source, place, f"must be a list, not {_shown(value)}")
        if kind.length is not None and len(value) != kind.length:
            raise _wrong(source, place, f"must have {kind.length} entries, not {len(value)}")
        for position, each in enumerate(value):
            _check(each, kind.of, f"{place}[{position}]", source)
    elif isinstance(kind, _Map):
        if not isinstance(value, dict):
            raise _wrong(source, place, f"must be an object, not {_shown(value)}")
        for name, each in value.items():
            _check(each, kind.of, f"{place}[{_shown(name)}]", source)
    else:
        if not isinstance(value, dict):
            raise _wrong(source, place, f"must be an object, not {_shown(value)}")
        for name, part in {**kind.needed, **kind.optional}.items():
            if name in value:
                _check(value[name], part, f"{place}.{name}" if place else name, source)
            elif name in kind.needed:
                raise _wrong(source, f"{place}.{name}" if place else name, "is missing: evaluate again")


def _is(value: Any, kind: _Kind) -> bool:
    if kind is ANY:
        return True
    if kind is TEXT:
        return isinstance(value, str)
    if kind is MAYBE_TEXT:
        return value is None or isinstance(value, str)
    if isinstance(value, bool):
        return False
    if kind is COUNT:
        return isinstance(value, int) and 0 <= value <= 10**15
    if value is None:
        return True
    if kind is NUMBER:
        return isinstance(value, int | float) and abs(value) <= LARGEST and math.isfinite(value)
    return isinstance(value, int) and 0 <= value <= 10**15


def _wrong(source: str, place: str, what: str) -> SarmError:
    return SarmError(f"{source}: {place} {what}")


def _shown(value: Any) -> str:
    """A value in an error message: short and on one line, whatever it is."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**20:
        return "a very large number"
    return repr(value)[:40]


def _refused(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
