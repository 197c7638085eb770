"""Values as turns: texts, lists of messages in the spellings people have, strings with roles written into them.

Nothing a turn holds is passed over in silence: what takes part in a score is carried to the chat template or refused,
and other keys are handed to `unread`, so that whoever reads a file can say it.
"""

from __future__ import annotations

import json
import numbers
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sarm_core.errors import RowError
from sarm_core.text.rows import ROLES, Message, is_list, keys_there, kind_of, quoted, short

__all__ = [
    "TURN_WORDS",
    "TurnReader",
    "Turns",
    "check_answer",
    "check_ends_with_answer",
    "marked_turns",
    "stands_as_it_is",
]

Turns = tuple[Message, ...]
TURN_WORDS = ("tool_calls", "reasoning_content", "reasoning", "thinking", "name", "function_call", "refusal")
"""Keys of a turn that a model may read: the chat template decides (see `conversation.ChatFormat`)."""
_CARRIED = (*TURN_WORDS, "tool_call_id")
_MEDIA = ("images", "image", "videos", "video", "audio", "audios", "documents", "attachments", "files")
_SHAREGPT = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "system": "system",
    "tool": "tool",
    "observation": "tool",
}
_HH = re.compile(r"\n\n(Human|Assistant):")
_HELPSTEER = re.compile(r"\n?<extra_id_1>(User|Assistant)\n?")
_MARKED_ROLES = {"Human": "user", "User": "user", "Assistant": "assistant"}
_AS_JSON = re.compile(r"""\s*(\[\s*)?\{\s*["'](role|content|from|value)["']\s*:""")


def _nothing(_key: str) -> None:
    pass


@dataclass(frozen=True)
class TurnReader:
    """Reads values as turns. Keys of turns in `ignore` are left out; `unread` is told of keys that do not matter.

    Every call raises RowError with the place of what is wrong.
    """

    ignore: frozenset[str] = frozenset()
    unread: Callable[[str], None] = field(default=_nothing)

    def prompt(self, value: Any, key: str) -> Turns:
        """A string as one user turn (or the turns that are written into it), or messages."""
        if isinstance(value, str):
            return self.written(value, key) or (Message("user", string(value, key)),)
        if not is_list(value):
            raise RowError(f"{key!r} must be a string or a list of messages, not {kind_of(value)}")
        return self.turns(value, key)

    def turns(self, value: Any, key: str) -> Turns:
        """A list of messages, or the JSON of one."""
        value = from_json(value, key)
        if not is_list(value):
            raise RowError(f"{key!r} must be a list of messages, not {kind_of(value)}")
        items = value.tolist() if hasattr(value, "tolist") else list(value)
        if not items:
            raise RowError(f"{key!r} is an empty list: it needs at least one message")
        return tuple(self.message(item, f"{key}[{position}]") for position, item in enumerate(items))

    def written(self, text: str, key: str) -> Turns | None:
        """The turns that a string holds as JSON or with roles before them (hh-rlhf, HelpSteer); None: it is a text."""
        value = from_json(text, key)
        if isinstance(value, Mapping):
            return (self.message(value, key),)
        if is_list(value):
            return self.turns(value, key)
        return marked_turns(string(text, key))

    def answered(self, prompt: Turns | None, value: Any, key: str) -> Turns:
        """`prompt` with the answer `value`: a text, one message, the answer's turns, or the whole conversation."""
        marked = None
        if type(value) is list:
            turns = self.turns(value, key)
        elif isinstance(value, Mapping):
            turns = (self.message(value, key),)
        elif isinstance(value, str):
            value = string(value, key)
            marked = self.written(value, key)
            if marked is None:
                if prompt is None:
                    raise RowError(
                        f"{key!r} is a string but there is no 'prompt' or 'messages' before it: add one"
                    )
                check_answer(Message("assistant", value), key)
                return (*prompt, Message("assistant", value))
            turns = marked
        elif is_list(value):
            turns = self.turns(value, key)
        else:
            raise RowError(f"{key!r} must be a string or a list of messages, not {kind_of(value)}")
        check_ends_with_answer(turns, key)
        if prompt is None or any(
            turns[start : start + len(prompt)] == prompt for start in range(len(turns) - len(prompt))
        ):
            return turns
        if turns[0].role != "assistant":
            raise RowError(
                f"{key!r} starts with a {turns[0].role!r} turn and does not contain the prompt: give only the "
                "answer's turns, or leave the prompt out"
            )
        return (*prompt, *turns)

    def message(self, item: Any, place: str) -> Message:
        """One turn of `role` and `content`, or of ShareGPT's `from` and `value`."""
        if type(item) is dict and len(item) == 2:  # most turns: a known role and a text
            role, content = item.get("role"), item.get("content")
            if type(role) is str and role in ROLES and type(content) is str:
                return Message(role, string(content, f"{place}.content"))
        if isinstance(item, Message):
            item = item.as_dict()
        if not isinstance(item, Mapping):
            raise RowError(f'{place} is {kind_of(item)}: a message is {{"role": "user", "content": "..."}}')
        if "role" not in item and item.get("from") is not None and "value" in item:
            return self._sharegpt(item, place)
        content = item.get("content")
        extra = self._extra({k: v for k, v in item.items() if k not in ("role", "content")}, place)
        absent = [key for key in ("role", "content") if key not in item]
        if "content" in absent and _calls(extra):
            absent.remove("content")
        if absent:
            raise RowError(f"{place} has no {quoted(absent)} ({keys_there(item)}): a message needs both")
        role = item["role"]
        if not isinstance(role, str) or role not in ROLES:
            raise RowError(f"{place} has the unknown role {short(role)}: use one of {', '.join(ROLES)}")
        if content is None and _calls(extra):
            content = ""  # a turn that is a call; null and "" say the same
        return Message(role, self.content(content, place), as_json(extra, place) if extra else "")

    def content(self, value: Any, place: str) -> str:
        """A text, or text parts joined. Raises RowError for parts that are no text."""
        if isinstance(value, str):
            return string(value, f"{place}.content")
        if not is_list(value):
            raise RowError(f"{place}: 'content' must be a string, not {kind_of(value)}")
        texts = []
        for number, part in enumerate(value.tolist() if hasattr(value, "tolist") else value):
            there = f"{place}.content[{number}]"
            if isinstance(part, Mapping):
                held = {key: v for key, v in part.items() if v is not None and key not in self.ignore}
                kind = held.pop("type", "text")
                if kind != "text" or "text" not in held:
                    raise RowError(
                        f"{there} is a part of type {short(kind)}, which a model of text does not read: "
                        "leave the row out, or give its words as text"
                    )
                part = held.pop("text")
                for key in held:
                    if key in _MEDIA:
                        raise RowError(f"{there} holds {key!r}, which a model of text does not read")
                    self.unread(f"content.{key}")
            texts.append(string(part, there))
        return "".join(texts)

    def _sharegpt(self, item: Mapping[str, Any], place: str) -> Message:
        who, value = item["from"], item["value"]
        extra = self._extra({k: v for k, v in item.items() if k not in ("from", "value")}, place)
        if who == "function_call" and isinstance(value, str):
            try:
                call = json.loads(value)
            except ValueError:
                call = None
            if not isinstance(call, dict) or not {"name", "arguments"} <= set(call):
                raise RowError(f"{place}: the value of a 'function_call' must be JSON of name and arguments")
            extra["tool_calls"] = [{"type": "function", "function": call}]
            return Message("assistant", "", as_json(extra, place))
        if not isinstance(who, str) or who not in _SHAREGPT:
            raise RowError(f"{place} is from {short(who)}: use one of {', '.join(_SHAREGPT)}")
        return Message(_SHAREGPT[who], self.content(value, place), as_json(extra, place) if extra else "")

    def _extra(self, others: Mapping[str, Any], place: str) -> dict[str, Any]:
        """What the chat template is given beside role and content; empty values say nothing."""
        extra = {}
        for key, value in others.items():
            if (
                value is None
                or key in self.ignore
                or (not value and value != 0 and not hasattr(value, "any"))
            ):
                continue
            if key in _MEDIA:
                raise RowError(
                    f"{place} holds {key!r}, which a model of text does not read: leave the row out, "
                    f"or leave the key out with --ignore {key}"
                )
            if key in _CARRIED:
                extra[key] = _without_nulls(value, f"turn.{key}", self.unread)
            else:
                self.unread(f"turn.{key}")
        return dict(sorted(extra.items()))


def _calls(extra: Mapping[str, Any]) -> bool:
    return "tool_calls" in extra or "function_call" in extra


def _without_nulls(value: Any, place: str, unread: Callable[[str], None]) -> Any:
    """Tables give every object of a column all keys, with null where it has none: left out, and said."""
    if isinstance(value, Mapping):
        for key in (key for key, v in value.items() if v is None):
            unread(f"{place}.{key} (null)")
        return {key: _without_nulls(v, f"{place}.{key}", unread) for key, v in value.items() if v is not None}
    return [_without_nulls(v, place, unread) for v in value] if is_list(value) else value


def marked_turns(text: str) -> Turns | None:
    r"""Turns of a string that writes `\n\nHuman:` and `\n\nAssistant:` (hh-rlhf) or `<extra_id_1>User` (HelpSteer)
    before them; None for any other text. A last `\n\nAssistant:` with nothing after it asks for the answer."""
    if text.startswith("\n\nHuman:") or (text.lstrip().startswith("Human:") and "\n\nAssistant:" in text):
        parts = _HH.split("\n\n" + text.lstrip())
        first: list[tuple[str, str]] = []
    elif "<extra_id_1>" in text and _HELPSTEER.search(text):
        parts = _HELPSTEER.split(text)
        first = [("User", parts[0])] if parts[0].strip() else []
    else:
        return None
    pairs = [*first, *zip(parts[1::2], parts[2::2], strict=True)]
    if pairs[-1][0] == "Assistant" and not pairs[-1][1].strip():
        pairs.pop()
    return tuple(Message(_MARKED_ROLES[who], said.strip()) for who, said in pairs) or None


def stands_as_it_is(text: str) -> bool:
    """Whether a text is one turn of just its characters; what is not may be empty, broken, or turns in writing."""
    start = text.lstrip()[:6]
    if not start or start[0] in "[{" or start == "Human:" or "<extra_id_1>" in text:
        return False
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def from_json(value: Any, key: str) -> Any:
    """Messages that a table holds as JSON text; every other value as it is."""
    if not isinstance(value, str) or not _AS_JSON.match(value):
        return value
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        if value.lstrip()[0] == "[":
            raise RowError(
                f"{key!r} is a string that looks like messages but is not valid JSON: write it with json.dumps"
            ) from None
        return value
    items = found if isinstance(found, list) else [found]
    if all(
        isinstance(item, dict)
        and (
            {"role", "content"} <= set(item)
            or {"from", "value"} <= set(item)
            or {"role", "tool_calls"} <= set(item)
        )
        for item in items
    ):
        return found
    return value


def as_json(value: Any, place: str) -> str:
    """Data for the chat template. Raises RowError for what JSON has no word for."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError):
        raise RowError(f"{place} holds a value that JSON has no word for: write it as text") from None


def check_ends_with_answer(turns: Turns, key: str, remedy: str = "add the answer as the last turn") -> None:
    """Raises RowError unless the last turn is an answer."""
    last = turns[-1]
    if last.role != "assistant":
        if all(turn.role != "assistant" for turn in turns):
            raise RowError(f"{key!r} has no assistant turn, so there is no answer to score: {remedy}")
        raise RowError(
            f"the last turn of {key!r} is {last.role!r}, not 'assistant': the answer to score must come last"
        )
    check_answer(last, f"{key}[{len(turns) - 1}].content")


def check_answer(turn: Message, key: str) -> None:
    """Raises RowError for an answer that says nothing: no text and no call."""
    if not turn.content.strip() and not (turn.extra and _calls(json.loads(turn.extra))):
        raise RowError(f"the answer in {key!r} is empty: remove the row or give the answer")


def string(value: Any, key: str) -> str:
    """A string of whole characters. Raises RowError."""
    if not isinstance(value, str):
        raise RowError(f"{key!r} must be a string, not {kind_of(value)}")
    if value.isascii():
        return value
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RowError(
            f"{key!r} has half of a surrogate pair at character {error.start}: "
            "the text was cut inside a character, write it again from its source"
        ) from None
    return value


def token_ids(value: Any, key: str) -> tuple[int, ...]:
    """One flat list of token ids. Raises RowError."""
    if not is_list(value):
        raise RowError(f"{key!r} must be a list of token ids, not {kind_of(value)}")
    items = value.tolist() if hasattr(value, "tolist") else list(value)
    if not items:
        raise RowError(f"{key!r} is empty: it needs at least one token id")
    for position, item in enumerate(items):
        if isinstance(item, list):
            raise RowError(f"{key}[{position}] is a list: a row holds ONE flat list of token ids")
        if isinstance(item, bool) or not isinstance(item, numbers.Integral):
            raise RowError(f"{key}[{position}] is {short(item)}, not a whole number")
        if not 0 <= int(item) < 2**31:
            raise RowError(f"{key}[{position}] is {short(item)}: token ids count from 0 up to the vocabulary")
    return tuple(int(item) for item in items)
