"""`undo-import`: put back what the last import from another program replaced."""

from __future__ import annotations

import argparse
from pathlib import Path

from feature_db.cli.show import one_line
from feature_db.harvest.undo import undo_import
from feature_db.store import Store

__all__ = ["add", "run"]


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "undo-import", help="undo the last import of features, examples or suggestions; labels stay"
    )
    parser.add_argument("store", type=Path, metavar="STORE")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run it. Raises StoreError."""
    with Store.open(arguments.store) as store:
        undone = undo_import(store)
    print(f"undone: the import of {one_line(undone.source)} ({undone.format})")
