"""`chosen` and `rejected`: answers, answers' turns or whole conversations, with or without the prompt apart."""

from __future__ import annotations

from typing import Any

from sarm_core.errors import RowError
from sarm_core.text.rows import is_list
from sarm_core.text.shapes.base import Fields, Prompt, RowAnswers, Shape, keys

__all__ = ["Preference"]

_PROMPTS = ("prompt", "question", "instruction", "query", "conversations", "messages", "input")


class Preference(Shape):
    name = "preference"
    title = "preference pairs (chosen, rejected)"
    source = (
        "TRL (explicit and implicit prompt), hh-rlhf, UltraFeedback binarized, orca pairs, RewardBench, "
        "LLaMA-Factory (alpaca and ShareGPT)"
    )
    needs = keys("chosen rejected", *(f"{prompt} chosen rejected" for prompt in _PROMPTS))
    by_kinds = True
    known = frozenset(["score_chosen", "score_rejected", "chosen_model", "rejected_model", "prompt_id"])
    example = {
        "system": "You know about food.",
        "prompt": "Is it safe to reheat rice?",
        "chosen": "Yes, if you cool it quickly first.",
        "rejected": "No.",
    }

    def matches(self, row: Fields) -> frozenset[str] | None:
        found = super().matches(row)
        if found is None or several(row.peek("chosen")) or several(row.peek("rejected")):
            return None
        # With the turns beside a prompt it is still one shape: `read` says whether they say the same.
        return found | {"messages"} if "messages" in row else found

    def read(self, row: Fields) -> RowAnswers:
        key = row.first(*_PROMPTS)
        prompt = None
        if key in ("conversations", "messages"):
            prompt = Prompt(row.turns(key))
        elif key is not None:
            prompt = row.prompt(key)
        chosen, rejected = row.answer(prompt, "chosen"), row.answer(prompt, "rejected")
        if key != "messages" and "messages" in row:  # UltraFeedback binarized repeats the chosen conversation
            turns = row.turns("messages")
            if turns not in (chosen.messages, rejected.messages, prompt and prompt.turns):
                raise RowError(
                    f"'messages' and {key or 'chosen'!r} are different conversations: leave one out, "
                    "for example with --ignore messages"
                )
        return RowAnswers.pair(chosen, rejected)

    def texts(self, row: Fields) -> tuple[str | None, tuple[str, ...]] | None:
        key = row.first(*_PROMPTS)
        if key == "conversations" or "messages" in row:
            return None
        return key, ("chosen", "rejected")


def several(value: Any) -> bool:
    """Whether a value is a list of answers, and not one answer as a list of turns."""
    return (
        is_list(value) and len(value) > 0 and not isinstance(value[0], dict) and not hasattr(value[0], "role")
    )
