"""The command `suggest`: descriptions of a store's features, from the texts it keeps."""

from __future__ import annotations

import argparse
from pathlib import Path

from sarm_core.cli.command import Command

__all__ = ["Suggest"]


class Suggest(Command):
    """For stores from before the method changed; a harvest ends with the same."""

    name = "suggest"
    help = "suggest descriptions and names anew from the texts a store keeps; a harvest does it too"

    def add(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("db", type=Path, metavar="STORE.db")
        parser.add_argument(
            "--tags",
            type=Path,
            nargs="+",
            default=[],
            metavar="FILE",
            help="rows of answers whose `varied` says what was varied in each: tags that names are made of as well",
        )

    def run(self, options: argparse.Namespace) -> int:
        from feature_db import Store
        from sarm_core.cli.stores import store_errors
        from sarm_core.errors import SarmError
        from sarm_core.harvest.suggest_pairs import suggest_pairs, tags_in
        from sarm_core.harvest.suggest_store import suggest_all

        tags = tags_in(options.tags, strict=True)
        if options.tags and not tags:
            raise SarmError(f"{options.tags[0]}: no row of it has answers with tags under 'varied'")
        with store_errors(options.db), Store.open(options.db) as store:
            made = suggest_all(store)
            names = suggest_pairs(store, tags)
            known = store.n_exemplified(firing=True)
        print(
            f"{options.db}: {made} of {known} features that fire have a suggestion that holds on unseen texts, "
            f"{names} a name that tells on unseen prompts which of two answers has more of them"
        )
        return 0
