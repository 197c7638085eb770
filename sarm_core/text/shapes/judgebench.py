"""JudgeBench: a question, responses A and B, a label "A>B" or "B>A"."""

from __future__ import annotations

from sarm_core.text.shapes.base import Fields, RowAnswer, RowAnswers, Shape, keys

__all__ = ["JudgeBench"]


class JudgeBench(Shape):
    name = "judgebench"
    title = "JudgeBench pairs"
    source = "JudgeBench"
    needs = keys("question response_A response_B label")
    known = frozenset(["pair_id", "original_id", "source", "response_model"])
    example = {
        "question": "Is it safe to reheat rice?",
        "response_A": "Yes, if you cool it quickly first.",
        "response_B": "No.",
        "label": "A>B",
    }

    def read(self, row: Fields) -> RowAnswers:
        winner = row.word("label", **{"A>B": 0, "B>A": 1, "A=B": None, "B=A": None})
        prompt = row.prompt("question")
        answers = [RowAnswer(row.answer(prompt, name), name) for name in ("response_A", "response_B")]
        return RowAnswers.judged(answers, winner)
