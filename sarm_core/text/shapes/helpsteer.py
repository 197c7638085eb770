"""Two responses with a preference from -3 to 3: HelpSteer2-Preference and HelpSteer3."""

from __future__ import annotations

from sarm_core.errors import RowError
from sarm_core.text.shapes.base import Fields, Prompt, RowAnswer, RowAnswers, Shape, keys

__all__ = ["HelpSteer2Preference", "HelpSteer3"]


class HelpSteer3(Shape):
    name = "helpsteer3"
    title = "HelpSteer3 preferences"
    source = "HelpSteer3"
    needs = keys("context response1 response2 overall_preference")
    known = frozenset(["domain", "language", "individual_preference"])
    example = {
        "context": [{"role": "user", "content": "Is it safe to reheat rice?"}],
        "response1": "Yes, if you cool it quickly first.",
        "response2": "No.",
        "overall_preference": -2,
    }

    def read(self, row: Fields) -> RowAnswers:
        prompt = row.prompt("context")
        return _judged(row, prompt, ("response1", "response2"), "overall_preference")


class HelpSteer2Preference(Shape):
    name = "helpsteer2-preference"
    title = "HelpSteer2 preferences"
    source = "HelpSteer2 (preference part)"
    needs = keys("prompt response_1 response_2 preference_strength")
    known = frozenset(["preference_statement", "preference_elaboration", "split"])
    example = {
        "prompt": "Is it safe to reheat rice?",
        "response_1": "No.",
        "response_2": "Yes, if you cool it quickly first.",
        "preference_strength": 3,
    }

    def read(self, row: Fields) -> RowAnswers:
        return _judged(row, row.prompt("prompt"), ("response_1", "response_2"), "preference_strength")


def _judged(row: Fields, prompt: Prompt, names: tuple[str, str], key: str) -> RowAnswers:
    """Below 0 the first is better, above 0 the second, 0 is a tie."""
    strength = row.number(key)
    if not -3 <= strength <= 3:
        raise RowError(f"{key!r} is {strength:g}: it goes from -3 to 3")
    answers = [RowAnswer(row.answer(prompt, name), name) for name in names]
    return RowAnswers.judged(answers, None if strength == 0 else int(strength > 0), abs(strength))
