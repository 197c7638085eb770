"""UltraFeedback as it was published: one instruction, completions of several models with an overall score each."""

from __future__ import annotations

from collections.abc import Mapping

from sarm_core.errors import RowError
from sarm_core.text.rows import kind_of
from sarm_core.text.shapes.base import Fields, RowAnswer, RowAnswers, Shape, keys, number

__all__ = ["UltraFeedback"]


class UltraFeedback(Shape):
    name = "ultrafeedback"
    title = "UltraFeedback completions with scores"
    source = "UltraFeedback"
    needs = keys("instruction completions")
    known = frozenset(["models", "correct_answers", "incorrect_answers", "source"])
    example = {
        "instruction": "Is it safe to reheat rice?",
        "completions": [
            {"model": "a", "response": "Yes, if you cool it quickly first.", "overall_score": 8.5},
            {"model": "b", "response": "No.", "overall_score": 3.0},
        ],
    }

    def read(self, row: Fields) -> RowAnswers:
        prompt = row.prompt("instruction")
        answers = []
        for i, item in enumerate(row.listed("completions")):
            place = f"completions[{i}]"
            if not isinstance(item, Mapping):
                raise RowError(f"{place} is {kind_of(item)}: a completion is an object with a response")
            for key in item:  # how an answer was asked for: another for each, and raters did not see it
                if key not in ("response", "model", "overall_score"):
                    row.passed_over(f"completions.{key}")
            score = item.get("overall_score")
            answers.append(
                RowAnswer(
                    row.answered(prompt, item.get("response"), f"{place}.response"),
                    str(item.get("model") or place)[:60],
                    None if score is None else number(score, f"{place}.overall_score"),
                )
            )
        return RowAnswers.graded(answers)
