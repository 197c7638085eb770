"""`import`: take in a file of another format."""

from __future__ import annotations

import argparse
from pathlib import Path

from feature_db.cli.options import add_options, add_who, require_admin, said
from feature_db.cli.show import show_report
from feature_db.exchange import formats
from feature_db.store import Store

__all__ = ["add", "run"]


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("import", help="take a file in; nothing changes when any row of it is bad")
    parser.add_argument("store", type=Path, metavar="STORE")
    parser.add_argument("input", type=Path, metavar="IN")
    parser.add_argument(
        "--format", choices=[f.name for f in formats.FORMATS], help="default: by the name and keys of IN"
    )
    add_who(parser)
    add_options(parser, {format.name: format.read_options for format in formats.FORMATS})
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run it. Raises StoreError."""
    path: Path = arguments.input
    format = formats.recognised(path) if arguments.format is None else formats.named(arguments.format)
    options = said(arguments, format.name, format.read_options)
    if format.admin:
        require_admin(arguments)
    with Store.open(arguments.store) as store:
        report = format.read(store, path, by=arguments.by, dry_run=arguments.dry_run, **options)
    show_report(report, "taken in", "would be taken in")
