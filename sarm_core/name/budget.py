"""What naming costs: an estimate before, a count while it runs, and limits that end it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from sarm_core.name.model import Reply, Stopped

__all__ = ["Budget", "Cost", "Limits", "Prices", "tokens_in"]

LETTERS_PER_TOKEN = 3.5
"""Of English in the tokenizers of today 4 to 4.5: an estimate that is rather too high"""


def tokens_in(text: str) -> int:
    """About how many tokens a text has. Other scripts have up to one a letter."""
    other = sum(ord(c) > 0x24F for c in text)
    return int((len(text) - other) / LETTERS_PER_TOKEN) + other + 1


@dataclass(frozen=True)
class Prices:
    """What a million tokens cost, in any one currency; None where it is not said."""

    prompt: float | None = None
    reply: float | None = None


@dataclass(frozen=True)
class Limits:
    """What must not be passed; None for no limit."""

    requests: int | None = None
    tokens: int | None = None
    money: float | None = None


@dataclass(frozen=True)
class Cost:
    """Requests, tokens, and money (None without prices)."""

    requests: int
    prompt_tokens: int
    reply_tokens: int
    money: float | None

    @property
    def words(self) -> str:
        """In a line."""
        tokens = f"{self.prompt_tokens + self.reply_tokens:,} tokens"
        parts = [f"{self.requests:,} request{'' if self.requests == 1 else 's'}", tokens]
        return ", ".join(parts + ([] if self.money is None else [f"{self.money:,.2f} in money"]))


@dataclass
class Budget:
    """Counts what was used, and what is out and may still be used. Safe between threads."""

    limits: Limits = field(default_factory=Limits)
    prices: Prices = field(default_factory=Prices)
    requests: int = 0
    prompt_tokens: int = 0
    reply_tokens: int = 0
    _out: list[tuple[int, int]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def reserve(self, prompt_tokens: int, most_reply_tokens: int) -> None:
        """Before a request: raises Stopped when it, with all that are out, could pass a limit."""
        with self._lock:
            prompt = self.prompt_tokens + prompt_tokens + sum(p for p, _ in self._out)
            reply = self.reply_tokens + most_reply_tokens + sum(r for _, r in self._out)
            money = self._money(prompt, reply)
            for used, limit, what in (
                (self.requests + 1, self.limits.requests, "requests"),
                (prompt + reply, self.limits.tokens, "tokens"),
                (money, self.limits.money, "money"),
            ):
                if limit is not None and used is not None and used > limit:
                    raise Stopped(f"the limit of {limit:,} {what} is reached; go on with a higher one")
            self.requests += 1
            self._out.append((prompt_tokens, most_reply_tokens))

    def settle(self, prompt_tokens: int, most_reply_tokens: int, reply: Reply | None) -> None:
        """After a request: what it used, by the server's word or by estimate; a request without a reply counts its
        prompt, as a server may have read it."""
        with self._lock:
            self._out.remove((prompt_tokens, most_reply_tokens))
            used = reply.prompt_tokens if reply is not None else None
            self.prompt_tokens += prompt_tokens if used is None else used
            if reply is not None:
                said = reply.reply_tokens
                self.reply_tokens += tokens_in(reply.text) if said is None else said

    @property
    def cost(self) -> Cost:
        """What was used so far."""
        with self._lock:
            money = self._money(self.prompt_tokens, self.reply_tokens)
            return Cost(self.requests, self.prompt_tokens, self.reply_tokens, money)

    def estimate(self, prompt_tokens: list[int], reply_tokens: int) -> Cost:
        """Of requests with these prompts, each with a reply of so many tokens."""
        prompt, reply = sum(prompt_tokens), reply_tokens * len(prompt_tokens)
        return Cost(len(prompt_tokens), prompt, reply, self._money(prompt, reply))

    def _money(self, prompt: int, reply: int) -> float | None:
        if self.prices.prompt is None and self.prices.reply is None:
            return None
        return (prompt * (self.prices.prompt or 0) + reply * (self.prices.reply or 0)) / 1e6
