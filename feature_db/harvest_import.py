"""Bulk import of a harvest: everything in one transaction, the index of the examples built after its rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from feature_db.connection import Connection, microseconds
from feature_db.errors import RowError, StoreError
from feature_db.row_values import example_values, feature_values, packed_encoding, position, text_values
from feature_db.schema import EXAMPLES_INDEX

__all__ = ["HarvestImport", "ImportCounts"]


class TextLike(Protocol):
    """Anything with the attributes of `TextRecord`."""

    messages: Any
    token_ids: Any
    tokens: Any
    source: Any
    category: Any


class EncodingLike(Protocol):
    """Anything with the attributes of `EncodingRecord`."""

    text: int
    features: Any
    values: Any


@dataclass(frozen=True)
class ImportCounts:
    """Rows taken in by one import."""

    texts: int
    features: int
    encodings: int
    examples: int


class HarvestImport(Connection):
    """`import_harvest` and the rules its rows must keep."""

    def import_harvest(
        self,
        features: Iterable[Any] = (),
        texts: Iterable[Any] = (),
        encodings: Iterable[Any] = (),
        examples: Iterable[Any] = (),
        *,
        source: str = "harvest",
        format: str = "harvest",
        header: dict[str, Any] | None = None,
        keep_examples: bool = False,
        skip_repeated: bool = False,
    ) -> ImportCounts:
        """Take in a harvest in one transaction: all of it or, on any error, nothing.

        Arguments are iterables of `FeatureRecord`, `TextRecord`, `EncodingRecord` and `ExampleRecord` (or
        look-alikes), read once and in the order texts, features, encodings, examples; `text` in the last two
        is a position in `texts`. Known texts are found by hash and reused. Labels are never touched.

        A harvest replaces the statistics of the features it names (a head weight of None keeps the stored
        one) and, when it has examples, all stored examples. With `keep_examples`, for partial files, a None
        keeps any stored number and examples replace only those of the features they name. A text listed
        twice for one feature and kind is an error or, with `skip_repeated`, left out the second time.
        Raises RowError naming `source`, the kind of record and its place (from 1).
        """
        conn = self.conn
        # Two look-ups a row; checked once, after the rows, for less than the cost of the look-ups.
        conn.execute("PRAGMA foreign_keys = OFF")
        try:
            with self.write():
                text_ids, lengths = self._import_texts(texts, source)
                n_features = self._import_features(features, source, keep_examples)
                n_encodings = self._import_encodings(encodings, text_ids, source)
                n_examples = self._import_examples(
                    examples, text_ids, lengths, source, keep_examples, skip_repeated
                )
                self._check_references(source)
                conn.execute(
                    "INSERT INTO imports (format, source, header, time) VALUES (?, ?, ?, ?)",
                    (format, source, json.dumps(header or {}, allow_nan=False), microseconds()),
                )
        except OverflowError:
            raise RowError("a number does not fit 64 bits", source=source) from None
        finally:
            conn.execute("PRAGMA foreign_keys = ON")
        conn.execute("PRAGMA optimize")
        return ImportCounts(len(text_ids), n_features, n_encodings, n_examples)

    def _import_texts(self, texts: Iterable[TextLike], source: str) -> tuple[list[int], list[int | None]]:
        conn = self.conn
        last = self.value("SELECT coalesce(max(id), 0) FROM texts")
        ids: list[int] = []
        lengths: list[int | None] = []
        insert = (
            "INSERT INTO texts (hash, messages, token_ids, tokens, source, category) "
            "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (hash) DO UPDATE SET "
            "token_ids = coalesce(excluded.token_ids, token_ids), "
            "tokens = coalesce(excluded.tokens, tokens), "
            "source = coalesce(source, excluded.source), category = coalesce(excluded.category, category) "
            "RETURNING id"
        )
        for row, record in enumerate(texts, 1):
            with _Place(source, "text", row):
                values = text_values(record)
            ids.append(conn.execute(insert, values).fetchone()[0])
            tokens = record.token_ids if record.token_ids is not None else record.tokens
            lengths.append(None if tokens is None else len(tokens))
        conn.execute(
            "INSERT INTO texts_fts (rowid, body) SELECT id, body FROM text_bodies WHERE id > ?", (last,)
        )
        return ids, lengths

    def _import_features(self, features: Iterable[Any], source: str, keep: bool) -> int:
        narrow = ("head_weight", "firing_count", "denominator", "density", "mean", "max")
        wide = (
            "histogram_edges",
            "histogram_counts",
            "neighbours",
            "cofiring_features",
            "cofiring_counts",
            "cofiring_of",
        )
        insert_narrow = _upsert("features", "id", narrow, keep)
        insert_wide = _upsert("feature_details", "feature", wide, keep)
        conn = self.conn
        count = 0
        for row, record in enumerate(features, 1):
            with _Place(source, "feature", row):
                feature = self.check_feature(record.id)
                numbers, blobs = feature_values(record, self.model.n_features)
            conn.execute(insert_narrow, (feature, *numbers))
            conn.execute(insert_wide, (feature, *blobs))
            count += 1
        return count

    def _import_encodings(self, encodings: Iterable[EncodingLike], text_ids: list[int], source: str) -> int:
        def rows() -> Iterator[tuple[int, int, bytes]]:
            for row, record in enumerate(encodings, 1):
                with _Place(source, "encoding", row):
                    text = text_ids[position(record.text, len(text_ids))]
                    yield text, *packed_encoding(record, self.model.n_features)

        return self.conn.executemany(
            "INSERT OR REPLACE INTO encodings (text, n_active, z) VALUES (?, ?, ?)", rows()
        ).rowcount

    def _import_examples(
        self,
        examples: Iterable[Any],
        text_ids: list[int],
        lengths: list[int | None],
        source: str,
        keep: bool,
        skip_repeated: bool,
    ) -> int:
        conn = self.conn
        first = next(iter_examples := iter(examples), None)
        if first is None:
            return 0
        if not keep:
            conn.execute("DELETE FROM examples")
        skip = "OR IGNORE " if skip_repeated else ""
        index_after = not keep and not skip_repeated
        if index_after:
            conn.execute("DROP INDEX examples_place")
        last = self.value("SELECT coalesce(max(id), 0) FROM examples")
        replaced: set[int] = set()

        def rows() -> Iterator[tuple[Any, ...]]:
            pending: Any = first
            row = 1
            n_features = self.model.n_features
            while pending is not None:
                with _Place(source, "example", row):
                    values = example_values(pending, text_ids, lengths, n_features)
                if keep and values[0] not in replaced:
                    replaced.add(values[0])
                    conn.execute("DELETE FROM examples WHERE feature = ? AND id <= ?", (values[0], last))
                yield values
                pending = next(iter_examples, None)
                row += 1

        try:
            count = conn.executemany(
                f"INSERT {skip}INTO examples (feature, text, kind, rank, purpose, activation, peak_position, "
                "per_token, band, band_low, band_high, token) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
                rows(),
            ).rowcount
            if index_after:
                conn.execute(EXAMPLES_INDEX)
        except conn.IntegrityError:
            raise RowError("a text is listed twice for one feature and kind", source=source) from None
        return count

    def _check_references(self, source: str) -> None:
        missing = self.value(
            "SELECT feature FROM examples WHERE feature NOT IN (SELECT id FROM features) LIMIT 1"
        )
        if missing is not None:
            raise RowError(
                f"there are examples of feature {missing} but not the feature itself", source=source
            )
        both = self.row(
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


class _Place:
    """Gives a complaint about a record its place. A class: a generator costs a microsecond more a row."""

    __slots__ = ("kind", "row", "source")

    def __init__(self, source: str, kind: str, row: int):
        self.source, self.kind, self.row = source, kind, row

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        place = f"{self.kind} {self.row}"
        if isinstance(error, RowError):
            if error.source is None:
                raise error.at(self.source, place) from None
        elif isinstance(error, (StoreError, ValueError, TypeError, OverflowError, AttributeError)):
            raise RowError(str(error) or type(error).__name__, source=self.source, row=place) from None


def _upsert(table: str, key: str, columns: tuple[str, ...], keep: bool) -> str:
    def updated(name: str) -> str:
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

    marks = ", ".join("?" for _ in columns)
    return (
        f"INSERT INTO {table} ({key}, {', '.join(columns)}) VALUES (?, {marks}) "
        f"ON CONFLICT ({key}) DO UPDATE SET {', '.join(map(updated, columns))}"
    )
