"""`python -m sarm_core COMMAND`: what `sarm COMMAND` does, where that is not on the path."""

from __future__ import annotations

import sys

from sarm_core.cli.start import start

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(start("python -m sarm_core"))
else:
    from sarm_core.cli.parser import main
