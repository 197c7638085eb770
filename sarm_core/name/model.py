"""What a language model is to the naming: a question in, a reply out, and what it cost. A new kind is a class like
these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from sarm_core.errors import SarmError

__all__ = ["Asker", "FeatureFailed", "Reply", "Stopped"]


@dataclass(frozen=True)
class Reply:
    """What a model said; `cut` when it was not at its end. Tokens are None where the model does not say them."""

    text: str
    cut: bool = False
    prompt_tokens: int | None = None
    reply_tokens: int | None = None


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

    def ask(self, turns: list[dict[str, str]], begin: str, before: Callable[[], None]) -> Reply:
        """The reply to `turns`. `begin` is how the reply will begin, for a model that can be made to. `before` is
        called before each request that costs something, and may raise. Raises FeatureFailed, Stopped."""
