"""`merge-people`: make one person of two whose names differ in case only."""

from __future__ import annotations

import argparse
from pathlib import Path

from feature_db.cli.show import one_line
from feature_db.label.same_people import merge_people
from feature_db.store import Store

__all__ = ["add", "run"]


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "merge-people", help="make one person of those whose names differ in case only, in an older store"
    )
    parser.add_argument("store", type=Path, metavar="STORE")
    parser.add_argument("--as", dest="by", metavar="ADMIN", required=True, help="the admin who does it")
    parser.add_argument("--dry-run", action="store_true", help="say what would change, change nothing")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run it. Raises StoreError."""
    with Store.open(arguments.store) as store:
        found = merge_people(store, arguments.by, dry_run=arguments.dry_run)
    verb = "would become" if arguments.dry_run else "became"
    for stands, others in found.items():
        for other, rows in others.items():
            print(f"{one_line(other)} {verb} {one_line(stands)}: {rows:,} rows")
    if not found:
        print("no two names differ in case only")
