"""One prompt, responses numbered from 1, a score each: PPE's correctness sets."""

from __future__ import annotations

from sarm_core.text.shapes.base import (
    Fields,
    RowAnswer,
    RowAnswers,
    Shape,
    check_count,
    keys,
    number,
    numbered_keys,
)

__all__ = ["BestOfK"]


class BestOfK(Shape):
    name = "best-of-k"
    title = "numbered responses with scores"
    source = "PPE (correctness)"
    needs = keys("prompt response_1 response_2 scores")
    known = frozenset(
        ["question", "Question", "parsed_outputs", "mean_score", "model_name", "conflict_pairs"]
    )
    example = {
        "prompt": "Is it safe to reheat rice?",
        "response_1": "Yes, if you cool it quickly first.",
        "response_2": "No.",
        "scores": [True, False],
    }

    def read(self, row: Fields) -> RowAnswers:
        prompt = row.prompt("prompt")
        names = numbered_keys(row, "response")
        scores = row.listed("scores")
        check_count(len(scores), "scores", len(names))
        return RowAnswers.graded(
            [
                RowAnswer(row.answer(prompt, name), name, number(score, f"scores[{i}]"))
                for i, (name, score) in enumerate(zip(names, scores, strict=True))
            ]
        )
