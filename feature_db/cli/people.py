"""`people`: list the roles of a store's people, or give one."""

from __future__ import annotations

import argparse
from pathlib import Path

from feature_db.errors import StoreError
from feature_db.roles import ROLES, People
from feature_db.store import Store

__all__ = ["add", "run"]


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "people", help="list roles, or give NAME a role ('*' stands for everyone else)"
    )
    parser.add_argument("store", type=Path, metavar="STORE")
    parser.add_argument("name", nargs="?", metavar="NAME")
    parser.add_argument("role", nargs="?", choices=ROLES)
    parser.add_argument("--as", dest="by", metavar="ADMIN", help="not needed to name the first admin")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run it. Raises StoreError."""
    with Store.open(arguments.store) as store:
        people = People(store)
        if arguments.name is not None:
            if arguments.role is None:
                raise StoreError("name a role as well")
            people.set_role(arguments.by, arguments.name, arguments.role)
        for name, role in people.all().items():
            print(f"{role:12} {name}")
