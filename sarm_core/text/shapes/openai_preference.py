"""OpenAI's preference rows: `input` with messages and tools, a preferred and a non-preferred output."""

from __future__ import annotations

from sarm_core.errors import RowError
from sarm_core.text.shapes.base import Fields, Prompt, RowAnswers, Shape, keys

__all__ = ["OpenAIPreference"]


class OpenAIPreference(Shape):
    name = "openai-preference"
    title = "OpenAI preference rows"
    source = "OpenAI's direct preference optimization"
    needs = keys("input preferred_output non_preferred_output")
    known = frozenset(["parallel_tool_calls"])
    example = {
        "input": {"messages": [{"role": "user", "content": "Is it safe to reheat rice?"}], "tools": []},
        "preferred_output": [{"role": "assistant", "content": "Yes, if you cool it quickly first."}],
        "non_preferred_output": [{"role": "assistant", "content": "No."}],
    }

    def read(self, row: Fields) -> RowAnswers:
        given = row.inside("input")
        if "messages" not in given:
            raise RowError("'input' has no 'messages'")
        prompt = Prompt(given.turns("messages"))
        better, worse = (
            given.answered(prompt, row[f"{side}_output"], f"{side}_output")
            for side in ("preferred", "non_preferred")
        )
        return RowAnswers.pair(better, worse)
