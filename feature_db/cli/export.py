"""`export`: write a store, or part of it, as a file of another format."""

from __future__ import annotations

import argparse
from pathlib import Path

from feature_db.cli.options import add_options, said
from feature_db.cli.show import show_report
from feature_db.exchange import formats
from feature_db.store import Store

__all__ = ["add", "run"]


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    written = [format for format in formats.FORMATS if format.writable]
    parser = commands.add_parser(
        "export", help="write features, examples or labels to another program's format"
    )
    parser.add_argument("store", type=Path, metavar="STORE")
    folders = ", ".join(format.name for format in written if format.folder)
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help=f"file (events and labels: .jsonl or .csv), or folder for {folders}",
    )
    parser.add_argument("--format", choices=[format.name for format in written], required=True)
    add_options(parser, {format.name: format.write_options for format in written})
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run it. Raises StoreError."""
    format = formats.named(arguments.format)
    options = said(arguments, format.name, format.write_options)
    with Store.open(arguments.store) as store:
        show_report(format.write(store, arguments.out, **options), "written", "would be written")
