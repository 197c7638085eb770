"""`stats`: what a store holds."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from feature_db.store import Store

__all__ = ["add", "run"]


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("stats", help="what a store holds")
    parser.add_argument("store", type=Path, metavar="STORE")
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run it. Raises StoreError."""
    with Store.open(arguments.store) as store:
        stats: dict[str, Any] = store.stats()
    if arguments.json:
        print(json.dumps(stats, indent=1, allow_nan=False))
    else:
        for name, value in stats.items():
            print(f"{name:16} {value:,}" if isinstance(value, int) else f"{name:16} {value}")
