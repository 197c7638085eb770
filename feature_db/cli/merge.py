"""`merge`: add the label events of another store."""

from __future__ import annotations

import argparse
from pathlib import Path

from feature_db.cli.options import add_who, require_admin
from feature_db.cli.show import show_report
from feature_db.exchange.merge import merge_store
from feature_db.store import Store

__all__ = ["add", "run"]


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("merge", help="add the label events of another store of the same model")
    parser.add_argument("store", type=Path, metavar="STORE")
    parser.add_argument("other", type=Path, metavar="OTHER")
    add_who(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run it. Raises StoreError."""
    require_admin(arguments)
    with Store.open(arguments.store) as store:
        report = merge_store(store, arguments.other, arguments.by, dry_run=arguments.dry_run)
    show_report(report, "added", "would be added")
