"""The command `cache`: what is kept of encoded answers, and how to get rid of it."""

from __future__ import annotations

import argparse
from pathlib import Path

from sarm_core.cli.command import Command
from sarm_core.cli.options import days

__all__ = ["Cache"]


class Cache(Command):
    """Shows it; with an option, removes it."""

    name = "cache"
    help = "where encoded answers are kept, how large that is; clear it"
    description = (
        "Every answer that score, contrast, evaluate, perturb or the app encodes is kept, under the model, "
        "precision and length limit that encoded it, so that no later question runs the model for it again. Without "
        "an option: where that is and how large. What is removed is encoded again when it is asked for; nothing "
        "else is lost."
    )

    def add(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--cache", type=Path, metavar="DIR", help="the folder (default: $SARM_CACHE/encoded)"
        )
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--clear", action="store_true", help="remove all of it, of every model")
        which.add_argument(
            "--older-than", type=days, metavar="DAYS", help="remove what was not used for so many days"
        )

    def run(self, options: argparse.Namespace) -> int:
        from sarm_core.score.cache import cache_size, encoded_folder, prune

        folder = options.cache or encoded_folder()
        if options.clear or options.older_than is not None:
            removed = prune(folder, options.older_than)
            print(f"removed: {removed}")
        print(f"{folder}: {cache_size(folder)}")
        return 0
