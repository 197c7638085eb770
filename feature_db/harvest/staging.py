"""Rows of an import, checked and set aside before the store is locked, then taken in by one short transaction.

Checking a large import takes minutes, in which others go on labelling. The rows wait in temporary tables of the
connection: a file of SQLite's own that nobody else sees, that takes no lock of the store and goes with the connection.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from feature_db.errors import RowError, StoreError
from feature_db.harvest.row_values import (
    example_values,
    feature_values,
    packed_encoding,
    position,
    text_values,
)
from feature_db.harvest.undo import forget, record_import, remember
from feature_db.sqlite.connection import Connection
from feature_db.sqlite.schema import EXAMPLES_BY_TEXT, EXAMPLES_INDEX

__all__ = ["HARVEST", "ImportCounts", "Place", "Staging"]

HARVEST = "the harvest"
"""Origin of what no other program brought."""

_TEXT = ("hash", "messages", "token_ids", "tokens", "source", "category", "prompt")
_NARROW = ("head_weight", "firing_count", "denominator", "density", "mean", "max")
_WIDE = (
    *("histogram_edges", "histogram_counts", "neighbours"),
    *("cofiring_features", "cofiring_counts", "cofiring_of"),
)
_EXAMPLE = (
    *("feature", "text", "kind", "rank", "purpose", "activation", "peak_position", "per_token"),
    *("band", "band_low", "band_high", "token"),
)
# Columns without a type keep every value as it is.
_TABLES = {
    "staged_texts": ("place INTEGER PRIMARY KEY", *_TEXT, "id"),
    "staged_features": ("place INTEGER PRIMARY KEY", "id", *_NARROW, *_WIDE),
    "staged_encodings": ("text", "n_active", "z"),
    "staged_examples": ("place INTEGER PRIMARY KEY", *_EXAMPLE),
}


@dataclass(frozen=True)
class ImportCounts:
    """Rows taken in by one import."""

    texts: int
    features: int
    encodings: int
    examples: int
    stayed: Mapping[str, int] = field(default_factory=dict)
    """Origin -> features of that other origin whose examples or statistics stay, though the import has others"""
    replaced: int = 0
    """Features of another origin whose examples were replaced"""

    def notes(self, dry_run: bool) -> list[str]:
        """What a person should know of other origins."""
        found = [
            f"{count:,} features have other examples or statistics of {origin}, which stay: say --replace to put those "
            "of this file in their place"
            for origin, count in self.stayed.items()
        ]
        if self.replaced:
            was = "would be replaced" if dry_run else "were replaced"
            found.append(f"examples of another origin {was} in {self.replaced:,} features")
        return found


class Place:
    """Gives a complaint about a row its place: `row` of `source`, or the `row`-th record of a kind.

    A class: a generator would cost a microsecond more a row.
    """

    __slots__ = ("kind", "row", "source")

    def __init__(self, source: str, row: int | str, kind: str = ""):
        self.source, self.row, self.kind = source, row, kind

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, RowError):
            if error.source is None:
                raise error.at(self.source, self._row()) from None
        elif isinstance(error, (StoreError, ValueError, TypeError, OverflowError, AttributeError)):
            raise RowError(str(error) or type(error).__name__, source=self.source, row=self._row()) from None

    def _row(self) -> int | str:
        return f"{self.kind} {self.row}" if self.kind else self.row


class Staging:
    """The staged rows of one import. Use as a context manager; nothing is in the store before `commit`."""

    def __init__(self, store: Connection, source: str):
        self.store, self.source = store, source
        self._n_features = store.model.n_features
        self._lengths: list[int | None] = []  # of texts, in tokens

    def __enter__(self) -> Self:
        conn = self.store.conn
        for table, columns in _TABLES.items():
            conn.execute(f"DROP TABLE IF EXISTS temp.{table}")
            conn.execute(f"CREATE TEMP TABLE {table} ({', '.join(columns)})")
        # One transaction of the temporary file. It is deferred, and what it writes is not the store.
        self._began = not conn.in_transaction
        if self._began:
            conn.execute("BEGIN")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        conn = self.store.conn
        if self._began and conn.in_transaction:
            conn.execute("ROLLBACK")
        for table in _TABLES:
            conn.execute(f"DROP TABLE IF EXISTS temp.{table}")

    def text(self, record: Any) -> int:
        """Stage a `TextRecord` or look-alike; returns its position, for examples. Raises RowError and others
        without a place, as do the methods below: put them in a `Place`."""
        values = text_values(record)
        tokens = record.token_ids if record.token_ids is not None else record.tokens
        place = len(self._lengths)
        self._lengths.append(None if tokens is None else len(tokens))
        self.store.conn.execute("INSERT INTO staged_texts VALUES (?,?,?,?,?,?,?,?,NULL)", (place, *values))
        return place

    def stored_text(self, text: int, n_tokens: int) -> int:
        """Stage the text of the store with this id, as it is; returns its position, for examples."""
        place = len(self._lengths)
        self._lengths.append(n_tokens)
        self.store.conn.execute(
            f"INSERT INTO staged_texts SELECT ?, {', '.join(_TEXT)}, NULL FROM texts WHERE id = ?",
            (place, text),
        )
        return place

    def feature(self, record: Any) -> int:
        """Stage a `FeatureRecord` or look-alike; returns its id."""
        feature = self.store.check_feature(record.id)
        narrow, wide = feature_values(record, self._n_features)
        marks = ",".join("?" * (1 + len(narrow) + len(wide)))
        self.store.conn.execute(
            f"INSERT INTO staged_features VALUES (NULL,{marks})", (feature, *narrow, *wide)
        )
        return feature

    def example(self, record: Any) -> None:
        """Stage an `ExampleRecord` or look-alike; its text has to be staged already."""
        self.examples((self.example_values(record),))

    def example_values(self, record: Any) -> tuple[Any, ...]:
        """The columns of an example, for `examples`."""
        return example_values(record, range(len(self._lengths)), self._lengths, self._n_features)

    def examples(self, values: Iterable[tuple[Any, ...]]) -> None:
        """Stage many, as `example_values` made them."""
        self.store.conn.executemany(
            "INSERT INTO staged_examples VALUES (NULL,?,?,?,?,?,?,?,?,?,?,?,?)", values
        )

    def leave_examples(self, features: Iterable[int]) -> int:
        """Take back the staged examples of `features`, so that the stored ones stay; returns how many."""
        return self.store.conn.execute(
            "DELETE FROM staged_examples WHERE feature IN (SELECT value FROM json_each(?))",
            (json.dumps(list(features)),),
        ).rowcount

    def encodings(self, records: Iterable[Any]) -> None:
        """Stage `EncodingRecord`s or look-alikes, with their place."""

        def rows() -> Iterator[tuple[int, int, bytes]]:
            for row, record in enumerate(records, 1):
                with Place(self.source, row, "encoding"):
                    text = position(record.text, len(self._lengths))
                    yield text, *packed_encoding(record, self._n_features)

        self.store.conn.executemany("INSERT INTO staged_encodings VALUES (?,?,?)", rows())

    def commit(
        self,
        *,
        format: str,
        header: dict[str, Any] | None = None,
        keep: bool = False,
        skip_repeated: bool = False,
        dry_run: bool = False,
        origin: str | None = None,
        replace: bool = False,
        also: Callable[[], None] | None = None,
    ) -> ImportCounts:
        """Take the staged rows in, and call `also`, in one transaction; see `HarvestImport.import_harvest`.

        `origin` names the other program's source that they came from: such an import can be undone, and leaves examples
        and statistics of another origin as they are unless told to `replace` them.

        Raises RowError.
        """
        conn = self.store.conn
        if self._began:
            conn.execute("COMMIT")
        # Two look-ups a row; checked once, after the rows, for less than the cost of the look-ups.
        conn.execute("PRAGMA foreign_keys = OFF")
        kept: AbstractContextManager[list[int]] = nullcontext([])
        if origin is not None:
            kept = remember(self.store)
        try:
            with self.store.rehearsal() if dry_run else self.store.write():
                others = {} if origin is None else self._other_origins(origin)
                stayed = {} if replace else self._leave(others)
                replaced = self._with_examples(others) if replace else set()
                with kept as numbers:
                    n_features, n_encodings, n_examples = self._move(keep, skip_repeated)
                    if also is not None:
                        also()
                    if origin is not None:
                        self._note_origin(origin, others, replace)
                    numbers.append(record_import(self.store, format, self.source, header))
                if origin is None and not keep:
                    forget(self.store)
        except OverflowError:
            raise RowError("a number does not fit 64 bits", source=self.source) from None
        finally:
            conn.execute("PRAGMA foreign_keys = ON")
        if not dry_run:
            conn.execute("PRAGMA optimize")
        by_origin = Counter(stayed.values())
        return ImportCounts(len(self._lengths), n_features, n_encodings, n_examples, by_origin, len(replaced))

    def _move(self, keep: bool, skip_repeated: bool) -> tuple[int, int, int]:
        """The staged rows into the store; numbers of features, encodings and examples."""
        self._move_texts()
        n_features = self._move_features(keep)
        n_encodings = self.store.conn.execute(
            "INSERT OR REPLACE INTO encodings (text, n_active, z) SELECT t.id, e.n_active, e.z "
            "FROM staged_encodings AS e CROSS JOIN staged_texts AS t ON t.place = e.text"
        ).rowcount
        n_examples = self._move_examples(keep, skip_repeated)
        if n_examples and not keep:
            self._forget_other_texts()
            self.store.conn.execute("DELETE FROM origins")
        _check_references(self.store, self.source)
        return n_features, n_encodings, n_examples

    def _other_origins(self, origin: str) -> dict[int, str]:
        """Staged features of which the store knows something from elsewhere, and where that is."""
        known = " OR ".join(f"f.{name} IS NOT NULL" for name in _NARROW if name != "head_weight")
        rows = self.store.conn.execute(
            "SELECT f.id, coalesce(o.origin, ?) FROM features AS f LEFT JOIN origins AS o ON o.feature = f.id "
            "WHERE f.id IN (SELECT id FROM staged_features UNION SELECT feature FROM staged_examples) "
            f"AND ({known} OR EXISTS (SELECT 1 FROM examples AS e WHERE e.feature = f.id))",
            (HARVEST,),
        )
        return {feature: other for feature, other in rows if other != origin}

    def _with_examples(self, features: Iterable[int]) -> set[int]:
        """Those of `features` that have examples both stored and staged."""
        rows = self.store.conn.execute(
            "SELECT DISTINCT feature FROM examples WHERE feature IN (SELECT value FROM json_each(?)) "
            "AND feature IN (SELECT feature FROM staged_examples)",
            (json.dumps(list(features)),),
        )
        return {row[0] for row in rows}

    def _leave(self, others: Mapping[int, str]) -> dict[int, str]:
        """Take back what is staged of features that are of another origin, but for numbers the store lacks.

        Returns the features where that makes a difference, and their origin.
        """
        conn = self.store.conn
        differ = self._with_examples(others)
        self.leave_examples(differ)
        listed = (json.dumps(list(others)),)
        for table, key, columns in (("features", "id", _NARROW), ("feature_details", "feature", _WIDE)):
            for name in columns:
                stored = f"(SELECT {name} FROM {table} AS t WHERE t.{key} = staged_features.id)"
                where = f"WHERE id IN (SELECT value FROM json_each(?)) AND {stored} IS NOT NULL"
                rows = conn.execute(f"SELECT id FROM staged_features {where} AND {name} <> {stored}", listed)
                differ |= {row[0] for row in rows}
                conn.execute(f"UPDATE staged_features SET {name} = NULL {where}", listed)
        return {feature: others[feature] for feature in sorted(differ)}

    def _note_origin(self, origin: str, others: Iterable[int], replace: bool) -> None:
        """Staged features are the import's now: but for `others`, unless it was told to `replace` what these have."""
        given = " OR ".join(f"{name} IS NOT NULL" for name in (*_NARROW, *_WIDE))
        self.store.conn.execute(
            "INSERT OR REPLACE INTO origins (feature, origin) SELECT DISTINCT id, :origin FROM staged_features "
            "WHERE (:replace OR id NOT IN (SELECT value FROM json_each(:others))) "
            f"AND ({given} OR id IN (SELECT feature FROM staged_examples))",
            {"origin": origin, "others": json.dumps(list(others)), "replace": replace},
        )

    def _move_texts(self) -> None:
        conn = self.store.conn
        last = self.store.value("SELECT coalesce(max(id), 0) FROM texts")
        conn.execute(
            f"INSERT INTO texts ({', '.join(_TEXT)}) SELECT {', '.join(_TEXT)} FROM staged_texts WHERE true "
            "ORDER BY place ON CONFLICT (hash) DO UPDATE SET "
            "token_ids = coalesce(excluded.token_ids, token_ids), "
            "tokens = coalesce(excluded.tokens, tokens), "
            "source = coalesce(source, excluded.source), category = coalesce(excluded.category, category)"
        )
        conn.execute("UPDATE staged_texts SET id = (SELECT id FROM texts WHERE hash = staged_texts.hash)")
        conn.execute(
            "INSERT INTO texts_fts (rowid, body) SELECT id, body FROM text_bodies WHERE id > ?", (last,)
        )

    def _move_features(self, keep: bool) -> int:
        conn = self.store.conn
        count = 0
        for table, key, columns in (("features", "id", _NARROW), ("feature_details", "feature", _WIDE)):
            updates = ", ".join(_updated(name, keep) for name in columns)
            count = conn.execute(
                f"INSERT INTO {table} ({key}, {', '.join(columns)}) SELECT id, {', '.join(columns)} "
                f"FROM staged_features WHERE true ORDER BY place ON CONFLICT ({key}) DO UPDATE SET {updates}"
            ).rowcount
        return count

    def _move_examples(self, keep: bool, skip_repeated: bool) -> int:
        conn = self.store.conn
        if self.store.value("SELECT 1 FROM staged_examples LIMIT 1") is None:
            return 0
        conn.execute(
            "DELETE FROM examples"
            + (" WHERE feature IN (SELECT DISTINCT feature FROM staged_examples)" if keep else "")
        )
        index_after = not keep and not skip_repeated
        if index_after:
            conn.execute("DROP INDEX examples_place")
            conn.execute("DROP INDEX examples_by_text")
        columns = ", ".join(f"t.id AS {name}" if name == "text" else f"e.{name}" for name in _EXAMPLE)
        try:
            count = conn.execute(
                f"INSERT {'OR IGNORE ' if skip_repeated else ''}INTO examples ({', '.join(_EXAMPLE)}) "
                f"SELECT {columns} FROM staged_examples AS e CROSS JOIN staged_texts AS t ON t.place = e.text "
                "ORDER BY e.place"
            ).rowcount
            if index_after:
                conn.execute(EXAMPLES_INDEX)
                conn.execute(EXAMPLES_BY_TEXT)
        except sqlite3.IntegrityError:
            raise RowError("a text is listed twice for one feature and kind", source=self.source) from None
        return count

    def _forget_other_texts(self) -> None:
        """Delete the encodings of texts that were not staged, and those of the texts that no label event or draft names
        by its hash: what is left of another corpus."""
        conn = self.store.conn
        conn.execute("DELETE FROM encodings WHERE text NOT IN (SELECT id FROM staged_texts)")
        forgotten = conn.execute(
            "SELECT id FROM texts WHERE id NOT IN (SELECT id FROM staged_texts) AND hash NOT IN ("
            "SELECT j.value FROM label_events, json_tree(label_events.data) AS j WHERE j.type = 'text' UNION ALL "
            "SELECT j.value FROM drafts, json_tree(drafts.data) AS j WHERE j.type = 'text')"
        ).fetchall()
        conn.executemany(
            "INSERT INTO texts_fts (texts_fts, rowid, body) "
            "SELECT 'delete', id, body FROM text_bodies WHERE id = ?",
            forgotten,
        )
        conn.executemany("DELETE FROM texts WHERE id = ?", forgotten)


def _check_references(store: Connection, source: str) -> None:
    missing = store.value(
        "SELECT feature FROM examples WHERE feature NOT IN (SELECT id FROM features) LIMIT 1"
    )
    if missing is not None:
        raise RowError(f"there are examples of feature {missing} but not the feature itself", source=source)
    both = store.row(
        "SELECT feature, text FROM examples WHERE purpose = 'check' AND EXISTS ("
        "SELECT 1 FROM examples AS o "
        "WHERE o.feature = examples.feature AND o.kind IN ('top', 'band', 'random', 'silent') "
        "AND o.text = examples.text AND o.purpose = 'label') LIMIT 1"
    )
    if both is not None:
        raise RowError(
            f"one text of feature {both['feature']} is both for labelling and for checking labels",
            source=source,
        )


def _updated(name: str, keep: bool) -> str:
    """What becomes of a stored number when another comes: see `HarvestImport.import_harvest`."""
    if keep and name == "density":
        # A density that comes without its counts must not stand beside the counts of another corpus.
        return (
            "density = iif(excluded.denominator IS NULL AND denominator IS NOT NULL, density, "
            "coalesce(excluded.density, density))"
        )
    if keep and name == "cofiring_of":
        return "cofiring_of = iif(excluded.cofiring_features IS NULL, cofiring_of, excluded.cofiring_of)"
    if keep or name == "head_weight":
        return f"{name} = coalesce(excluded.{name}, {name})"
    return f"{name} = excluded.{name}"
