"""One connection to one store file, for one thread: opening, the model's fingerprint, reading and writing."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import sqlite_utils

from feature_db.errors import PermissionRefused, StoreError
from feature_db.records import ModelRecord
from feature_db.sqlite.schema import APPLICATION_ID, bring_up_to_date, is_up_to_date

__all__ = ["Connection", "microseconds"]

BUSY_SECONDS = 60.0
"""How long a writer waits for another; an import of a million examples may hold the file about that long."""

_REMEDIES = {
    sqlite3.SQLITE_FULL: "the disk is full, so nothing was written; what you typed is kept in its box: free some "
    "space and send it again",
    sqlite3.SQLITE_BUSY: "busy, another writer has kept it; try again",
    sqlite3.SQLITE_LOCKED: "busy, another writer has kept it; try again",
    sqlite3.SQLITE_READONLY: "may not be written; make the file and its folder writable and try again",
    sqlite3.SQLITE_IOERR: "its disk fails, so nothing was written; check the disk and its space and try again",
    sqlite3.SQLITE_CORRUPT: "is damaged; put a copy of it back",
    sqlite3.SQLITE_NOTADB: "is damaged; put a copy of it back",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; is its folder still there, and may it be written?",
}
"""By kind of failure of the file or the disk. Anything else is a mistake of this program and stays a traceback."""

_TURNS: dict[Path, threading.RLock] = {}
"""By file. SQLite lets a writer that meets another sleep, longer each time, and who comes meanwhile goes first: of
twenty writers some waited half a minute. Those of one process, which serves the whole app, wait in a lock instead."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_TURNS.clear)


class _Rehearsed(Exception):
    """Ends a rehearsal."""


def microseconds() -> int:
    """Now, in microseconds since 1970 UTC: the unit of every time in the store."""
    return time.time_ns() // 1000


class Connection:
    """An open store. Belongs to the thread that opened it; another thread opens its own.

    Use as a context manager. Never keep one in a cache that several threads or reruns share.
    """

    def __init__(self, conn: sqlite3.Connection, path: Path, busy_seconds: float = BUSY_SECONDS):
        self._conn = conn
        self.path = path
        self._busy_seconds = busy_seconds
        self._thread = threading.get_ident()
        self._depth = 0
        self.looks_only = False

    @classmethod
    def open(
        cls,
        path: str | Path,
        fingerprint: str | None = None,
        *,
        create: ModelRecord | None = None,
        busy_seconds: float = BUSY_SECONDS,
    ) -> Self:
        """Open the store at `path`, bring its tables up to date and check whose features it holds.

        With `fingerprint`, the store must be of that model. With `create`, a missing file is made for that
        model; an existing one must be of that model. Raises StoreError when the file is missing, is not a
        store, was made by a newer version, or belongs to another model.
        """
        path = Path(path)
        if create is not None and fingerprint not in (None, create.fingerprint):
            raise StoreError(
                "the model to create the store for has another fingerprint than the one asked for"
            )
        if create is None and not path.is_file():
            raise StoreError(f"{path}: no such store; harvest a corpus into it first")
        try:
            conn = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None, cached_statements=256)
        except sqlite3.Error as error:
            raise StoreError(f"{path}: cannot be opened ({error})") from None
        store = cls(conn, path, busy_seconds)
        try:
            store._prepare(create)
            store._check_model(fingerprint if create is None else create.fingerprint)
        except sqlite3.Error as error:
            conn.close()
            raise StoreError(f"{path}: cannot be used as a store ({error})") from None
        except BaseException:
            conn.close()
            raise
        return store

    @classmethod
    def read_only(cls, path: str | Path) -> Self:
        """Open the store at `path` to read: nothing is written to it or beside it, nor any step of the schema.

        Raises StoreError when it is missing, no store, or without a model.
        """
        path = Path(path)
        if not path.is_file():
            raise StoreError(f"{path}: no such store; harvest a corpus into it first")
        # Without a log beside it nobody has the store open, and a plain file leaves no log behind.
        how = "mode=ro" if path.with_name(path.name + "-wal").exists() else "immutable=1"
        try:
            conn = sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True, isolation_level=None)
        except sqlite3.Error as error:
            raise StoreError(f"{path}: cannot be opened ({error})") from None
        conn.row_factory = sqlite3.Row
        store = cls(conn, path)
        try:
            if conn.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
                raise StoreError(f"{path}: is a database, but not a SARM Explorer store")
            store._check_model(None)
        except sqlite3.Error as error:
            conn.close()
            raise StoreError(f"{path}: cannot be used as a store ({error})") from None
        except BaseException:
            conn.close()
            raise
        return store

    def _prepare(self, create: ModelRecord | None) -> None:
        conn = self._conn
        conn.row_factory = sqlite3.Row
        empty = conn.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        ours = conn.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
        if not ours and not (empty and create is not None):
            raise StoreError(f"{self.path}: is a database, but not a SARM Explorer store")
        _switch_to_wal(conn)
        conn.execute("PRAGMA foreign_keys = ON")
        conn.execute("PRAGMA cache_size = -64000")
        db = sqlite_utils.Database(conn)
        try:
            ready = is_up_to_date(db)
        except StoreError as error:
            raise StoreError(f"{self.path}: {error}") from None
        if not ready or create is not None:
            with self.write():
                conn.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                bring_up_to_date(db)
                if create is not None:
                    self._insert_model(create)

    def _insert_model(self, model: ModelRecord) -> None:
        """The model of a new store. What an older one does not tell of its own model yet is added."""
        self._conn.execute(
            "INSERT OR IGNORE INTO models (id, fingerprint, name, n_features, info, created) "
            "VALUES (1, ?, ?, ?, ?, ?)",
            (
                model.fingerprint,
                model.name,
                model.n_features,
                json.dumps(dict(model.info), allow_nan=False),
                microseconds(),
            ),
        )
        stored = self._conn.execute(
            "SELECT info FROM models WHERE fingerprint = ?", (model.fingerprint,)
        ).fetchone()
        info = dict(model.info) if stored is None else {**json.loads(stored[0]), **model.info}
        if stored is not None and info != json.loads(stored[0]):
            self._conn.execute("UPDATE models SET info = ?", (json.dumps(info, allow_nan=False),))

    def _check_model(self, fingerprint: str | None) -> None:
        row = self.row("SELECT fingerprint, name, n_features, info FROM models")
        if row is None:
            raise StoreError(f"{self.path}: holds no model yet; harvest a corpus into it first")
        self.model = ModelRecord(row["fingerprint"], row["name"], row["n_features"], json.loads(row["info"]))
        if fingerprint is not None and fingerprint != self.model.fingerprint:
            raise StoreError(
                f"{self.path}: holds features of {self.model.name!r} (fingerprint "
                f"{self.model.fingerprint[:12]}), not of the model in use ({fingerprint[:12]}); "
                "choose the store that was harvested with this model"
            )

    # -- using it ----------------------------------------------------------------------------------------

    @property
    def conn(self) -> sqlite3.Connection:
        """The SQLite connection. Raises StoreError in a thread other than the one that opened the store."""
        if threading.get_ident() != self._thread:
            raise StoreError("a store belongs to the thread that opened it: call Store.open in each thread")
        return self._conn

    def only_look(self) -> None:
        """From here on nothing is written through this connection: `write` refuses, and so does SQLite itself."""
        self.conn.execute("PRAGMA query_only = ON")
        self.looks_only = True

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction that holds the write lock from its start (BEGIN IMMEDIATE).

        What is read inside is therefore still true when it is written. Nested calls join the outer
        transaction as savepoints. Raises StoreError, with nothing written, when another writer keeps the lock
        too long, the disk is full or fails, or the file is damaged or may not be written; PermissionRefused after
        `only_look`.
        """
        if self.looks_only:
            raise PermissionRefused("you only look here, so nothing is kept; an admin gives you another role")
        conn = self.conn  # first of all: only the thread that opened the store may
        with nullcontext() if self._depth else self._turn(), self._transaction():
            yield conn

    @contextmanager
    def rehearsal(self) -> Iterator[sqlite3.Connection]:
        """A transaction as of `write`, whose changes are seen inside it and undone at its end."""
        with suppress(_Rehearsed), self.write() as conn:
            yield conn
            raise _Rehearsed

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait for the other writers of this process."""
        turn = _TURNS.setdefault(self.path.resolve(), threading.RLock())
        if not turn.acquire(timeout=self._busy_seconds):
            raise StoreError(f"{self.path}: {_REMEDIES[sqlite3.SQLITE_BUSY]}")
        try:
            yield
        finally:
            turn.release()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        conn = self.conn
        if self._depth:
            name = f"write_{self._depth}"
            begin, commit, rollback = f"SAVEPOINT {name}", f"RELEASE {name}", f"ROLLBACK TO {name}"
        else:
            begin, commit, rollback = "BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"
        try:
            conn.execute(begin)
        except sqlite3.OperationalError as error:
            raise self._refusal(error) or StoreError(f"{self.path}: cannot be written ({error})") from None
        self._depth += 1
        try:
            yield
            conn.execute(commit)
        except BaseException as error:
            # A full disk may have ended the transaction already.
            if conn.in_transaction:
                conn.execute(rollback)
                if self._depth > 1:
                    conn.execute(commit)
            refusal = self._refusal(error)
            if refusal is not None:
                raise refusal from None
            raise
        finally:
            self._depth -= 1

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Several reads that see one state of the store, however long they take."""
        conn = self.conn
        if conn.in_transaction:
            yield conn
            return
        conn.execute("BEGIN")
        try:
            yield conn
        finally:
            conn.execute("ROLLBACK")

    def rows(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[sqlite3.Row]:
        """All rows of a query. Raises StoreError when the file is locked, damaged or on a full or failing disk."""
        try:
            return self.conn.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise self._refusal(error) or error from None

    def row(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> sqlite3.Row | None:
        """The first row of a query, or None. Raises as `rows`."""
        try:
            row: sqlite3.Row | None = self.conn.execute(sql, parameters).fetchone()
            return row
        except sqlite3.Error as error:
            raise self._refusal(error) or error from None

    def value(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> Any:
        """The first column of the first row, or None."""
        row = self.row(sql, parameters)
        return None if row is None else row[0]

    def integers(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> npt.NDArray[np.int64]:
        """The one column of a query, int64 [n], in its order: whole numbers, or texts of some with commas between.

        As one string, which takes a fifth of the time of a tuple for each. Raises as `rows`.
        """
        text = self.value(f"WITH numbers (n) AS ({sql}) SELECT group_concat(n) FROM numbers", parameters)
        return np.fromstring(str(text), dtype=np.int64, sep=",") if text else np.zeros(0, dtype=np.int64)

    def _refusal(self, error: BaseException) -> StoreError | None:
        """What to tell a person about a failure of the file or its disk; None for any other error."""
        if not isinstance(error, sqlite3.Error):
            return None
        # The low byte of a code is its kind, the rest says more about it.
        remedy = _REMEDIES.get((getattr(error, "sqlite_errorcode", None) or 0) & 0xFF)
        return None if remedy is None else StoreError(f"{self.path}: {remedy}")

    def check_feature(self, feature: int) -> int:
        """`feature` as an int. Raises StoreError when the dictionary has no such feature."""
        number = isinstance(feature, (int, float, np.integer)) and not isinstance(feature, bool)
        if not number or not 0 <= feature < self.model.n_features or feature != int(feature):
            shown = (
                repr(feature)[:40] if not isinstance(feature, int) or abs(feature) < 10**20 else "so large"
            )
            raise StoreError(f"there is no feature {shown}: ids run from 0 to {self.model.n_features - 1}")
        return int(feature)

    def close(self) -> None:
        """Close the connection. Safe to call twice."""
        self.conn.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _switch_to_wal(conn: sqlite3.Connection) -> None:
    # SQLite does not call the busy handler while it changes the journal mode, so wait here.
    deadline = time.monotonic() + BUSY_SECONDS
    while conn.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            conn.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
