"""Rows of texts, fast: what is the same for all rows with the same keys and kinds of values is decided once.

A shape says which keys of such a row are prompt and answers (`Shape.texts`); what is left for each row is whether its
texts are turns as they stand. Rows that are anything else are read by the shape itself, which gives the same answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sarm_core.text.rows import Conversation, Message
from sarm_core.text.shapes import Fields, RowAnswer, RowAnswers, Shape
from sarm_core.text.shapes.base import FIRST_IS_BETTER
from sarm_core.text.turns import stands_as_it_is
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
    prompt: str
    answers: tuple[str, ...]
    lists: tuple[str, ...]
    """Keys that nobody reads, but whose lists might hold turns"""

    def read(self, row: Mapping[str, Any]) -> RowAnswers | None:
        """What the shape reads in a row of these kinds; None where it is to read it itself, and say what is wrong."""
        text = row[self.prompt]
        if not stands_as_it_is(text):
            return None
        prompt, found = Message("user", text), []
        for key in self.answers:
            text = row[key]
            if not stands_as_it_is(text):
                return None
            conversation = Conversation((prompt, Message("assistant", text)))
            found.append(RowAnswer(conversation, key if len(self.answers) > 1 else ""))
        for key in self.lists:
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
    read = (prompt, *answers)
    if any(kept[key] is not str for key in read):
        return None
    lists = []
    for key, kind in kept.items():
        if key in read or key in shape.known or kind in _NUMBERS:
            continue
        if kind not in (str, dict, list) or belongs(key, _SAMPLES[kind]):
            return None
        if kind is list:
            lists.append(key)
    return TextRows(shape.title, prompt, answers, tuple(lists))


_SAMPLES: dict[type, Any] = {str: "x", dict: {"x": 1}, list: [1]}
"""A value of each kind that is not empty: its key decides whether it may be passed over."""
