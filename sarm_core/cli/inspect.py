"""The command `inspect`: what a file or folder is, and what can be done with it."""

from __future__ import annotations

import argparse
import json

from sarm_core.cli.command import Command

__all__ = ["Inspect"]


class Inspect(Command):
    """Looks at names, keys and headers."""

    name = "inspect"
    help = "say what a file or folder is: a SARM, a dictionary, an adapter, ..."
    description = (
        "Says what PATH is and what can be done with it: a SARM in one of its layouts, an ordinary reward model, a "
        "language model, an adapter, a trainer's folder, or a public dictionary (SAELens, sparsify, "
        "dictionary-learning, Qwen-Scope, Gemma Scope, Llama Scope). It goes by names, keys and headers, and looks "
        "through a dictionary's numbers for infinity and NaN. No code that lies in a file is run. A problem is what "
        "loading would say."
    )

    def add(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("path", metavar="PATH", help='a file, a folder, "demo" or a Hub id')
        parser.add_argument("--json", action="store_true", help="as a JSON object on standard output")

    def run(self, options: argparse.Namespace) -> int:
        from sarm_core.model.inspection import inspect_path

        found = inspect_path(options.path)
        if options.json:
            print(json.dumps(found.as_json(), allow_nan=False))
            return 0
        print(f"{_plain(found.kind)}: {_plain(found.what)}")
        for name, value in found.facts.items():
            print(f"  {name.replace('_', ' '):14}{_plain(value)}")
        if found.problem:
            print(f"  {'problem':14}{_plain(found.problem)}")
        for what in found.can:
            print(f"  {'you can':14}{_plain(what)}")
        return 0


def _plain(value: object) -> str:
    """A value from elsewhere on one line, without what a terminal would obey."""
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)[:300]
