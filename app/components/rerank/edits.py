"""The part of the ranking about an answer that is edited where it stands: what goes to the browser, what comes back."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

__all__ = ["MOST", "edit_command", "read_edit"]

MOST = 100_000
"""Characters of an answer that may be typed"""


def read_edit(edit: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What the browser shows with an edited answer; None for an answer as it came.

    "said": what the new words changed; "versions", "version": how many texts it had, and which one stands there, -1 for
    one that is being typed; "rules": changes by rule, by name; "shades": (start, stop, share from -1 to 1, words) of
    pieces of the text, "shaded" whether they are asked for; "focus": whether its box is to have the cursor; "revision"
    rises whenever the server changed the text.
    """
    if edit is None:
        return None
    return {
        "said": str(edit["said"]),
        "versions": int(edit["versions"]),
        "version": int(edit["version"]),
        "rules": [str(rule) for rule in edit["rules"]],
        "shaded": bool(edit["shaded"]),
        "shades": [
            [int(start), int(stop), max(-1.0, min(1.0, float(share))), str(words)]
            for start, stop, share, words in edit["shades"]
        ],
        "focus": bool(edit["focus"]),
        "revision": int(edit["revision"]),
    }


def edit_command(
    raw: Mapping[str, Any], answers: Collection[str], rules: Collection[str]
) -> dict[str, Any] | None:
    """What was typed, a rule, or a step to another version, of an answer on the page; None for anything else."""
    name, answer = raw["name"], raw.get("answer")
    if not isinstance(answer, str) or answer not in answers:
        return None
    found: dict[str, Any] = {"name": name, "answer": answer}
    if name == "type":
        text = raw.get("text")
        if not isinstance(text, str) or len(text) > MOST:
            return None
        return {**found, "text": text, "rested": raw.get("rested") is True}
    if name == "rewrite":
        return {**found, "rule": raw["rule"]} if raw.get("rule") in rules else None
    step = raw.get("step")
    return {**found, "step": step} if step in (-1, 1) and not isinstance(step, bool) else None
