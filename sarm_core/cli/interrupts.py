"""Ctrl-C that is not lost.

Python raises KeyboardInterrupt wherever the main thread happens to be. Where that is a callback of a weak reference
(each import runs one), a `__del__`, or a library that catches whatever comes, it goes no further and the program runs
on. Such an exception dies without having been seen; the signal is then raised again.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

__all__ = ["interrupts_kept"]

AGAIN = 0.02
"""Seconds after which it is raised again: whatever caught it has ended by then, or is asked once more."""


class _Interrupt(KeyboardInterrupt):
    """One that knows when it dies: nobody holds it, and nobody is on the way out because of it."""

    def __init__(self, block: _Block):
        super().__init__()
        self._block = block

    def __del__(self) -> None:
        if self._block.open:
            signal.setitimer(signal.ITIMER_REAL, AGAIN)


class _Block:
    """Whether the block that is to be left still runs."""

    open = True

    def interrupt(self, *_signal: Any) -> NoReturn:
        raise _Interrupt(self)


@contextmanager
def interrupts_kept() -> Iterator[None]:
    """A Ctrl-C within the block leaves it as KeyboardInterrupt, whatever catches the exception inside.

    It uses SIGALRM. Where SIGINT is ignored or has a handler of its own, where SIGALRM has one, and outside the main
    thread, all stays as it is.
    """
    usual = (signal.SIG_DFL, signal.default_int_handler)
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) not in usual
        or signal.getsignal(signal.SIGALRM) is not signal.SIG_DFL
    ):
        yield
        return
    block, said = _Block(), sys.unraisablehook

    def unraisable(error: sys.UnraisableHookArgs, /) -> None:
        if not isinstance(error.exc_value, _Interrupt):
            said(error)

    before = {number: signal.signal(number, block.interrupt) for number in (signal.SIGINT, signal.SIGALRM)}
    sys.unraisablehook = unraisable
    try:
        yield
    finally:
        block.open = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.unraisablehook = said
        for number, handler in before.items():
            signal.signal(number, handler)
