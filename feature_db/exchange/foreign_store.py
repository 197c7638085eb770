"""The events of a store file that somebody else made: read as data, whatever the file holds.

`Store.open` trusts its file: it migrates it, switches its journal and runs its triggers. Here nothing of the file
is trusted and nothing is written to it. Of the tables that are read, the definition has to be the one of our own
store, word for word, so no view, virtual table or computed column can stand in for them; indexes are not used; each
row meets the checks of a row of an event file.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from feature_db.errors import RowError, StoreError
from feature_db.exchange.event_files import checked_event
from feature_db.label.events import EVENT_COLUMNS, Event
from feature_db.sqlite.connection import Connection
from feature_db.sqlite.schema import APPLICATION_ID

__all__ = ["foreign_events"]

LONGEST_VALUE = 4 * 2**20
"""Bytes of one value; a draft, the longest there is, holds a tenth of it."""
TABLES = ("models", "label_events", "drafts")
_DRAFT = dict.fromkeys(("text", "category", "verdict", "confidence", "about", "supersedes"), "NULL")
_DRAFT |= {"kind": "'draft'", "note": "''"}
"""Columns of an event that a draft has none of"""
_PRAGMAS = ("trusted_schema = OFF", "query_only = ON", "cell_size_check = ON", "mmap_size = 0")


def foreign_events(store: Connection, path: str | Path) -> list[tuple[int, Event]]:
    """(row, event) of every event of the store file at `path`, of the same model as `store`.

    Raises StoreError when the file is missing, damaged, no store, of another model or of another version of this
    program, and RowError for an event that does not hold.
    """
    path = Path(path)
    try:
        with _opened(path) as conn:
            _check(store, conn, path)
            return list(_events(store, conn, path))
    except (sqlite3.Error, UnicodeDecodeError, OverflowError, MemoryError) as error:
        # The last three are how Python reports text, numbers and lengths of a damaged page.
        reason = " ".join(str(error).split())[:120]
        raise StoreError(f"{path}: is damaged or no store of this program ({reason})") from None


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    if not path.is_file():
        raise StoreError(f"{path}: no such store")
    with path.open("rb") as file:
        if file.read(16) != b"SQLite format 3\0":
            raise StoreError(f"{path}: is no store: not a SQLite file")
    # Without a log beside it nobody has the file open, and it can be read without making a log. A store that is
    # in use has one, and its latest events are in there.
    live = path.with_name(path.name + "-wal").exists()
    address = path.resolve().as_uri() + ("?mode=ro" if live else "?mode=ro&immutable=1")
    conn = sqlite3.connect(address, uri=True, isolation_level=None, timeout=10, cached_statements=0)
    try:
        conn.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_VALUE)
        for pragma in _PRAGMAS:
            conn.execute(f"PRAGMA {pragma}")
        conn.execute("BEGIN")
        yield conn
    finally:
        conn.close()


def _check(store: Connection, conn: sqlite3.Connection, path: Path) -> None:
    if conn.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise StoreError(f"{path}: is a database, but not a SARM Explorer store")
    definitions = "SELECT type, sql FROM main.sqlite_master WHERE name = ?"
    for table in TABLES:
        if _words(conn.execute(definitions, (table,))) != _words(store.rows(definitions, (table,))):
            raise StoreError(
                f"{path}: its table {table} is not as this version makes it; open the store once with this version "
                "of the program, or export its events and import them"
            )
    found = conn.execute("SELECT fingerprint, name FROM main.models NOT INDEXED LIMIT 2").fetchall()
    if len(found) != 1:
        raise StoreError(f"{path}: holds no model")
    fingerprint, name = found[0]
    if fingerprint != store.model.fingerprint:
        raise StoreError(
            f"{path}: holds features of {str(name)[:60]!r}, not of the model in use; its labels mean nothing here"
        )
    # Also ends a tree whose pages lead in circles before it is walked.
    for table in TABLES[1:]:
        state = conn.execute(f"PRAGMA main.quick_check({table})").fetchone()[0]
        if state != "ok":
            raise StoreError(f"{path}: is damaged ({' '.join(str(state).split())[:120]})")


def _words(definitions: Iterable[Sequence[Any]]) -> list[tuple[str, list[str]]]:
    return [(str(kind), str(sql).split()) for kind, sql in definitions]


def _events(store: Connection, conn: sqlite3.Connection, path: Path) -> Iterator[tuple[int, Event]]:
    # In the order of the table, so that nothing is sorted on disk; who inserts them sorts by time.
    found = conn.execute(f"SELECT {EVENT_COLUMNS} FROM main.label_events NOT INDEXED ORDER BY seq")
    columns = ", ".join(_DRAFT.get(name, name) for name in EVENT_COLUMNS.split(", "))
    drafts = conn.execute(f"SELECT {columns} FROM main.drafts NOT INDEXED ORDER BY feature, annotator")
    for place, values in enumerate(itertools.chain(found, drafts), 1):
        row: dict[str, Any] = dict(zip(EVENT_COLUMNS.split(", "), values, strict=True))
        try:
            row["data"] = json.loads(row["data"])
            yield place, checked_event(store, row, row["time"])
        except (TypeError, ValueError, RecursionError):
            raise RowError("its data is not JSON", source=path, row=place) from None
        except RowError as error:
            raise error.at(path, place) from None
        except StoreError as error:
            raise RowError(str(error), source=path, row=place) from None
