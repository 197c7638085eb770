"""What long work says meanwhile: one line each, with how long the rest takes."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sarm_core.train.encoded_answers import Progress

__all__ = ["Stages", "counting", "say"]


def say(line: str) -> None:
    """One line of progress."""
    print(line, file=sys.stderr, flush=True)


def counting(what: str) -> Progress:
    """Says, every five seconds, how many of `what` are done, how fast, and what is left."""
    started = last = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > 5 or done == total:
            rate = done / max(now - started, 1e-9)
            say(f"  {done:,} of {total:,} {what}, {rate:,.1f} a second, {(total - done) / rate:,.0f} s left")
            last = now

    return progress


class Stages:
    """So many stages of each kind: `left` of them are not done, `seconds` are those of each that was."""

    def __init__(self, stages: Mapping[str, int]):
        self.left = dict(stages)
        self.seconds: dict[str, list[float]] = {kind: [] for kind in stages}
        self.total = sum(stages.values())

    @contextmanager
    def stage(self, kind: str, words: str, *, there: bool) -> Iterator[None]:
        """One of them; it is `there` already, or done in the block."""
        number = self.total - sum(self.left.values()) + 1
        say(f"{number} of {self.total}: {words}{', which is there' if there else ''}")
        begun = time.monotonic()
        yield
        self.left[kind] -= 1
        if not there:
            self.seconds[kind].append(time.monotonic() - begun)
            say(f"  took {self.seconds[kind][-1]:,.0f} s{self._rest()}")

    def _rest(self) -> str:
        known = [kind for kind, n in self.left.items() if n and self.seconds[kind]]
        if not known:
            return ""
        left = sum(self.left[kind] * sum(self.seconds[kind]) / len(self.seconds[kind]) for kind in known)
        more = "" if all(self.seconds[kind] for kind, n in self.left.items() if n) else " at least"
        return f"; {left:,.0f} s left{more}"
