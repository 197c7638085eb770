"""The command `keep`: files of preferences as a data set of a store, for the pages of the app; or the list of them."""

from __future__ import annotations

import argparse
from pathlib import Path

from sarm_core.cli.command import Command
from sarm_core.cli.options import add_row_options, reader_of, say_reading

__all__ = ["Keep"]


class Keep(Command):
    """What the page *Data sets* does with an upload, for files of any size."""

    name = "keep"
    help = "keep files of preferences as a data set of a store, or list its data sets"
    description = (
        "Keep files of preferences as one data set of STORE.db, which the page Data sets then lists; the Model page "
        "shows where a model's store is. The same content read alike is kept once. Without files: list what is kept."
    )

    def add(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("db", type=Path, metavar="STORE.db")
        parser.add_argument("files", nargs="*", type=Path, metavar="PAIRS", help="several make one data set")
        parser.add_argument("--name", help="what it is called (default: the first file's name)")
        parser.add_argument("--as", dest="by", default="", metavar="NAME", help="who brings it")
        add_row_options(parser)

    def run(self, options: argparse.Namespace) -> int:
        from feature_db import Store
        from feature_db.datasets.datasets import DataSets, ItemRecord
        from sarm_core.cli.stores import store_errors
        from sarm_core.text.items import FileItems

        with store_errors(options.db), Store.open(options.db) as store:
            sets = DataSets(store)
            if not options.files:
                for kept in sets.all():
                    print(
                        f"{kept.address}  {kept.n_items:>9,} prompts  {kept.n_labels:>9,} labels  "
                        f"{kept.name!r}{' by ' + repr(kept.owner) if kept.owner else ''}"
                    )
                return 0
            of = FileItems(options.files, [path.name for path in options.files], reader_of(options))
            kept, new = sets.add(
                options.name or options.files[0].name,
                of.hash,
                (ItemRecord(**vars(item)) for item in of),
                columns=of.columns,
                reading=of.reader.choices(),
                said=of.said(),
                files=of.files,
                by=options.by,
            )
        say_reading(of.reader)
        done = "kept" if new else "kept already"
        print(
            f"{done}: {kept.name!r}, {kept.n_items:,} prompts with {kept.n_labels:,} labels ({kept.address})"
        )
        return 0
