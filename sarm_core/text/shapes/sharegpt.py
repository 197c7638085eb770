"""ShareGPT's `conversations` of from and value."""

from __future__ import annotations

from sarm_core.text.shapes.base import Fields, RowAnswers, Shape, keys

__all__ = ["ShareGPT"]


class ShareGPT(Shape):
    name = "sharegpt"
    title = "ShareGPT conversations"
    source = "ShareGPT, LLaMA-Factory"
    needs = keys("conversations", "conversation")
    example = {
        "conversations": [
            {"from": "human", "value": "Is it safe to reheat rice?"},
            {"from": "gpt", "value": "Yes, if you cool it quickly first."},
        ]
    }

    def read(self, row: Fields) -> RowAnswers:
        key = row.first("conversations", "conversation")
        assert key is not None
        return RowAnswers.single(row.conversation(key))

    def texts(self, row: Fields) -> tuple[str | None, tuple[str, ...]] | None:
        key = row.first("conversations", "conversation")
        return None if key is None else (None, (key,))
