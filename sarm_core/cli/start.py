"""Where the program `sarm` starts: what has to hold before anything is imported."""

from __future__ import annotations

import signal

__all__ = ["start"]


def start(prog: str = "sarm") -> int:
    """The process's `main`; returns its exit code.

    Until that runs, Ctrl-C ends the process at once. As an exception it could be lost while modules are imported
    (`interrupts`), and nothing is begun yet that would have to be put in order.
    """
    if (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ):  # it may be ignored, behind nohup or in a script's &
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from sarm_core.cli.parser import main

    return main(prog=prog)
