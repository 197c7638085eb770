"""Run `harvest` again and again, each time in a new process that is killed -9, until one is left to finish.

python killed_harvest.py FOLDER LONGEST_MS N_KILLS ARGUMENTS...

makes FOLDER/0.db and 1.db, each with other random delays, and prints on its last line how many processes it killed.

The processes are forked from this one, which has imported everything: a kill then lands in the work and not
in Python's start.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time

import torch

from sarm_core.__main__ import main
from sarm_core.cli.stores import harvest_into  # noqa: F401  (imported before the fork)


def run(arguments: list[str], seconds: float | None) -> int | None:
    """Exit code of one run, or None when it was killed after `seconds`."""
    child = os.fork()
    if not child:
        try:
            code = main(arguments)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            code = 99
        sys.stderr.flush()
        os._exit(code)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    return None if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, longest, n_kills, *arguments = sys.argv[1:]
    total = 0
    for seed in range(2):
        rng = random.Random(seed)
        options = ["harvest", *arguments, "--resume", "--db", f"{folder}/{seed}.db"]
        code: int | None = None
        for _ in range(int(n_kills)):
            code = run(options, rng.uniform(0.1, 1) * int(longest) / 1000)
            if code is not None:
                break
            total += 1
        if code is None:
            code = run(options, None)
        if code:
            sys.exit(f"a resumed run ended with {code}")
    print(total)
