"""A prompt and one answer, under the names people give them; alpaca's `input` stands under its instruction."""

from __future__ import annotations

from sarm_core.text.shapes.base import Fields, RowAnswers, Shape, keys

__all__ = ["ANSWERS", "PROMPTS", "PromptResponse"]

PROMPTS = ("prompt", "question", "instruction", "query")
ANSWERS = ("response", "answer", "completion", "output")


class PromptResponse(Shape):
    name = "prompt-response"
    title = "a prompt and its response"
    source = "TRL (prompt-completion), alpaca (instruction, input, output), question and answer files"
    needs = keys(*(f"{prompt} {answer}" for prompt in PROMPTS for answer in ANSWERS))
    example = {"prompt": "Is it safe to reheat rice?", "response": "Yes, if you cool it quickly first."}

    def read(self, row: Fields) -> RowAnswers:
        prompt, answer = row.first(*PROMPTS), row.first(*ANSWERS)
        assert prompt is not None and answer is not None
        return RowAnswers.single(row.answer(row.prompt(prompt), answer))

    def texts(self, row: Fields) -> tuple[str | None, tuple[str, ...]] | None:
        prompt, answer = row.first(*PROMPTS), row.first(*ANSWERS)
        return None if prompt is None or answer is None else (prompt, (answer,))
