"""What is scored: turns that end with an answer, or token ids; and the words for values that people give.

`turns` reads values as turns, `shapes` rows as answers, `answers` files.
"""

from __future__ import annotations

import json
import numbers
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

__all__ = [
    "ROLES",
    "SUBSET_KEYS",
    "Conversation",
    "Message",
    "Place",
    "identity_of",
    "is_list",
    "keys_there",
    "kind_of",
    "prompt_of",
    "quoted",
    "short",
    "subset_of",
]

ROLES = ("system", "developer", "user", "assistant", "tool")
Place = tuple[str, int]
"""File and row number a conversation came from, for error messages."""


@dataclass(frozen=True, slots=True, init=False)
class Message:
    """One turn: `role` is one of `ROLES`.

    `extra` is a JSON object of what the turn holds beside its content (tool calls, reasoning, a name) for the chat
    template; "" for nothing.
    """

    role: str
    content: str
    extra: str = ""

    def __init__(self, role: str, content: str, extra: str = ""):
        _SET_ROLE(self, role)
        _SET_CONTENT(self, content)
        _SET_EXTRA(self, extra)

    def as_dict(self) -> dict[str, Any]:
        """The turn as chat templates take it."""
        turn: dict[str, Any] = {"role": self.role, "content": self.content}
        return {**turn, **json.loads(self.extra)} if self.extra else turn


@dataclass(frozen=True, slots=True, init=False)
class Conversation:
    """What is to be scored: turns that end with the assistant's, or token ids; the other field is None.

    `tools` is the JSON list of tools that the chat template is given; "" for none.
    """

    messages: tuple[Message, ...] | None = None
    input_ids: tuple[int, ...] | None = None
    tools: str = ""

    def __init__(
        self,
        messages: tuple[Message, ...] | None = None,
        input_ids: tuple[int, ...] | None = None,
        tools: str = "",
    ):
        _SET_MESSAGES(self, messages)
        _SET_INPUT_IDS(self, input_ids)
        _SET_TOOLS(self, tools)

    def as_dicts(self) -> list[dict[str, Any]]:
        """The turns as chat templates take them; empty for token ids."""
        return [turn.as_dict() for turn in self.messages or ()]

    @property
    def answer(self) -> str | None:
        """Text of the last turn; None for token ids."""
        return self.messages[-1].content if self.messages else None


# Files have millions of turns: setting slots takes half the time of what a frozen dataclass does of its own.
_SET_ROLE, _SET_CONTENT, _SET_EXTRA = (vars(Message)[name].__set__ for name in ("role", "content", "extra"))
_SET_MESSAGES, _SET_INPUT_IDS, _SET_TOOLS = (
    vars(Conversation)[name].__set__ for name in ("messages", "input_ids", "tools")
)


def prompt_of(conversation: Conversation) -> tuple[Any, str]:
    """What precedes the answer: a key that is equal for equal prompts, and a text to show."""
    if conversation.messages is None:
        return conversation, "(token ids)"
    before = conversation.messages[:-1]
    asked = [turn.content for turn in before if turn.role == "user"]
    return (before, conversation.tools) if conversation.tools else before, asked[-1] if asked else ""


SUBSET_KEYS = ("subset", "domain", "source")
"""Keys of a row that name its group, the first that is there"""


def identity_of(row: Mapping[str, Any], number: int) -> str:
    """The row's own id as text, or its number."""
    given = row.get("id")
    return str(given)[:200] if isinstance(given, str | int) and not isinstance(given, bool) else str(number)


def subset_of(row: Mapping[str, Any]) -> str:
    """The group a row says it is of, "" for none."""
    return next((str(row[name])[:200] for name in SUBSET_KEYS if row.get(name) is not None), "")


# -- words for values --------------------------------------------------------------------------------------


def is_list(value: Any) -> TypeGuard[Sequence[Any]]:
    """Lists and tuples, and the arrays that numpy, torch and Parquet readers give in their place."""
    kind = type(value)
    if (
        kind is list or kind is str or kind is dict
    ):  # nearly all are, and the abstract classes are slow to ask
        return kind is list
    if isinstance(value, str | bytes | Mapping):
        return False
    return isinstance(value, Sequence) or (hasattr(value, "tolist") and getattr(value, "ndim", 0) >= 1)


def kind_of(value: Any) -> str:
    """What a value is, in the words of JSON."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true/false"
    if isinstance(value, numbers.Number):
        return "a number"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, Mapping):
        return "an object"
    return "a list" if is_list(value) else f"a {type(value).__name__}"


def keys_there(row: Mapping[Any, Any]) -> str:
    """The keys of a row, in words."""
    if not row:
        return "it has no keys at all"
    keys = [short(key) + (" = null" if row[key] is None else "") for key in list(row)[:8]]
    return "it has " + ", ".join(keys) + (f" and {len(row) - 8} more" if len(row) > 8 else "")


def quoted(keys: Iterable[str], joined_by: str = " and ") -> str:
    """Names in quotes."""
    return joined_by.join(repr(key) for key in keys)


def short(value: Any) -> str:
    """A value as Python writes it, cut to 40 characters."""
    try:
        text = repr(value)
    except ValueError:  # an int with more digits than Python is willing to print
        return "a huge number"
    return text if len(text) <= 40 else text[:37] + "..."
