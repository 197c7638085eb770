"""Processes of their own, for what a test kills, starves or lets write at once, forked from one that imported all.

A new Python takes three to four seconds of a processor until it has torch and Transformers. Here one such process,
without a thread and with nothing done, forks each of the others: `multiprocessing`'s fork server. They are processes
as any, with memory, locks, signals, limits and an exit code of their own.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
IMPORTED = (
    "pytest",
    "hypothesis",
    "transformers.models.llama.modeling_llama",
    "feature_db",
    "sarm_core.__main__",
    "sarm_core.cli.stores",
    "sarm_core.model.embedded",
    "sarm_core.train.runs",
    "sarm_core.train.sae_run",
    "sarm_core.train.sae_sweep",
)


@functools.cache
def forks() -> ForkServerContext:
    """The context whose processes are forked; its server is one a worker of the tests, and ends with it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*IMPORTED])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
        patch.chdir(ROOT)
        forkserver.ensure_running()
    return context


def end_forks() -> None:
    """End the server, if there is one, and wait for it: what its processes took counts as taken by this one."""
    if forks.cache_info().currsize:
        for left in multiprocessing.active_children():  # of a test that failed; the server waits for each
            left.kill()
            left.join()
        forkserver._forkserver._stop()  # type: ignore[attr-defined]  # there is no public way


def forked(function: Callable[..., object], *given: Any) -> BaseProcess:
    """Start `function(*given)` in a process with this one's environment; the function stands in a module."""
    process = forks().Process(target=_called, args=(dict(os.environ), function, given), daemon=True)
    with pytest.MonkeyPatch.context() as patch:
        # A child runs its parent's main module first, and `AppTest` leaves a test's script there.
        patch.setitem(sys.modules, "__main__", ModuleType("__main__"))
        process.start()
    return process


def _called(environment: dict[str, str], function: Callable[..., object], given: tuple[Any, ...]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    function(*given)


class Program:
    """`python -m sarm_core WORDS` under way; `file_limit` is the size in bytes that no file may pass."""

    def __init__(self, *words: str, file_limit: int | None = None) -> None:
        reading, writing = forks().Pipe(duplex=False)
        self.process = forked(_main, words, writing, file_limit)
        writing.close()
        self._reading = reading
        self._said = os.fdopen(reading.fileno(), encoding="utf-8", closefd=False)

    def lines(self) -> Iterator[str]:
        """What it says on stderr, line by line, until it ends."""
        return iter(self._said)

    def signalled(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        assert self.process.pid is not None
        with suppress(ProcessLookupError):
            os.kill(self.process.pid, number)

    def ended(self) -> tuple[int | None, str]:
        """Wait: the exit code, minus the signal's number where one ended it, and what was left to read."""
        rest = self._said.read()
        self.process.join()
        self._reading.close()
        return self.process.exitcode, rest


def together(*words: str, second: Sequence[str] | None = None) -> list[Program]:
    """Two programs as a launcher starts them, to do one work (`second`: with other words for the second one)."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    programs = []
    for rank, given in enumerate((words, second or words)):
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**meeting, "RANK": str(rank), "LOCAL_RANK": str(rank)}.items():
                patch.setenv(name, value)
            programs.append(Program(*given))
    return programs


def _main(words: tuple[str, ...], errors: Connection, file_limit: int | None) -> None:
    import torch

    from sarm_core.cli.parser import main

    os.dup2(os.open(os.devnull, os.O_RDWR), 1)
    os.dup2(errors.fileno(), 2)
    errors.close()
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", buffering=1, closefd=False)
    torch.set_num_threads(1)
    # Tests that a shell put into its background were told to ignore it, and hand that on.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if file_limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
    sys.exit(main(list(words)))
