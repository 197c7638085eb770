"""Which keys of a row may be passed over: those that belong to the conversation may not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sarm_core.text.rows import is_list
from sarm_core.text.turns import TURN_WORDS

__all__ = ["BESIDE_A_PROMPT", "CONTEXT_KEYS", "OF_A_CONVERSATION", "belongs"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


OF_A_CONVERSATION = _words(
    "prompt question query instruction instructions input inputs response answer completion output chosen rejected "
    "messages conversation conversations answers responses candidates dialogue dialog turns prefix suffix"
)
"""Keys that are part of a conversation under any of its shapes."""
_CONTEXT = _words(
    "system sys developer persona preamble history context contexts background passage passages document documents "
    "article knowledge evidence tool tools function functions image images video videos audio audios attachment "
    "attachments file files dialogue dialog instruction instructions"
)
"""A key with one of these words in it is context, unless it ends in one of the next, as `context_length` does."""
_NO_CONTEXT = _words(
    "id ids length tokens count counts type hash url uri name source index number num size path lang language score "
    "fingerprint model date time version"
)
CONTEXT_KEYS = frozenset(["system", "system_prompt", "system_message", "history", "input", "tools"])
"""Keys whose meaning beside a prompt is fixed (see `shapes.base.Fields.in_context`)."""
BESIDE_A_PROMPT = _words(
    "question query prompt response answer completion output chosen rejected messages conversation conversations "
    "answers responses candidates"
).union(TURN_WORDS)
"""What a trainer's data set may keep beside the prompt that the policy saw: what it was made from, and answers that
other reward functions look at. No part of the completion, which the policy wrote."""
_WORD = re.compile(r"[a-z]+|[A-Z]+(?![a-z])|[A-Z][a-z]*")


def belongs(key: str, value: Any) -> str:
    """Why a key that no shape reads may not be passed over; "" when it may."""
    if isinstance(value, bool | int | float) or (
        getattr(value, "ndim", 1) == 0 and not isinstance(value, str)  # one number of an array or a tensor
    ):
        return ""
    if hasattr(value, "__len__") and len(value) == 0:
        return ""
    if isinstance(value, str) and not value.strip() and value:
        return ""
    if reason := _named(key):
        return reason
    if (
        is_list(value)
        and isinstance(value[0], Mapping)
        and ({"role", "content"} <= set(value[0]) or {"from", "value"} <= set(value[0]))
    ):
        return "holds turns of a conversation"
    return ""


@lru_cache(maxsize=1000)
def _named(key: str) -> str:
    """The reason that lies in the key's name alone."""
    words = [word.lower() for word in _WORD.findall(key)]
    if key.lower() in OF_A_CONVERSATION:
        return "is part of a conversation"
    if words and words[-1] not in _NO_CONTEXT and not _CONTEXT.isdisjoint(words):
        return "may belong to the conversation"
    return "belongs to a turn" if key in TURN_WORDS else ""
