"""LLMBar: `input`, two outputs, and which of them is better."""

from __future__ import annotations

from sarm_core.errors import RowError
from sarm_core.text.shapes.base import Fields, RowAnswer, RowAnswers, Shape, keys

__all__ = ["LLMBar"]


class LLMBar(Shape):
    name = "llmbar"
    title = "LLMBar pairs"
    source = "LLMBar"
    needs = keys("input output_1 output_2 label", "instruction output_1 output_2 label")
    example = {
        "input": "Is it safe to reheat rice?",
        "output_1": "Yes, if you cool it quickly first.",
        "output_2": "No.",
        "label": 1,
    }

    def read(self, row: Fields) -> RowAnswers:
        label = row.number("label")
        if label not in (1, 2):
            raise RowError(f"'label' is {label:g}: it must be 1 or 2")
        prompt = row.prompt("instruction" if "instruction" in row else "input")
        answers = [RowAnswer(row.answer(prompt, f"output_{i}"), f"output_{i}") for i in (1, 2)]
        return RowAnswers.judged(answers, int(label) - 1)
