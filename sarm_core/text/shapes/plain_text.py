"""`text` alone: a text that nothing precedes."""

from __future__ import annotations

from sarm_core.errors import RowError
from sarm_core.text.rows import Message
from sarm_core.text.shapes.base import Fields, RowAnswer, RowAnswers, Shape, keys
from sarm_core.text.turns import check_ends_with_answer, marked_turns, string

__all__ = ["PlainText"]

_OTHERS = (
    "messages",
    "conversations",
    "prompt",
    "question",
    "instruction",
    "query",
    "input_ids",
    "chosen",
    "chosen_ids",
    "chosen_input_ids",
    "response",
    "completion",
)


class PlainText(Shape):
    name = "text"
    title = "plain texts (no prompt before them)"
    source = "text corpora"
    by_kinds = True
    needs = keys("text")
    example = {"text": "Rice can be reheated once if it was cooled quickly."}

    def matches(self, row: Fields) -> frozenset[str] | None:
        return None if row.first(*_OTHERS) else super().matches(row)

    def read(self, row: Fields) -> RowAnswers:
        text = string(row["text"], "text")
        if not text.strip():
            raise RowError("'text' is empty: remove the row or give the text")
        turns = marked_turns(text)
        if turns is not None:
            check_ends_with_answer(turns, "text")
            return RowAnswers.single(row.in_context(turns))
        return RowAnswers((RowAnswer(row.in_context((Message("assistant", text),)), plain=True),))
