"""`undo-import`: put back what the last import from another program replaced."""

from __future__ import annotations

import argparse
from pathlib import Path

from feature_db.cli.show import one_line
from feature_db.exchange.take_back import take_back
from feature_db.store import Store

__all__ = ["add", "run"]


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "undo-import", help="undo the last import; events that it brought are taken back, never removed"
    )
    parser.add_argument("store", type=Path, metavar="STORE")
    parser.add_argument(
        "--as", dest="by", default="", metavar="NAME", help="an admin, where it was of events"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run it. Raises StoreError."""
    with Store.open(arguments.store) as store:
        undone, report = take_back(store, arguments.by)
    took = f"; {report.counts['events']:,} events taken back" if report.counts else ""
    print(f"undone: the import of {one_line(undone.source)} ({undone.format}){took}")
