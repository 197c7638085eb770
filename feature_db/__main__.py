"""The command line of the feature store."""

from __future__ import annotations

import argparse
import sqlite3
import sys

from feature_db.cli import export, import_file, merge, merge_people, people, stats, undo_import
from feature_db.cli.show import one_line
from feature_db.errors import StoreError

COMMANDS = (export, import_file, undo_import, merge, people, merge_people, stats)
"""A new command is a file beside these, with `add` and `run`, and a line here."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0, or 2 after one line on stderr when the input or the store is at fault."""
    parsed = parser().parse_args(arguments)
    try:
        parsed.run(parsed)
    except StoreError as error:
        return _refused(str(error))
    except sqlite3.Error as error:  # a full disk, a damaged store
        return _refused(f"{parsed.store}: {error}; nothing was changed")
    except OSError as error:  # what may not be read
        return _refused(f"{error.filename or parsed.store}: {error.strerror or error}; nothing was changed")
    except KeyboardInterrupt:
        print("error: stopped; nothing was changed", file=sys.stderr)
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    """The parser with every command."""
    made = argparse.ArgumentParser(prog="python -m feature_db", description=__doc__)
    commands = made.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return made


def _refused(reason: str) -> int:
    print(f"error: {one_line(reason)}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
