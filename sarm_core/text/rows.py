"""Rows of input files as conversations: the row shapes people already have, one result.

A defect in a row is a `RowError`: one line with the reason and what to do about it. The functions that
take a row take plain dicts, so the Python calls use them as well; a caller that knows the place adds it
with `RowError.at(source, row)`.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sarm_core.errors import RowError
from sarm_core.text.row_files import MAX_ROW_BYTES, is_list, kind_of, read_rows

__all__ = [
    "MAX_ROW_BYTES",
    "ROLES",
    "Conversation",
    "Message",
    "answer_to",
    "conversation_of",
    "pair_of",
    "read_rows",
]

ROLES = ("system", "user", "assistant", "tool")
_FORMS = (
    ("prompt", "response"),
    ("question", "answer"),
    ("prompt", "answer"),
    ("question", "response"),
)
_SHAPES = "messages, prompt + response, question + answer, or input_ids"
_PAIR_SHAPES = "prompt + chosen + rejected, or messages + chosen + rejected"


@dataclass(frozen=True)
class Message:
    """One turn: `role` is one of `ROLES`."""

    role: str
    content: str


@dataclass(frozen=True)
class Conversation:
    """What is to be scored: turns that end with the assistant's, or token ids; the other field is None."""

    messages: tuple[Message, ...] | None = None
    input_ids: tuple[int, ...] | None = None

    def as_dicts(self) -> list[dict[str, str]]:
        """The turns as chat templates take them; empty for token ids."""
        return [{"role": turn.role, "content": turn.content} for turn in self.messages or ()]

    @property
    def answer(self) -> str | None:
        """Text of the last turn; None for token ids."""
        return self.messages[-1].content if self.messages else None


# -- one row ---------------------------------------------------------------------------------------------


def conversation_of(row: Mapping[str, Any]) -> Conversation:
    """The conversation a row holds; keys it does not need are ignored, null counts as absent.

    Shapes, the first that is complete wins: `messages` (when its last turn is not the assistant's, with
    `response` or `answer` after it); `prompt` or `question` with `response` or `answer` (the prompt a
    string or a list of messages); `input_ids`. Raises RowError.
    """
    present = _present(row)
    if "messages" in present:
        turns = _turns(row["messages"], "messages")
        after = next((key for key in ("response", "answer") if key in present), None)
        if turns[-1].role != "assistant" and after is not None:
            text = _string(row[after], after)
            _check_not_empty(text, after)
            return Conversation(messages=(*turns, Message("assistant", text)))
        _check_ends_with_assistant(turns, "messages", present)
        return Conversation(messages=turns)
    for question, answer in _FORMS:
        if question in present and answer in present:
            text = _string(row[answer], answer)
            _check_not_empty(text, answer)
            return Conversation(messages=(*_prompt(row[question], question), Message("assistant", text)))
    if "input_ids" in present:
        return Conversation(input_ids=_token_ids(row["input_ids"], "input_ids"))
    raise RowError(_what_is_missing(row, present))


def pair_of(row: Mapping[str, Any]) -> tuple[Conversation, Conversation]:
    """The chosen and the rejected conversation of a preference row.

    Shapes: `prompt` (string or messages) or `messages`, with `chosen` and `rejected`, each a string, the
    answer's turns, or the whole conversation as messages (then the prompt may be left out);
    or `chosen_input_ids` with `rejected_input_ids`. Raises RowError.
    """
    present = _present(row)
    if {"chosen_input_ids", "rejected_input_ids"} <= present:
        return (
            Conversation(input_ids=_token_ids(row["chosen_input_ids"], "chosen_input_ids")),
            Conversation(input_ids=_token_ids(row["rejected_input_ids"], "rejected_input_ids")),
        )
    absent = [key for key in ("chosen", "rejected") if key not in present]
    if absent:
        raise RowError(
            f"no {_quoted(absent)} ({_keys_there(row)}): a preference row needs {_PAIR_SHAPES}",
        )
    prompt: tuple[Message, ...] | None = None
    for key in ("prompt", "messages", "question"):
        if key in present:
            prompt = _prompt(row[key], key)
            break
    return (
        _completed(prompt, row["chosen"], "chosen"),
        _completed(prompt, row["rejected"], "rejected"),
    )


def answer_to(prompt: Any, answer: Any, key: str = "answer") -> Conversation:
    """`prompt` (a string or messages) answered by `answer` (a string, its turns, or the whole conversation).

    Raises RowError that calls the answer `key`.
    """
    return _completed(_prompt(prompt, "prompt"), answer, key)


def _present(row: Any) -> set[str]:
    if not isinstance(row, Mapping):
        raise RowError(
            f"not an object but {kind_of(row)}: each row must be one JSON object such as "
            '{"prompt": "...", "response": "..."}'
        )
    return {key for key in row if row[key] is not None}


def _completed(prompt: tuple[Message, ...] | None, value: Any, key: str) -> Conversation:
    """`value` (an answer or a whole conversation) as a conversation that starts with the prompt."""
    if isinstance(value, str):
        if prompt is None:
            raise RowError(f"{key!r} is a string but there is no 'prompt' or 'messages' before it: add one")
        text = _string(value, key)
        _check_not_empty(text, key)
        return Conversation(messages=(*prompt, Message("assistant", text)))
    if not is_list(value):
        raise RowError(f"{key!r} must be a string or a list of messages, not {kind_of(value)}")
    turns = _turns(value, key)
    _check_ends_with_assistant(turns, key, set())
    whole = prompt is None or any(
        turns[start : start + len(prompt)] == prompt for start in range(len(turns) - len(prompt))
    )
    if prompt is None or whole:
        return Conversation(messages=turns)
    if turns[0].role != "assistant":
        raise RowError(
            f"{key!r} starts with a {turns[0].role!r} turn and does not contain the prompt: give only the "
            "answer's turns, or leave the prompt out"
        )
    return Conversation(messages=(*prompt, *turns))


def _prompt(value: Any, key: str) -> tuple[Message, ...]:
    if isinstance(value, str):
        return (Message("user", _string(value, key)),)
    if not is_list(value):
        raise RowError(f"{key!r} must be a string or a list of messages, not {kind_of(value)}")
    return _turns(value, key)


def _turns(value: Any, key: str) -> tuple[Message, ...]:
    if not is_list(value):
        raise RowError(f"{key!r} must be a list of messages, not {kind_of(value)}")
    items = _as_list(value)
    if not items:
        raise RowError(f"{key!r} is an empty list: it needs at least one message")
    return tuple(_message(item, f"{key}[{position}]") for position, item in enumerate(items))


def _message(item: Any, place: str) -> Message:
    if isinstance(item, Message):
        item = {"role": item.role, "content": item.content}
    if not isinstance(item, Mapping):
        raise RowError(f'{place} is {kind_of(item)}: a message is {{"role": "user", "content": "..."}}')
    absent = [key for key in ("role", "content") if key not in item]
    if absent:
        raise RowError(f"{place} has no {_quoted(absent)} ({_keys_there(item)}): a message needs both")
    role, content = item["role"], item["content"]
    if not isinstance(role, str) or role not in ROLES:
        raise RowError(f"{place} has the unknown role {_short(role)}: use one of {', '.join(ROLES)}")
    if not isinstance(content, str):
        hint = ": join the parts into one text" if isinstance(content, list) else ""
        raise RowError(f"{place}: 'content' must be a string, not {kind_of(content)}{hint}")
    return Message(role, _string(content, f"{place}.content"))


def _check_ends_with_assistant(turns: tuple[Message, ...], key: str, present: set[str]) -> None:
    last = turns[-1]
    if all(turn.role != "assistant" for turn in turns):
        remedy = "add the answer as the last turn"
        if {"chosen", "rejected"} <= present:
            remedy = "this is a preference row, which contrast and evaluate read"
        raise RowError(f"{key!r} has no assistant turn, so there is no answer to score: {remedy}")
    if last.role != "assistant":
        raise RowError(
            f"the last turn of {key!r} is {last.role!r}, not 'assistant': the answer to score must come last"
        )
    _check_not_empty(last.content, f"{key}[{len(turns) - 1}].content")


def _check_not_empty(text: str, key: str) -> None:
    if not text.strip():
        raise RowError(f"the answer in {key!r} is empty: remove the row or give the answer")


def _string(value: Any, key: str) -> str:
    if not isinstance(value, str):
        raise RowError(f"{key!r} must be a string, not {kind_of(value)}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RowError(
            f"{key!r} has half of a surrogate pair at character {error.start}: "
            "the text was cut inside a character, write it again from its source"
        ) from None
    return value


def _token_ids(value: Any, key: str) -> tuple[int, ...]:
    if not is_list(value):
        raise RowError(f"{key!r} must be a list of token ids, not {kind_of(value)}")
    items = _as_list(value)
    if not items:
        raise RowError(f"{key!r} is empty: it needs at least one token id")
    for position, item in enumerate(items):
        if isinstance(item, list):
            raise RowError(f"{key}[{position}] is a list: a row holds ONE flat list of token ids")
        if isinstance(item, bool) or not isinstance(item, numbers.Integral):
            raise RowError(f"{key}[{position}] is {_short(item)}, not a whole number")
        if not 0 <= int(item) < 2**31:
            raise RowError(
                f"{key}[{position}] is {_short(item)}: token ids count from 0 up to the vocabulary"
            )
    return tuple(int(item) for item in items)


def _as_list(value: Any) -> list[Any]:
    return value.tolist() if hasattr(value, "tolist") else list(value)


def _what_is_missing(row: Mapping[str, Any], present: set[str]) -> str:
    if {"chosen", "rejected"} <= present:
        return (
            "this is a preference row (chosen and rejected), which contrast and evaluate read; "
            f"to score one answer a row needs {_SHAPES}"
        )
    for key, wanted in (
        ("prompt", "'response'"),
        ("question", "'answer'"),
        ("response", "'prompt'"),
        ("answer", "'question'"),
    ):
        if key in present:
            return f"has {key!r} but no {wanted} ({_keys_there(row)})"
    return f"nothing to score ({_keys_there(row)}): a row needs {_SHAPES}"


def _keys_there(row: Mapping[Any, Any]) -> str:
    if not row:
        return "it has no keys at all"
    keys = [_short(key) + (" = null" if row[key] is None else "") for key in list(row)[:8]]
    return "it has " + ", ".join(keys) + (f" and {len(row) - 8} more" if len(row) > 8 else "")


def _quoted(keys: Sequence[str]) -> str:
    return " and ".join(repr(key) for key in keys)


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # an int with more digits than Python is willing to print
        return "a huge number"
    return text if len(text) <= 40 else text[:37] + "..."
