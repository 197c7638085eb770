"""Rows of input files as conversations: JSONL or a JSON array, and the row shapes people already have.

A defect in a row is a `RowError`: one line with the reason and what to do about it. The functions that
take a row take plain dicts, so the Python calls use them as well; a caller that knows the place adds it
with `RowError.at(source, row)`.
"""

from __future__ import annotations

import json
import math
import numbers
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from sarm_core.errors import RowError

__all__ = ["MAX_ROW_BYTES", "ROLES", "Conversation", "Message", "conversation_of", "pair_of", "read_rows"]

MAX_ROW_BYTES = 10_000_000
ROLES = ("system", "user", "assistant", "tool")
_FORMS = (
    ("prompt", "response"),
    ("question", "answer"),
    ("prompt", "answer"),
    ("question", "response"),
)
_SHAPES = "messages, prompt + response, question + answer, or input_ids"
_PAIR_SHAPES = "prompt + chosen + rejected, or messages + chosen + rejected"
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_SPACE = re.compile(r"[ \t\r\n]*")
_BLANK = b" \t\r\n"
OnError = Callable[[RowError], None]


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

    Shapes, the first that is complete wins: `messages`; `prompt` or `question` with `response` or
    `answer` (the prompt a string or a list of messages); `input_ids`. Raises RowError.
    """
    present = _present(row)
    if "messages" in present:
        turns = _turns(row["messages"], "messages")
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


def _present(row: Any) -> set[str]:
    if not isinstance(row, Mapping):
        raise RowError(
            f"not an object but {_kind(row)}: each row must be one JSON object such as "
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
    if not _is_list(value):
        raise RowError(f"{key!r} must be a string or a list of messages, not {_kind(value)}")
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
    if not _is_list(value):
        raise RowError(f"{key!r} must be a string or a list of messages, not {_kind(value)}")
    return _turns(value, key)


def _turns(value: Any, key: str) -> tuple[Message, ...]:
    if not _is_list(value):
        raise RowError(f"{key!r} must be a list of messages, not {_kind(value)}")
    items = _as_list(value)
    if not items:
        raise RowError(f"{key!r} is an empty list: it needs at least one message")
    return tuple(_message(item, f"{key}[{position}]") for position, item in enumerate(items))


def _message(item: Any, place: str) -> Message:
    if isinstance(item, Message):
        item = {"role": item.role, "content": item.content}
    if not isinstance(item, Mapping):
        raise RowError(f'{place} is {_kind(item)}: a message is {{"role": "user", "content": "..."}}')
    absent = [key for key in ("role", "content") if key not in item]
    if absent:
        raise RowError(f"{place} has no {_quoted(absent)} ({_keys_there(item)}): a message needs both")
    role, content = item["role"], item["content"]
    if not isinstance(role, str) or role not in ROLES:
        raise RowError(f"{place} has the unknown role {_short(role)}: use one of {', '.join(ROLES)}")
    if not isinstance(content, str):
        hint = ": join the parts into one text" if isinstance(content, list) else ""
        raise RowError(f"{place}: 'content' must be a string, not {_kind(content)}{hint}")
    return Message(role, _string(content, f"{place}.content"))


def _check_ends_with_assistant(turns: tuple[Message, ...], key: str, present: set[str]) -> None:
    last = turns[-1]
    if all(turn.role != "assistant" for turn in turns):
        answers = sorted(present & {"response", "answer"})
        remedy = (
            f"move {answers[0]!r} into an assistant turn, or rename {key!r} to 'prompt'"
            if answers
            else "add the answer as the last turn"
        )
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
        raise RowError(f"{key!r} must be a string, not {_kind(value)}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RowError(
            f"{key!r} has half of a surrogate pair at character {error.start}: "
            "the text was cut inside a character, write it again from its source"
        ) from None
    return value


def _token_ids(value: Any, key: str) -> tuple[int, ...]:
    if not _is_list(value):
        raise RowError(f"{key!r} must be a list of token ids, not {_kind(value)}")
    items = _as_list(value)
    if not items:
        raise RowError(f"{key!r} is empty: it needs at least one token id")
    for position, item in enumerate(items):
        if isinstance(item, list):
            raise RowError(f"{key}[{position}] is a list: a row holds ONE flat list of token ids")
        if isinstance(item, bool) or not isinstance(item, numbers.Integral):
            raise RowError(f"{key}[{position}] is {_short(item)}, not a whole number")
        if not 0 <= item < 2**31:
            raise RowError(
                f"{key}[{position}] is {_short(item)}: token ids count from 0 up to the vocabulary"
            )
    return tuple(int(item) for item in items)


def _is_list(value: Any) -> bool:
    """Lists and tuples, and the arrays that numpy, torch and Parquet readers give in their place."""
    if isinstance(value, str | bytes | Mapping):
        return False
    return isinstance(value, Sequence) or (hasattr(value, "tolist") and getattr(value, "ndim", 0) >= 1)


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


def _kind(value: Any) -> str:
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
    return "a list" if _is_list(value) else f"a {type(value).__name__}"


# -- a file of rows ----------------------------------------------------------------------------------------


def read_rows(path: str | Path, on_error: OnError | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (row number, object) from a JSONL file or a file that holds one JSON array.

    Row numbers count from 1: lines of JSONL (blank lines are counted, then skipped), elements of an array.
    JSONL is read line by line, so memory is bounded by `MAX_ROW_BYTES`; an array is read whole.
    Raises RowError naming file and row. With `on_error`, a bad row is passed to it and reading goes on;
    a file that cannot be read, has no rows, or an array whose syntax breaks still raises.
    """
    try:
        with open(path, "rb") as file:
            yield from _rows_of(file, path, on_error)
    except OSError as error:
        raise RowError(f"cannot be read ({error.strerror or error})", source=path) from None


def _rows_of(
    file: BinaryIO, path: str | Path, on_error: OnError | None
) -> Iterator[tuple[int, dict[str, Any]]]:
    head = file.read(4)
    file.seek(0)
    if head.startswith(b"\xef\xbb\xbf"):
        raise RowError(
            "the file starts with a byte order mark: save it as UTF-8 without BOM", source=path, row=1
        )
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise RowError("the file is UTF-16: save it as UTF-8 without BOM", source=path, row=1)
    rows = _array_rows if _first_character(file) == b"[" else _line_rows
    seen = False
    for number, row in rows(file):
        seen = True
        if not isinstance(row, RowError):
            yield number, row
            continue
        error = row.at(path, number)
        if on_error is None:
            raise error
        on_error(error)
    if not seen:
        raise RowError("the file has no rows: it needs one JSON object a line", source=path)


def _first_character(file: BinaryIO) -> bytes:
    character = file.read(1)
    while character and character in _BLANK:
        character = file.read(1)
    file.seek(0)
    return character


def _line_rows(file: BinaryIO) -> Iterator[tuple[int, dict[str, Any] | RowError]]:
    number = 0
    while line := file.readline(MAX_ROW_BYTES + 1):
        number += 1
        if len(line) > MAX_ROW_BYTES:
            size = len(line)
            while not line.endswith(b"\n") and (line := file.readline(1 << 20)):
                size += len(line)
            yield number, _too_long(size)
        elif line.strip(_BLANK):
            try:
                text = line.decode("utf-8")
                yield number, _object(text, _DECODER.decode(text))
            except RowError as error:
                yield number, error
            except (ValueError, RecursionError) as error:
                yield number, _syntax(error, line)


def _array_rows(file: BinaryIO) -> Iterator[tuple[int, dict[str, Any] | RowError]]:
    """Elements one by one, so that an error names the element; the syntax between them is checked here."""
    data = file.read()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise RowError(f"line {line} is not valid UTF-8: save the file as UTF-8", source=file.name) from None
    position = _skip_space(text, text.index("[") + 1)
    number = 0
    while text[position : position + 1] != "]":
        number += 1
        try:
            start = position
            value, position = _DECODER.raw_decode(text, position)
        except RowError as error:
            # Which constant or key is at fault is known, but not where the element ends.
            raise error.at(file.name, number) from None
        except (ValueError, RecursionError) as error:
            raise _syntax(error, b"").at(file.name, number) from None
        element = text[start:position]
        if len(element.encode("utf-8", "surrogatepass")) > MAX_ROW_BYTES:
            yield number, _too_long(len(element))
        else:
            try:
                yield number, _object(element, value)
            except RowError as error:
                yield number, error
        position = _skip_space(text, position)
        follows = text[position : position + 1]
        if follows == "]":
            break
        if follows != ",":
            raise RowError("no ',' or ']' after this element of the array", source=file.name, row=number)
        position = _skip_space(text, position + 1)
    rest = _skip_space(text, position + 1)
    if rest != len(text):
        raise RowError(
            "text after the end of the array: a file is one JSON array or one JSON object a line",
            source=file.name,
            row=max(number, 1),
        )


def _skip_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _object(text: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RowError(
            f"not an object but {_kind(value)}: each row must be one JSON object such as "
            '{"prompt": "...", "response": "..."}'
        )
    if _SURROGATE_ESCAPE.search(text):
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            raise RowError(
                "a \\ud800-\\udfff escape stands alone: it is half of a character, write the text again "
                "from its source"
            ) from None
    return value


def _too_long(size: int) -> RowError:
    return RowError(
        f"the row is {size / 1e6:.1f} MB long, the limit is {MAX_ROW_BYTES / 1e6:.0f} MB: "
        "is the whole file on one line?"
    )


def _syntax(error: Exception, line: bytes) -> RowError:
    if isinstance(error, UnicodeDecodeError):
        return RowError(f"not valid UTF-8 at byte {error.start + 1}: save the file as UTF-8")
    if isinstance(error, RecursionError):
        return RowError("not valid JSON (nested too deeply): each row must be one JSON object")
    if line.strip(_BLANK) in (b"{", b"["):
        return RowError("not valid JSON: an object must stand on ONE line, this one is spread over several")
    if isinstance(error, json.JSONDecodeError):
        reason = f"{error.msg}, column {error.colno}"
        return RowError(f"not valid JSON ({reason}): each row must be one JSON object")
    return RowError(f"not valid JSON ({str(error)[:80]})")


def _refuse_constant(name: str) -> Any:
    raise RowError(f"{name} is not valid JSON: write null, or leave the key out")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise RowError(f"the number {digits[:20]} is too large: write it as a string, or leave the key out")
    return number


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise RowError(f"the key {_short(twice)} appears twice: which of the two is meant?")
    return found


_DECODER = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_unique_keys
)
