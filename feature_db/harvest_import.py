"""Bulk import of a harvest: everything in one transaction, the index of the examples built after its rows."""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from feature_db.blobs import pack_array, pack_sparse, pack_values
from feature_db.connection import Connection, microseconds
from feature_db.errors import RowError, StoreError
from feature_db.records import KINDS, PURPOSES, clean_text, text_hash
from feature_db.schema import EXAMPLES_INDEX

__all__ = ["HarvestImport", "ImportCounts"]

_INT64 = 2**63


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
                values = _text_values(record)
            ids.append(conn.execute(insert, values).fetchone()[0])
            tokens = record.token_ids if record.token_ids is not None else record.tokens
            lengths.append(None if tokens is None else len(tokens))
        conn.execute(
            "INSERT INTO texts_fts (rowid, body) SELECT id, body FROM text_bodies WHERE id > ?", (last,)
        )
        return ids, lengths

    def _import_features(self, features: Iterable[Any], source: str, keep: bool) -> int:
        narrow = ("head_weight", "firing_count", "denominator", "density", "mean", "max")
        wide = ("histogram_edges", "histogram_counts", "neighbours", "cofiring_features", "cofiring_counts")
        insert_narrow = _upsert("features", "id", narrow, keep)
        insert_wide = _upsert("feature_details", "feature", wide, keep)
        conn = self.conn
        count = 0
        for row, record in enumerate(features, 1):
            with _Place(source, "feature", row):
                feature = self.check_feature(record.id)
                numbers, blobs = _feature_values(record, self.model.n_features)
            conn.execute(insert_narrow, (feature, *numbers))
            conn.execute(insert_wide, (feature, *blobs))
            count += 1
        return count

    def _import_encodings(self, encodings: Iterable[EncodingLike], text_ids: list[int], source: str) -> int:
        def rows() -> Iterator[tuple[int, int, bytes]]:
            for row, record in enumerate(encodings, 1):
                with _Place(source, "encoding", row):
                    text = text_ids[_position(record.text, len(text_ids))]
                    yield text, *_packed_encoding(record, self.model.n_features)

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
                    values = _example_values(pending, text_ids, lengths, n_features)
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
    names = ", ".join(columns)
    marks = ", ".join("?" for _ in columns)
    updates = ", ".join(
        f"{name} = coalesce(excluded.{name}, {name})"
        if keep or name == "head_weight"
        else f"{name} = excluded.{name}"
        for name in columns
    )
    rest = f"ON CONFLICT ({key}) DO UPDATE SET {updates}"
    return f"INSERT INTO {table} ({key}, {names}) VALUES (?, {marks}) " + rest


def _text_values(record: TextLike) -> tuple[Any, ...]:
    messages = record.messages
    if not isinstance(messages, (list, tuple)) or not all(isinstance(m, dict) for m in messages):
        raise RowError("messages must be a list of objects")
    ids = None if record.token_ids is None else np.asarray(record.token_ids)
    if ids is not None and (ids.ndim != 1 or (ids.size and not np.issubdtype(ids.dtype, np.integer))):
        raise RowError("token_ids must be a list of whole numbers")
    if ids is not None and ids.size and (ids.min() < 0 or ids.max() >= 2**31):
        raise RowError("token_ids must lie between 0 and 2147483647")
    if not messages and ids is None:
        raise RowError("a text needs messages or token_ids")
    tokens = record.tokens
    if tokens is not None and not all(isinstance(token, str) for token in tokens):
        raise RowError("tokens must be strings")
    if tokens is not None and ids is not None and len(tokens) != ids.size:
        raise RowError(f"{len(tokens)} tokens but {ids.size} token ids")
    return (
        text_hash(messages, ids),
        clean_text(json.dumps(list(messages), ensure_ascii=False, allow_nan=False)),
        None if ids is None else pack_array(ids, "<i4"),
        None if tokens is None else clean_text(json.dumps(list(tokens), ensure_ascii=False)),
        None if record.source is None else clean_text(str(record.source)),
        None if record.category is None else clean_text(str(record.category)),
    )


def _feature_values(record: Any, n_features: int) -> tuple[tuple[Any, ...], tuple[bytes | None, ...]]:
    count, total = record.firing_count, record.denominator
    if (count is None) != (total is None):
        raise RowError("firing_count and denominator come together")
    if count is not None and not 0 <= operator.index(count) <= operator.index(total) < _INT64:
        raise RowError(f"fires {count} times in {total} positions")
    density = _number(record.density, "density")
    if count is not None:
        density = count / total if total else None
    if density is not None and not 0 <= density <= 1:
        raise RowError(f"density {density} is not between 0 and 1")
    numbers = (
        _number(record.head_weight, "head_weight"),
        None if count is None else int(count),
        None if total is None else int(total),
        density,
        _number(record.mean, "mean"),
        _number(record.max, "max"),
    )
    edges = counts = None
    if record.histogram_edges is not None and record.histogram_counts is not None:
        edges = np.asarray(record.histogram_edges, dtype=np.float64)
        counts = np.asarray(record.histogram_counts, dtype=np.int64)
        if edges.ndim != 1 or counts.ndim != 1 or edges.size != counts.size + 1 or edges.size == 1:
            raise RowError("a histogram of n bins has n counts and n + 1 edges")
        if not np.isfinite(edges).all() or (np.diff(edges) <= 0).any() or counts.min() < 0:
            raise RowError("histogram edges must ascend and counts must not be negative")
    near_ids, near = _pairs(record.neighbours, "neighbours", np.float64, n_features)
    with_ids, together = _pairs(record.cofiring, "cofiring", np.int64, n_features)
    return numbers, (
        None if edges is None else pack_array(edges, "<f8"),
        None if counts is None else pack_array(counts, "<i8"),
        pack_sparse(near_ids, near) if near_ids.size else None,
        pack_array(with_ids, "<i4") if with_ids.size else None,
        pack_array(together, "<i8") if with_ids.size else None,
    )


def _pairs(pairs: Any, name: str, dtype: type, n_features: int) -> tuple[np.ndarray, np.ndarray]:
    listed = [tuple(pair) for pair in pairs] if pairs is not None else []
    if any(len(pair) != 2 for pair in listed):
        raise RowError(f"{name} must be pairs of a feature and a number")
    ids = np.asarray([pair[0] for pair in listed], dtype=np.int64)
    values: np.ndarray = np.asarray([pair[1] for pair in listed], dtype=dtype)
    if ids.size and (ids.min() < 0 or ids.max() >= n_features or not np.isfinite(values).all()):
        raise RowError(f"{name} must name features below {n_features} and finite numbers")
    return ids, values


def _packed_encoding(record: EncodingLike, n_features: int) -> tuple[int, bytes]:
    ids = np.asarray(record.features)
    values = np.asarray(record.values, dtype=np.float32)
    if (
        ids.ndim != 1
        or ids.shape != values.shape
        or not (np.issubdtype(ids.dtype, np.integer) or not ids.size)
    ):
        raise RowError("an encoding is a list of feature ids and as many values")
    if ids.size and (ids.min() < 0 or ids.max() >= n_features):
        raise RowError(f"an encoding names a feature outside 0..{n_features - 1}: another model's?")
    if not np.isfinite(values).all():
        raise RowError("an activation is not a finite number")
    return ids.size, pack_sparse(ids, values)


def _example_values(
    record: Any, text_ids: list[int], lengths: list[int | None], n_features: int
) -> tuple[Any, ...]:
    feature = operator.index(record.feature)
    if not 0 <= feature < n_features:
        raise RowError(f"there is no feature {feature}: ids run from 0 to {n_features - 1}")
    if record.kind not in KINDS:
        raise RowError(f"kind {record.kind!r} is not one of {', '.join(KINDS)}")
    if record.purpose not in PURPOSES:
        raise RowError(f"purpose {record.purpose!r} is not one of {', '.join(PURPOSES)}")
    text = _position(record.text, len(text_ids))
    length = lengths[text]
    values = record.values
    if values is not None:
        values = np.asarray(values, dtype=np.float32)
        if values.ndim != 1 or not np.isfinite(values).all():
            raise RowError("per-token values must be a list of finite numbers")
        if length is not None and values.size != length:
            raise RowError(f"{values.size} per-token values for a text of {length} tokens")
        values = pack_values(values)
    peak = None if record.peak_position is None else operator.index(record.peak_position)
    if peak is not None and not 0 <= peak < (length if length is not None else _INT64):
        raise RowError(f"the peak position {peak} lies outside the text's {length} tokens")
    activation = float(record.activation)
    if not math.isfinite(activation):
        raise RowError("the activation is not a finite number")
    return (
        feature,
        text_ids[text],
        record.kind,
        operator.index(record.rank),
        record.purpose,
        activation,
        peak,
        values,
        None if record.band is None else operator.index(record.band),
        _number(record.band_low, "band_low"),
        _number(record.band_high, "band_high"),
        None if record.token is None else clean_text(record.token),
    )


def _position(text: Any, n_texts: int) -> int:
    position = operator.index(text)
    if not 0 <= position < n_texts:
        raise RowError(f"refers to text {position}, but {n_texts} texts were handed over (from 0)")
    return position


def _number(value: Any, name: str) -> float | None:
    if value is None:
        return None
    number = float(value)
    if not math.isfinite(number):
        raise RowError(f"{name} is not a finite number")
    return number
