"""Options that several commands have, and those that the formats bring."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from feature_db.errors import StoreError
from feature_db.exchange.format import Option

__all__ = ["add_options", "add_who", "require_admin", "said"]


def add_who(parser: argparse.ArgumentParser) -> None:
    """--as and --dry-run."""
    parser.add_argument(
        "--as", dest="by", metavar="ADMIN", default="", help="events and labels: the admin who takes them in"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would change, change nothing")


def require_admin(arguments: argparse.Namespace) -> None:
    """Raises StoreError where --as is missing; whether they are one, the store asks."""
    if not arguments.by:
        raise StoreError(
            "events come in under their authors' names: say which admin takes them in with --as NAME"
        )


def add_options(parser: argparse.ArgumentParser, of: Mapping[str, Sequence[Option]]) -> None:
    """Every option of the formats, once; its help says which have it."""
    by_name: dict[str, dict[str, Option]] = {}
    for format, options in of.items():
        for option in options:
            by_name.setdefault(option.name, {})[format] = option
    for name, having in by_name.items():
        words: dict[str, list[str]] = {}
        for format, option in having.items():
            words.setdefault(option.help, []).append(format)
        help = "; ".join(f"{', '.join(formats)}: {what}" for what, formats in words.items())
        option = next(iter(having.values()))
        if option.flag:
            parser.add_argument(
                f"--{name}", dest=option.argument, action="store_true", default=None, help=help
            )
        else:
            parser.add_argument(f"--{name}", dest=option.argument, help=help)
    parser.set_defaults(format_options={name: list(having) for name, having in by_name.items()})


def said(arguments: argparse.Namespace, format: str, options: Sequence[Option]) -> dict[str, Any]:
    """What was said of a format's options. Raises StoreError for one that it does not have."""
    values = vars(arguments)
    own = {option.name for option in options}
    for name, having in arguments.format_options.items():
        if name not in own and values[name.replace("-", "_")] is not None:
            raise StoreError(f"--{name} is an option of {', '.join(having)}, not of {format}")
    found = {option.argument: values[option.argument] for option in options}
    return {name: value for name, value in found.items() if value is not None}
