"""One answer a row with a grade: HelpSteer's helpfulness, raters' grades. Rows of one prompt are compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sarm_core.errors import RowError
from sarm_core.text.rows import is_list
from sarm_core.text.shapes.base import Fields, RowAnswers, Shape, keys, number
from sarm_core.text.shapes.prompt_response import ANSWERS, PROMPTS

__all__ = ["GRADES", "GradedResponse", "grade_of"]

GRADES = ("helpfulness", "grade", "grades", "rating", "ratings", "quality", "overall_score", "score")


class GradedResponse(Shape):
    name = "graded-response"
    title = "graded responses, one a row (rows of one prompt are compared)"
    source = "HelpSteer, HelpSteer2; raters' grades"
    needs = keys(*(f"{p} {a} {grade}" for p in PROMPTS for a in ANSWERS for grade in GRADES))
    known = frozenset(["correctness", "coherence", "complexity", "verbosity"])
    example = (
        {
            "prompt": "Is it safe to reheat rice?",
            "response": "Yes, if you cool it quickly first.",
            "helpfulness": 4,
        },
        {"prompt": "Is it safe to reheat rice?", "response": "No idea.", "helpfulness": 0},
    )

    def matches(self, row: Fields) -> frozenset[str] | None:
        """A column of that name with no number in it is no grade, and the row an answer like any other."""
        grade = row.first(*GRADES)
        try:
            if grade is not None:
                grade_of(row.peek(grade), grade)
        except RowError:
            return None
        return super().matches(row)

    def read(self, row: Fields) -> RowAnswers:
        prompt, answer, grade = row.first(*PROMPTS), row.first(*ANSWERS), row.first(*GRADES)
        assert prompt is not None and answer is not None and grade is not None
        return RowAnswers.single(row.answer(row.prompt(prompt), answer), grade=grade_of(row[grade], grade))


def grade_of(value: Any, key: str) -> float:
    """A grade, or the mean of several raters'. Raises RowError."""
    if is_list(value) and len(value):
        return _mean([number(one, f"{key}[{i}]") for i, one in enumerate(value)])
    return number(value, key)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
