"""What a language model is to the naming: a question in, a reply out, and what it cost. A new kind is a class like
these."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from sarm_core.errors import SarmError

__all__ = ["FORMS", "Asker", "FeatureFailed", "Field", "Reply", "Stopped"]


@dataclass(frozen=True)
class Reply:
    """What a model said; `cut` when it was not at its end. Tokens are None where the model does not say them."""

    text: str
    cut: bool = False
    prompt_tokens: int | None = None
    reply_tokens: int | None = None


class Field(NamedTuple):
    """A key of the object that a reply is: "text", "number" or "numbers", of at most so many tokens."""

    key: str
    kind: str
    tokens: int


FORMS: Mapping[str, tuple[Field, ...]] = {
    "label": (Field("name", "text", 16), Field("explanation", "text", 60), Field("score", "number", 2)),
    "detect": (Field("has", "numbers", 40),),
    "pair": (Field("fits", "text", 4),),
}
"""What is asked for in each step"""


class FeatureFailed(Exception):
    """One question got no usable reply; the run goes on without its feature."""


class Stopped(SarmError):
    """The run ends, whole: a wrong key, an address that does not answer, a budget that is spent, Ctrl-C."""


class Asker(Protocol):
    """A language model that replies."""

    @property
    def name(self) -> str:
        """What it is called beside the names it gave."""

    @property
    def at_once(self) -> int:
        """Questions that may be out at a time."""

    @property
    def stopping(self) -> threading.Event:
        """Set when the run is to end: nothing is waited out then."""

    def ask(self, turns: list[dict[str, str]], form: Sequence[Field], before: Callable[[], None]) -> Reply:
        """The reply to `turns`. `form` says which object it is to be, for a model that can be held to it. `before` is
        called before each request that costs something, and may raise. Raises FeatureFailed, Stopped."""
