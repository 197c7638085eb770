"""The sections a reader checks the rest by: caveats, and where every figure came from."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from sarm_core.figures import count, percent, plural
from sarm_core.markup import Markup, cut, isolated, join, tag
from sarm_core.report.evidence import Evidence
from sarm_core.report.verdict import headline_scores
from sarm_core.steering import Steering

__all__ = ["caveats", "provenance_section"]

FEW_ITEMS = 50
FEW_IN_PART = 20
LISTED = 10


def caveats(evaluation: Mapping[str, Any], steering: Steering, evidence: Evidence | None) -> list[str]:
    """Everything that weakens or limits what the figures say, a sentence each."""
    plain, steered = list(evaluation["notes"]), list(evaluation.get("notes_steered", evaluation["notes"]))
    found = [_sentence(note) for note in plain if note in steered]
    found += [f"Plain model: {_sentence(note)}" for note in plain if note not in steered]
    found += [f"Under the steering: {_sentence(note)}" for note in steered if note not in plain]
    found += [_sentence(note) for note in evaluation.get("encoding_notes", ())]
    cut_answers = evaluation.get("cut_answers")
    if cut_answers:
        found.append(
            f"{plural(cut_answers, 'answer')} were longer than the model reads and were cut on the left, so their "
            "beginnings did not count."
        )
    elif cut_answers is None:
        found.append(
            "Whether answers were cut because they were too long is not recorded in this evaluation."
        )
    if evaluation["items"] < FEW_ITEMS:
        found.append(
            f"There are only {plural(evaluation['items'], 'item')}, so the intervals are wide, and may still be too "
            "narrow: a bootstrap of few items understates what is not known."
        )
    small = [n for n in headline_scores(evaluation) if n != "total" and evaluation["n"][n] < FEW_IN_PART]
    if small:
        names = ", ".join(isolated(name, 40) for name in small[:LISTED])
        more = f" and {len(small) - LISTED} more" if len(small) > LISTED else ""
        found.append(f"Fewer than {FEW_IN_PART} values stand behind {names}{more}.")
    bootstrap = evaluation["bootstrap"]
    if bootstrap["resamples"]:
        level = percent(bootstrap["confidence"], 0)
        found.append(
            f"The scores are exact for these items. The {level} intervals say how far they would move with other "
            f"prompts of the same kind (paired bootstrap over prompts, {count(bootstrap['resamples'])} resamples); "
            "they say nothing about other kinds of prompts or other models."
        )
        n = len(headline_scores(evaluation))
        if steering and n > 3:
            found.append(
                f"{n} intervals are shown at {level} each: about one in {round(1 / (1 - bootstrap['confidence']))} "
                "leaves out 0 by chance alone."
            )
    else:
        found.append("No bootstrap was drawn (0 resamples), so no change here can be told from chance.")
    if steering:
        found.append(_same_items(evidence))
        if not steering.can_rerank():
            found.append(
                "A steering of offsets only adds a constant to every reward; it is shown for completeness."
            )
        if steering.set:
            found.append(
                "A feature that is set to a value cannot be folded into the head weights: this steering ships as a "
                "file beside the model only."
            )
    return found


def provenance_section(
    evaluation: Mapping[str, Any],
    steering: Steering,
    evidence: Evidence | None,
    commands: Sequence[str],
    extra: Sequence[tuple[str, str]],
) -> list[object]:
    """Model, data, seeds, versions, the command that repeats the figures, and the steering itself."""
    model = evaluation["model"]
    rows: list[tuple[str, object]] = [
        ("Model", tag("bdi", model.get("name") or model.get("source") or "unnamed")),
        ("Model source", tag("bdi", model.get("source") or "not recorded")),
        ("Model fingerprint", tag("code", model["fingerprint"])),
        ("Computed in", _or_unknown(model.get("dtype"), model.get("device"))),
        ("Features in the dictionary", count(model.get("features"))),
        (
            "Longest text read",
            f"{count(model['max_length'])} tokens" if model.get("max_length") else "not recorded",
        ),
    ]
    for file in evaluation.get("files", ()) or ():
        rows.append(("Items", _file(file)))
    if "files" not in evaluation:
        rows.append(("Items", "not recorded"))
    complement = (evaluation.get("complement") or {}).get("file")
    if complement:
        rows.append(("Complement", _file(complement)))
    if evidence is not None and evidence.file:
        rows.append(("Contrast", _file(evidence.file)))
    bootstrap = evaluation["bootstrap"]
    rows.append(
        (
            "Bootstrap",
            f"seed {bootstrap['seed']}, {count(bootstrap['resamples'])} resamples, "
            f"{percent(bootstrap['confidence'], 0)} intervals, redrawn by {cut(bootstrap.get('unit', 'prompt'), 40)}",
        )
    )
    versions = evaluation.get("versions") or {}
    rows.append(
        (
            "Versions",
            tag("bdi", ", ".join(f"{cut(name, 40)} {cut(text, 60)}" for name, text in versions.items()))
            if versions
            else "not recorded",
        )
    )
    rows += [(name, tag("bdi", text)) for name, text in extra]
    parts: list[object] = [
        tag("dl", *(part for name, value in rows for part in (tag("dt", name), tag("dd", value))))
    ]
    told = [text for text in [evaluation.get("command"), *commands] if text]
    if told:
        parts += [
            tag("h3", "To make these figures again"),
            *(tag("pre", tag("code", _in_lines(text))) for text in told),
        ]
    if "steering" in evaluation:
        file = _steering_text(evaluation["steering"])
        parts += [
            tag("h3", "The steering, as a file"),
            tag("pre", tag("code", file)),
        ]
    return parts


def _in_lines(command: str) -> str:
    """A command with each option on its own line, still to be pasted as it stands."""
    try:
        words = shlex.split(command)
    except ValueError:
        return command
    lines: list[list[str]] = [[]]
    for word in words:
        if word.startswith("--"):
            lines.append([])
        lines[-1].append(shlex.quote(word))
    return " \\\n  ".join(" ".join(line) for line in lines)


def _steering_text(steering: Mapping[str, Any]) -> str:
    """The steering file with a line for each entry."""

    def written(value: Any, depth: int) -> str:
        if isinstance(value, dict) and depth < 2 and value:
            pad = " " * (depth + 1)
            entries = (f"{pad}{json.dumps(k)}: {written(v, depth + 1)}" for k, v in value.items())
            return "{\n" + ",\n".join(entries) + "\n" + " " * depth + "}"
        return json.dumps(value, ensure_ascii=False)

    return written(steering, 0)


def _same_items(evidence: Evidence | None) -> str:
    if evidence is not None and evidence.same_items is True:
        return (
            "The features were found with answers that are evaluated here as well, so the gain is optimistic: "
            "confirm it on items that took no part in the choice."
        )
    if evidence is not None and evidence.same_items is False:
        return "The features were found on other items than those evaluated here."
    return (
        "Whether the features and their multipliers were chosen on these same items is not recorded; if they were, the "
        "gain is optimistic."
    )


def _file(file: Mapping[str, str]) -> Markup:
    return join([tag("bdi", cut(file["name"], 200)), " ", tag("code", f"sha256 {cut(file['sha256'], 80)}")])


def _or_unknown(dtype: str | None, device: str | None) -> str:
    if not dtype:
        return "not recorded"
    return f"{cut(dtype, 40)} on {cut(device, 40)}" if device else cut(dtype, 40)


def _sentence(text: str) -> str:
    text = cut(text, 600)
    return (text[:1].upper() + text[1:]).rstrip(".") + "." if text else ""
