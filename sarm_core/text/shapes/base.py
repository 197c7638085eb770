"""What a row shape is: the keys it is known by, and how they are read as answers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any, ClassVar, NamedTuple

from sarm_core.errors import RowError
from sarm_core.text.rows import Conversation, Message, is_list, kind_of, short
from sarm_core.text.turns import (
    TurnReader,
    Turns,
    as_json,
    check_ends_with_answer,
    from_json,
    marked_turns,
    string,
    token_ids,
)

__all__ = [
    "FIRST_IS_BETTER",
    "SYSTEM",
    "Fields",
    "Preferred",
    "Prompt",
    "RowAnswer",
    "RowAnswers",
    "Shape",
    "all_pairs",
    "check_count",
    "keys",
    "number",
    "numbered_keys",
]

SYSTEM = ("system", "system_prompt", "system_message")
_HISTORY = ("history",)
_TOOLS = ("tools",)


class RowAnswer(NamedTuple):
    """One answer of a row. `name` says which ("chosen", a model's name), `grade` how good it is said to be (more is
    better). `plain` marks a text that no chat template belongs around."""

    conversation: Conversation
    name: str = ""
    grade: float | None = None
    plain: bool = False


class Preferred(NamedTuple):
    """Answer `better` of a row is preferred to answer `worse`; the weights of a prompt sum to one. `strength` is how
    much better the row says it is, above 0 in units of its own; None where it does not."""

    better: int
    worse: int
    weight: float = 1.0
    strength: float | None = None


FIRST_IS_BETTER = (Preferred(0, 1),)


class RowAnswers(NamedTuple):
    """What a row says: its answers, which of them are better, which two are called equally good; `good` is the label of
    a single answer that is called good or bad on its own (KTO)."""

    answers: tuple[RowAnswer, ...]
    pairs: tuple[Preferred, ...] = ()
    tied: tuple[tuple[int, int], ...] = ()
    good: bool | None = None

    @classmethod
    def single(cls, conversation: Conversation, name: str = "", **also: Any) -> RowAnswers:
        """One answer without a preference."""
        return cls((RowAnswer(conversation, name, also.pop("grade", None)),), **also)

    @classmethod
    def pair(
        cls, better: Conversation, worse: Conversation, names: Sequence[str] = ("chosen", "rejected")
    ) -> RowAnswers:
        """Two answers, the better one first."""
        return cls((RowAnswer(better, names[0]), RowAnswer(worse, names[1])), FIRST_IS_BETTER)

    @classmethod
    def judged(
        cls, answers: Sequence[RowAnswer], winner: int | None, strength: float | None = None
    ) -> RowAnswers:
        """Two answers in the row's order, the better one numbered 0 or 1, or None for a tie."""
        if winner is None:
            return cls(tuple(answers), tied=((0, 1),))
        return cls(tuple(answers), (Preferred(winner, 1 - winner, strength=strength),))

    @classmethod
    def graded(cls, answers: Sequence[RowAnswer]) -> RowAnswers:
        """Answers with grades: all pairs of different grade, weighing one together."""
        pairs, tied = all_pairs([answer.grade for answer in answers])
        return cls(tuple(answers), pairs, tied)


def all_pairs(
    grades: Sequence[float | None],
) -> tuple[tuple[Preferred, ...], tuple[tuple[int, int], ...]]:
    """Every two answers of different grade, the better first, with weights that sum to one; and those of one grade.

    An answer without a grade is in no pair.
    """
    found, tied = [], []
    for (i, a), (j, b) in combinations(((i, g) for i, g in enumerate(grades) if g is not None), 2):
        if a == b:
            tied.append((i, j))
        else:
            found.append((i, j) if a > b else (j, i))
    return tuple(Preferred(i, j, 1 / len(found)) for i, j in found), tuple(tied)


class Fields:
    """A row's keys that hold something; it remembers which were read, so that the others can be said or refused.

    null counts as absent, and so do the keys in `ignore`.
    """

    def __init__(self, row: Mapping[str, Any], ignore: frozenset[str] = frozenset()):
        self._row = {k: v for k, v in row.items() if v is not None and k not in ignore}
        self._ignore = ignore
        self._read: set[str] = set()
        self._inside: list[tuple[str, Fields]] = []
        self.in_turns: set[str] = set()
        self._turns = TurnReader(ignore, self.in_turns.add)

    def __getitem__(self, key: str) -> Any:
        self._read.add(key)
        return self._row[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._row)

    def __contains__(self, key: object) -> bool:
        return key in self._row

    def peek(self, key: str) -> Any:
        """A value without reading it: to tell shapes apart."""
        return self._row.get(key)

    def first(self, *keys: str) -> str | None:
        """The first of `keys` that is there."""
        for key in keys:
            if key in self._row:
                return key
        return None

    def has(self, keys: frozenset[str]) -> bool:
        """Whether all `keys` are there."""
        return self._row.keys() >= keys

    def inside(self, key: str) -> Fields:
        """The object in `key`, whose keys are watched as the row's are. Raises RowError."""
        value = self[key]
        if not isinstance(value, Mapping):
            raise RowError(f"{key!r} must be an object, not {kind_of(value)}")
        inner = Fields(value, self._ignore)
        self._inside.append((key, inner))
        return inner

    def passed_over(self, key: str) -> None:
        """Note a key of an inner object that takes no part in the conversation."""
        self.in_turns.add(key)

    def unread(self) -> list[str]:
        """Keys that nobody read, those of inner objects as `outer.inner`."""
        own = [key for key in self._row if key not in self._read]
        return own + [f"{outer}.{key}" for outer, inner in self._inside for key in inner.unread()]

    # -- turns ---------------------------------------------------------------------------------------------

    def prompt(self, key: str) -> Prompt:
        """The prompt in `key`, under it the text of `input` (alpaca), where that is not the key itself.

        Raises RowError.
        """
        value = self[key]
        if key != "input" and isinstance(self.peek("input"), str) and isinstance(value, str):
            under = string(self["input"], "input")
            value = f"{value}\n{under}" if under.strip() else value
        strip = isinstance(value, str) and marked_turns(value) is not None
        return Prompt(self._turns.prompt(value, key), isinstance(value, str) and not strip, strip)

    def answered(self, prompt: Prompt | None, value: Any, key: str) -> Conversation:
        """`prompt` answered by `value` (see `TurnReader.answered`), with the row's context. Raises RowError."""
        if prompt is not None and prompt.strip and isinstance(value, str):
            value = value.strip()
        turns = self._turns.answered(None if prompt is None else prompt.turns, value, key)
        return self.in_context(turns, may_follow=prompt is not None and prompt.is_text)

    def answer(self, prompt: Prompt | None, key: str) -> Conversation:
        """`prompt` answered by the value of `key`. Raises RowError."""
        return self.answered(prompt, self[key], key)

    def turns(self, key: str) -> Turns:
        """A list of messages. Raises RowError."""
        return self._turns.turns(self[key], key)

    def conversation(self, key: str) -> Conversation:
        """Messages that end with the answer. Raises RowError."""
        turns = self.turns(key)
        check_ends_with_answer(turns, key)
        return self.in_context(turns)

    def in_context(self, turns: Turns, *, may_follow: bool = False) -> Conversation:
        """`turns` with what the row says beside them: system prompt, tools and, where the prompt is a text that
        `may_follow` other turns, the history. Raises RowError where two places say different things."""
        if may_follow and (key := self.first(*_HISTORY)):
            turns = (*self._history(key), *turns)
        if key := self.first(*SYSTEM):
            text = string(self[key], key)
            if turns and turns[0].role in ("system", "developer"):
                if text.strip() and turns[0].content != text:
                    raise RowError(
                        f"{key!r} is another system prompt than the one in the turns: leave one out, "
                        f"for example with --ignore {key}"
                    )
            elif text.strip():
                turns = (Message("system", text), *turns)
        return Conversation(messages=turns, tools=self._tools())

    @cached_property
    def _tools_json(self) -> str:
        key = self.first(*_TOOLS)
        if key is None:
            return ""
        value = self[key]
        if isinstance(value, str):
            try:
                value = json.loads(value) if value.strip() else []
            except ValueError:
                raise RowError(f"{key!r} is a string but not JSON: give the list of tools") from None
        if not is_list(value):
            raise RowError(f"{key!r} must be a list of tools, not {kind_of(value)}")
        for number, tool in enumerate(value):
            if not isinstance(tool, Mapping):
                raise RowError(
                    f"{key}[{number}] is {kind_of(tool)}: a tool is an object with its name and parameters"
                )
        return as_json(list(value), key) if len(value) else ""

    def _tools(self) -> str:
        return self._tools_json

    def _history(self, key: str) -> Turns:
        value = from_json(self[key], key)
        if not is_list(value):
            raise RowError(
                f"{key!r} must be a list of [question, answer] or of messages, not {kind_of(value)}"
            )
        turns: list[Message] = []
        for number, item in enumerate(value):
            place = f"{key}[{number}]"
            if is_list(item):
                if len(item) != 2:
                    raise RowError(f"{place} must be [question, answer], not {len(item)} values")
                turns += [
                    Message("user", string(item[0], place)),
                    Message("assistant", string(item[1], place)),
                ]
            else:
                turns.append(self._turns.message(item, place))
        return tuple(turns)

    # -- other values --------------------------------------------------------------------------------------

    def token_ids(self, key: str) -> tuple[int, ...]:
        """A flat list of token ids. Raises RowError."""
        return token_ids(self[key], key)

    def number(self, key: str) -> float:
        """A finite number. Raises RowError."""
        return number(self[key], key)

    def listed(self, key: str) -> list[Any]:
        """A list that is not empty, or the JSON of one. Raises RowError."""
        value = self[key]
        if isinstance(value, str) and value.lstrip().startswith("["):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                raise RowError(f"{key!r} is a string that looks like a list but is not valid JSON") from None
        if not is_list(value) or not len(value):
            raise RowError(f"{key!r} must be a list that is not empty, not {kind_of(value)}")
        return value.tolist() if hasattr(value, "tolist") else list(value)

    def word(self, key: str, **meanings: Any) -> Any:
        """What the text in `key` means. Raises RowError for a word that is not among `meanings`."""
        value = self[key]
        if not isinstance(value, str) or value not in meanings:
            raise RowError(f"{key!r} is {short(value)}: use one of {', '.join(map(repr, meanings))}")
        return meanings[value]


@dataclass(frozen=True)
class Prompt:
    """Turns before an answer. `is_text`: they are one text, so a history may stand before them; `strip`: they were
    written with roles in a string, where white space around an answer is part of the writing."""

    turns: Turns
    is_text: bool = False
    strip: bool = False


def number(value: Any, key: str) -> float:
    """A finite number; one that a table holds as text too. Raises RowError."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise RowError(f"{key!r} is {short(value)}, not a number") from None
    if isinstance(value, bool):
        return float(value)
    if not isinstance(value, int | float) and not hasattr(value, "__float__"):
        raise RowError(f"{key!r} must be a number, not {kind_of(value)}")
    found = float(value)
    if not math.isfinite(found):
        raise RowError(f"{key!r} is not a finite number")
    return found


class Shape:
    """One way in which a row says which answers there are. A subclass is one file of this folder.

    `needs` are the sets of keys of which one must be there; a row with the keys of two shapes is of the one that
    needs more of them (see `answers.Reader`). A subclass whose keys are not enough to know it replaces `matches`.
    """

    name: ClassVar[str]
    """What --format calls it."""
    title: ClassVar[str]
    """What a person is told that a file was read as."""
    source: ClassVar[str] = ""
    """Who writes such rows."""
    needs: ClassVar[tuple[frozenset[str], ...]] = ()
    by_kinds: ClassVar[bool] = True
    """Whether all rows with the same keys and types match or none does, lists of answers aside. One that replaces
    `matches` has to say so, or each of its rows is looked at."""
    known: ClassVar[frozenset[str]] = frozenset()
    """Keys that stand beside the answers and are known not to belong to the conversation, whatever they are called."""
    example: ClassVar[Mapping[str, Any] | Sequence[Mapping[str, Any]]]
    """A row as `docs/formats.md` shows it (several where one says nothing)."""

    def __init_subclass__(cls) -> None:
        if "matches" in vars(cls) and "by_kinds" not in vars(cls):
            cls.by_kinds = False

    def matches(self, row: Fields) -> frozenset[str] | None:
        """The keys by which `row` is of this shape; None when it is not."""
        found = [keys for keys in self.needs if row.has(keys)]
        return max(found, key=len) if found else None

    def read(self, row: Fields) -> RowAnswers:
        """The answers of a row that matches. Raises RowError."""
        raise NotImplementedError

    def texts(self, row: Fields) -> tuple[str | None, tuple[str, ...]] | None:
        """The key of the prompt, if there is one, and those of the answers (one, or the better and the worse, called
        so) where `read` would look at nothing else in a row with these keys, if they hold texts or turns.

        None: `read` looks at each row.
        """
        return None


def keys(*sets: str | Iterable[str]) -> tuple[frozenset[str], ...]:
    """`keys("a b", "c")`: a and b, or c."""
    return tuple(frozenset(one.split() if isinstance(one, str) else one) for one in sets)


_NUMBERED = re.compile(r"(.*?)_?(\d+)$")


def numbered_keys(row: Fields, stem: str) -> list[str]:
    """`response_1`, `response_2`, ... of a row, in the order of their numbers."""
    found = [(int(m[2]), key) for key in row if (m := _NUMBERED.fullmatch(key)) and m[1] == stem]
    return [key for _, key in sorted(found)]


def check_count(n: int, of: str, answers: int) -> None:
    """Raises RowError unless there is a value for each answer."""
    if n != answers:
        raise RowError(f"{of!r} has {n} values for {answers} answers: give one for each")
