"""One answer a row that is called good or bad on its own: TRL's unpaired rows, LLaMA-Factory's `kto_tag`."""

from __future__ import annotations

from typing import Any

from sarm_core.errors import RowError
from sarm_core.text.rows import short
from sarm_core.text.shapes.base import Fields, RowAnswers, Shape, keys

__all__ = ["Labelled"]

_PROMPTS = ("prompt", "question", "instruction")
_ANSWERS = ("completion", "response", "answer", "output")
_WORDS = {"true": True, "false": False}


class Labelled(Shape):
    name = "labelled"
    title = "answers labelled good or bad (two sets)"
    source = "TRL (unpaired preference, KTO), LLaMA-Factory (kto_tag)"
    needs = keys(
        *(f"{p} {a} {tag}" for p in _PROMPTS for a in _ANSWERS for tag in ("label", "kto_tag")),
        "messages kto_tag",
        "conversations kto_tag",
        "messages label",
    )
    example = (
        {
            "prompt": "Is it safe to reheat rice?",
            "completion": "Yes, if you cool it quickly first.",
            "label": True,
        },
        {"prompt": "Is it safe to reheat rice?", "completion": "I do not know.", "label": False},
    )

    def matches(self, row: Fields) -> frozenset[str] | None:
        key = row.first("kto_tag", "label")
        if key is None or (key == "label" and _good(row.peek(key)) is None):
            return None  # a label that is a word or a class is not KTO's
        return super().matches(row)

    def read(self, row: Fields) -> RowAnswers:
        key = row.first("kto_tag", "label")
        assert key is not None
        good = _good(row[key])
        if good is None:
            raise RowError(f"{key!r} is {short(row[key])}: use true or false")
        turns = row.first("messages", "conversations")
        if turns is not None:
            return RowAnswers.single(row.conversation(turns), good=good)
        prompt, answer = row.first(*_PROMPTS), row.first(*_ANSWERS)
        assert prompt is not None and answer is not None
        return RowAnswers.single(row.answer(row.prompt(prompt), answer), good=good)


def _good(value: Any) -> bool | None:
    if isinstance(value, str):
        return _WORDS.get(value.lower())
    return bool(value) if isinstance(value, bool) or value in (0, 1) else None
