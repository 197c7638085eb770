"""Rows of texts and turns, fast: what is the same for all rows with the same keys and kinds of values is decided once.

A shape says which keys of such a row are prompt and answers (`Shape.texts`); what is left for each row is whether its
texts are turns as they stand, and to read its lists of turns. A row that is anything else is read by the shape itself,
which gives the same answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sarm_core.errors import RowError
from sarm_core.text.rows import Conversation, Message
from sarm_core.text.shapes import Fields, RowAnswer, RowAnswers, Shape
from sarm_core.text.shapes.base import FIRST_IS_BETTER
from sarm_core.text.turns import TurnReader, Turns, stands_as_it_is
from sarm_core.text.unread_keys import belongs

__all__ = ["Kinds", "TextRows", "kinds_of", "text_rows"]

Kinds = tuple[tuple[Any, ...], tuple[type, ...]]
"""Keys of a row and the types of their values"""
_NUMBERS = (int, float, bool)


def kinds_of(row: Mapping[Any, Any]) -> Kinds:
    """What rows must share to be read alike."""
    return tuple(row), tuple(map(type, row.values()))


class TextRows(NamedTuple):
    """How rows of one `Kinds` are read: one answer, or the better and the worse."""

    title: str
    prompt: str | None
    answers: tuple[str, ...]
    turns: TurnReader
    looked_into: tuple[str, ...]
    """Keys that nobody reads, but whose lists and objects might hold turns"""

    def read(self, row: Mapping[str, Any]) -> RowAnswers | None:
        """What the shape reads in a row of these kinds; None where it is to read it itself, and say what is wrong."""
        prompt: Turns | None = None
        if self.prompt is not None:
            if not stands_as_it_is(row[self.prompt]):
                return None
            prompt = (Message("user", row[self.prompt]),)
        found = []
        for key in self.answers:
            value = row[key]
            if type(value) is str:
                if prompt is None or not stands_as_it_is(value):
                    return None
                turns: Turns = (*prompt, Message("assistant", value))
            elif value and type(value[0]) is dict:  # turns, and not several answers
                try:
                    turns = self.turns.answered(prompt, value, key)
                except (RowError, _OtherKey):
                    return None
            else:
                return None
            found.append(RowAnswer(Conversation(turns), key if len(self.answers) > 1 else ""))
        for key in self.looked_into:
            if belongs(key, row[key]):
                return None
        return RowAnswers(tuple(found), FIRST_IS_BETTER if len(found) > 1 else ())


def text_rows(row: Mapping[str, Any], kinds: Kinds, ignore: frozenset[str], shape: Shape) -> TextRows | None:
    """How rows of the `kinds` of `row`, which `shape` alone has read, can be read; None when each needs the shape."""
    kept = {
        key: kind for key, kind in zip(*kinds, strict=True) if kind is not type(None) and key not in ignore
    }
    fields = Fields(row, ignore)
    named = shape.texts(fields)
    if named is None:
        return None
    prompt, answers = named
    read = answers if prompt is None else (prompt, *answers)
    if (prompt is not None and kept[prompt] is not str) or any(
        kept[key] not in (str, list) for key in answers
    ):
        return None
    looked_into = []
    for key, kind in kept.items():
        if key in read or key in shape.known or kind in _NUMBERS:
            continue
        if kind not in (str, dict, list) or belongs(key, _SAMPLES[kind]):
            return None
        if kind is not str:
            looked_into.append(key)
    return TextRows(shape.title, prompt, answers, TurnReader(ignore, _stop), tuple(looked_into))


class _OtherKey(Exception):
    """A turn has a key that takes no part, which the shape is to note."""


def _stop(key: str) -> None:
    raise _OtherKey(key)


_SAMPLES: dict[type, Any] = {str: "x", dict: {"x": 1}, list: [1]}
"""A value of each kind that is not empty: its key decides whether it may be passed over."""
