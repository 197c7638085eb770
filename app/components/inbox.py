"""The Python side of `outbox.js`: what a component sent, each message once and in the order of the acts.

Streamlit's messages overwrite each other while a run is on, so a command carries those before it (`before`),
and every message has a number (`edit`) from one clock in the browser, which says what came first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import streamlit as st

__all__ = ["Letters", "is_number"]

T = TypeVar("T")
MOST_CARRIED = 100


class Letters:
    """The messages of the component mounted under `key` that were not handed on yet."""

    def __init__(self, key: str):
        self.seen_key = f"_{key}_seen"
        self._found: list[tuple[float, Callable[[], None]]] = []

    def take(self, raw: Any, read: Callable[[Any], T | None], handler: Callable[[T], None] | None) -> None:
        """Put `raw` and what it carries along into the post for `handler`; `read` gives None for nonsense."""
        seen = st.session_state.get(self.seen_key, 0)
        for letter in _with_earlier(raw):
            value = read(letter)
            if value is not None and (edit := _edit(letter)) > seen:
                self._found.append((edit, _bound(handler, value)))

    def deliver(self) -> None:
        """Call the handlers, earliest act first; what was handed on never is again."""
        for edit, call in sorted(self._found, key=lambda letter: letter[0]):
            st.session_state[self.seen_key] = edit
            call()


def _bound(handler: Callable[[T], None] | None, value: T) -> Callable[[], None]:
    def call() -> None:
        if handler is not None:
            handler(value)

    return call


def _with_earlier(raw: Any) -> list[Any]:
    earlier = raw.get("before") if isinstance(raw, dict) else None
    return [*(earlier[-MOST_CARRIED:] if isinstance(earlier, list) else []), raw]


def _edit(raw: Any) -> float:
    edit = raw.get("edit") if isinstance(raw, dict) else None
    return float(edit) if edit is not None and is_number(edit) else 0.0


def is_number(value: Any) -> bool:
    """Whether `value` is a finite number; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
