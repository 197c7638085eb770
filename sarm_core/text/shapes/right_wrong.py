"""Lists of right and of wrong answers to one prompt: RewardBench 2, RM-Bench."""

from __future__ import annotations

from sarm_core.errors import RowError
from sarm_core.text.shapes.base import Fields, Preferred, RowAnswer, RowAnswers, Shape, keys
from sarm_core.text.shapes.preference import several
from sarm_core.text.shapes.prompt_response import PROMPTS

__all__ = ["RightWrong"]


class RightWrong(Shape):
    name = "right-wrong"
    title = "lists of right and wrong answers"
    source = "RewardBench 2, RM-Bench"
    by_kinds = True
    needs = keys(*(f"{prompt} chosen rejected" for prompt in PROMPTS))
    known = frozenset(
        ["num_incorrect", "total_completions", "models", "additional_metadata", "domain", "subset"]
    )
    example = {
        "prompt": "Is it safe to reheat rice?",
        "chosen": ["Yes, if you cool it quickly first."],
        "rejected": ["No.", "I do not know.", "Rice is a plant."],
    }

    def matches(self, row: Fields) -> frozenset[str] | None:
        found = super().matches(row)
        return found if several(row.peek("chosen")) or several(row.peek("rejected")) else None

    def read(self, row: Fields) -> RowAnswers:
        key = row.first(*PROMPTS)
        assert key is not None
        prompt = row.prompt(key)
        answers, right = [], 0
        for side in ("chosen", "rejected"):
            given = row.listed(side) if several(row.peek(side)) else [row[side]]
            right = right or len(given)
            for i, value in enumerate(given):
                place = f"{side}[{i}]"
                answers.append(RowAnswer(row.answered(prompt, value, place), place))
        if "num_correct" in row:
            right = int(row.number("num_correct"))
        if not 1 <= right < len(answers):
            raise RowError(
                f"{right} of {len(answers)} answers are right: at least one must be right and one wrong"
            )
        wrong = range(right, len(answers))
        weight = 1 / (right * len(wrong))
        return RowAnswers(tuple(answers), tuple(Preferred(i, j, weight) for i in range(right) for j in wrong))
