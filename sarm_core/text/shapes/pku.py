"""PKU-SafeRLHF: two responses, the better one named by number (safety is a judgement of its own)."""

from __future__ import annotations

from sarm_core.errors import RowError
from sarm_core.text.shapes.base import Fields, RowAnswer, RowAnswers, Shape, keys

__all__ = ["PKUSafeRLHF"]


class PKUSafeRLHF(Shape):
    name = "pku"
    title = (
        "PKU-SafeRLHF pairs, by better_response_id (for safety: --map better_response_id=safer_response_id)"
    )
    source = "PKU-SafeRLHF"
    needs = keys("prompt response_0 response_1 better_response_id")
    known = frozenset(["safer_response_id", "prompt_source", "response_0_source", "response_1_source"])
    example = {
        "prompt": "Is it safe to reheat rice?",
        "response_0": "Yes, if you cool it quickly first.",
        "response_1": "No.",
        "better_response_id": 0,
        "safer_response_id": 0,
    }

    def read(self, row: Fields) -> RowAnswers:
        winner = row.number("better_response_id")
        if winner not in (0, 1):
            raise RowError(f"'better_response_id' is {winner:g}: it must be 0 or 1")
        prompt = row.prompt("prompt")
        answers = [RowAnswer(row.answer(prompt, f"response_{i}"), f"response_{i}") for i in (0, 1)]
        return RowAnswers.judged(answers, int(winner))
