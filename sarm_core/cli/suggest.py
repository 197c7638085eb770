"""The command `suggest`: descriptions of a store's features, from the texts it keeps."""

from __future__ import annotations

import argparse
from pathlib import Path

from sarm_core.cli.command import Command

__all__ = ["Suggest"]


class Suggest(Command):
    """For stores from before the method changed; a harvest ends with the same."""

    name = "suggest"
    help = "suggest descriptions anew from the texts a store keeps; a harvest does it too"

    def add(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("db", type=Path, metavar="STORE.db")

    def run(self, options: argparse.Namespace) -> int:
        from feature_db import Store
        from sarm_core.cli.stores import store_errors
        from sarm_core.harvest.suggest_store import suggest_all

        with store_errors(options.db), Store.open(options.db) as store:
            made = suggest_all(store)
            known = store.n_exemplified(firing=True)
        print(
            f"{options.db}: {made} of {known} features that fire have a suggestion that holds on unseen texts"
        )
        return 0
