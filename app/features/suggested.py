"""A suggestion in words: the whole description, and how far it holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from app.draw.plain_text import cut
from feature_db.records import LLM_PREFIX

__all__ = ["described", "how_far"]


def described(suggestion: Mapping[str, Any]) -> str:
    """The description in full; what charts and tables show may be cut. Of a name by a model: it, and what it means."""
    text, whole = str(suggestion["text"]), _evidence(suggestion).get("description")
    if not (isinstance(whole, str) and whole.strip()):
        return text
    return f"{text}: {whole}" if str(suggestion["method"]).startswith(LLM_PREFIX) else whole


def how_far(suggestion: Mapping[str, Any]) -> list[str]:
    """Its method, what it rests on, and how it does on texts it was not made from, as far as the store says.

    Suggestions come from files too, so nothing of the evidence is taken for granted.
    """
    evidence = _evidence(suggestion)
    if str(suggestion["method"]).startswith(LLM_PREFIX):
        return _of_a_model(str(suggestion["method"]), evidence)
    words = [str(suggestion["method"]), *_of_a_file(evidence)]
    words += _of_pairs(evidence)
    strongest, elsewhere = _counts(evidence.get("strongest")), evidence.get("elsewhere")
    if strongest and isinstance(elsewhere, (int, float)) and 0 <= elsewhere <= 1:
        words.append(
            f"holds in {strongest[0]} of its {strongest[1]} top texts and at {_share(elsewhere)} of places elsewhere"
        )
    unseen = evidence.get("unseen")
    counts = [
        _counts(unseen.get(name)) if isinstance(unseen, dict) else None
        for name in ("strongest", "firing", "silent")
    ]
    top, firing, silent = counts
    if top and firing and silent:
        where_silent = (
            f"at {silent[0]} of {silent[1]} places where it is silent" if silent[1] else "none was silent"
        )
        words.append(
            f"on unseen texts: in {top[0]} of {top[1]} top ones, in {firing[0]} of {firing[1]} in all where it fires, "
            + where_silent
        )
    elif words[0] == "log-odds":
        words.append("not tried on unseen texts")
    return words


def _of_a_model(method: str, evidence: Mapping[str, Any]) -> list[str]:
    """Who wrote it, and how it held on answers that it was not written from."""
    words = [f"suggested by {cut(method.removeprefix(LLM_PREFIX), 160)}"]
    pairs, detection = evidence.get("pairs"), evidence.get("detection")
    shares = [evidence.get(name) for name in ("auc", "low", "high")]
    if type(pairs) is int and pairs > 0 and _all_shares(shares):
        words[0] += f", held in {shares[0]:.0%} [{shares[1]:.0%}, {shares[2]:.0%}] of {pairs:,} checks"
        words.append("a check: which of two answers to one prompt fits it more")
    else:
        words.append("not checked on pairs of answers")
    if isinstance(detection, dict):
        found, n = [detection.get(name) for name in ("value", "low", "high")], detection.get("n")
        if type(n) is int and _all_shares(found):
            words.append(
                f"found in the right ones of {n:,} answers with {found[0]:.0%} [{found[1]:.0%}, {found[2]:.0%}] "
                "balanced "
                "accuracy (50% is chance)"
            )
    tried = evidence.get("tried")
    if evidence.get("holds") is False and type(tried) is int:
        words.append(f"no better than chance among {tried:,} names that were tried")
    score = evidence.get("score")
    if type(score) is int and 1 <= score <= 5:
        words.append(f"its model scores the pattern {score} of 5")
    return words


def _all_shares(values: list[Any]) -> bool:
    return all(isinstance(value, float | int) and 0 <= value <= 1 for value in values)


def _of_pairs(evidence: Mapping[str, Any]) -> list[str]:
    """How well a name tells which of two answers to one prompt has more of the feature."""
    auc, low, high = (evidence.get(name) for name in ("auc", "low", "high"))
    pairs, prompts, tried = (evidence.get(name) for name in ("pairs", "prompts", "tried"))
    if not _all_shares([auc, low, high]):
        return _shared(evidence)
    words = f"of two answers to one prompt it tells which has more of it in {auc:.0%} [{low:.0%}, {high:.0%}]"
    if type(pairs) is int and type(prompts) is int and type(tried) is int:
        words += f" of {pairs:,} pairs on {prompts:,} prompts that it was not made from, corrected for {tried:,} tries"
    alike = evidence.get("alike")
    return [words, f"no trait tells it from #{alike}"] if type(alike) is int else [words]


def _shared(evidence: Mapping[str, Any]) -> list[str]:
    shared = evidence.get("shared_by")
    return (
        [f"{shared:,} features would be called so: no name of one"]
        if type(shared) is int and shared > 1
        else []
    )


def _of_a_file(evidence: Mapping[str, Any]) -> list[str]:
    """What an auto-label file or a Neuronpedia folder says of where its explanation comes from."""
    words = []
    score, contexts = evidence.get("score"), evidence.get("contexts")
    if type(score) is int and 1 <= score <= 5:
        words.append(f"its engine scores it {score} of 5")
    if isinstance(contexts, list) and contexts:
        words.append(f"from {len(contexts)} context{'s' if len(contexts) > 1 else ''}")
    for key, said in (("explanationModelName", "explained by"), ("authorId", "author")):
        value = evidence.get(key)
        if isinstance(value, (str, int)) and not isinstance(value, bool) and value != "":
            words.append(f"{said} {cut(str(value), 60)}")
    return words


def _evidence(suggestion: Mapping[str, Any]) -> dict[str, Any]:
    held = suggestion.get("evidence")
    found = json.loads(held) if isinstance(held, str) else held
    return found if isinstance(found, dict) else {}


def _counts(value: Any) -> tuple[int, int] | None:
    if isinstance(value, list) and len(value) == 2 and all(type(n) is int for n in value):
        hits, n = value
        return (hits, n) if 0 <= hits <= n else None
    return None


def _share(share: float) -> str:
    percent = 100 * share
    return f"{percent:.0f} %" if percent >= 1.5 else f"{percent:.1f} %" if percent >= 0.05 else "under 0.1 %"
