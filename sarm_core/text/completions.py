"""What a trainer calls prompt and completion, as the conversation that is scored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sarm_core.errors import RowError
from sarm_core.text.answers import Reader
from sarm_core.text.rows import Conversation, Message, is_list
from sarm_core.text.turns import TurnReader, Turns, check_ends_with_answer

__all__ = ["completed"]


def completed(
    reader: Reader, prompt: Any, completion: Any, columns: Mapping[str, Any] | None = None
) -> Conversation | None:
    """`prompt` with its `completion`; None for a completion that is no answer.

    Either is a string (one turn of the user, one of the assistant) or messages. There is no answer in no turn, in a
    last turn that is not the assistant's, and in one that says nothing. Context in `columns`, the data set's beside
    prompt and completion, is read as in rows (`Reader.beside`). Raises RowError.
    """
    if _is_blank(completion, reader.ignore):
        return None
    turns = (*_turns(prompt, "user", reader.ignore), *_turns(completion, "assistant", reader.ignore))
    check_ends_with_answer(turns, "messages")
    return reader.beside(turns, columns or {}, may_follow=isinstance(prompt, str))


def _turns(value: Any, role: str, ignore: frozenset[str]) -> Turns:
    """A string as one turn; messages as rows have them, without the keys in `ignore`."""
    if isinstance(value, str):
        return (Message(role, value),)
    if not is_list(value):
        raise RowError(f"expected a string or a list of messages, not {type(value).__name__}")
    # A turn without content is one that says nothing, as a trainer writes it.
    filled = [
        {**t, "content": ""} if isinstance(t, Mapping) and t.get("content") is None else t for t in value
    ]
    return TurnReader(ignore).turns(filled, "messages")


def _is_blank(completion: Any, ignore: frozenset[str]) -> bool:
    """Whether there is no answer: no turn, a last turn that is not the assistant's, or one that says nothing."""
    if completion is None or (
        not isinstance(completion, str) and is_list(completion) and not len(completion)
    ):
        return True
    last = _turns(completion, "assistant", ignore)[-1]
    return last.role in ("tool", "user") or not (last.content.strip() or last.extra)
