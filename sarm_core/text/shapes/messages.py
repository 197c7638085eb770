"""`messages`: a whole conversation that ends with the answer, or the turns before it with the answer beside them."""

from __future__ import annotations

from sarm_core.text.shapes.base import Fields, Prompt, RowAnswers, Shape, keys
from sarm_core.text.turns import check_ends_with_answer

__all__ = ["Messages"]

_AFTER = ("response", "answer", "completion")


class Messages(Shape):
    name = "messages"
    title = "messages"
    source = "chat data everywhere"
    needs = keys("messages", *(f"messages {key}" for key in _AFTER))
    example = {
        "messages": [
            {"role": "user", "content": "Is it safe to reheat rice?"},
            {"role": "assistant", "content": "Yes, if you cool it quickly first."},
        ]
    }

    def read(self, row: Fields) -> RowAnswers:
        turns = row.turns("messages")
        after = row.first(*_AFTER)
        if turns[-1].role != "assistant" and after is not None:
            return RowAnswers.single(row.answer(Prompt(turns), after))
        remedy = "add the answer as the last turn"
        if "chosen" in row or "rejected" in row:
            remedy = "a preference row needs both chosen and rejected"
        check_ends_with_answer(turns, "messages", remedy)
        return RowAnswers.single(row.in_context(turns))

    def texts(self, row: Fields) -> tuple[str | None, tuple[str, ...]] | None:
        return None, ("messages",)
