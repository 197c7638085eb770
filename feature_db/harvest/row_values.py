"""The rules a record of a harvest must keep, and its values as the columns of the store.

Every function raises RowError, ValueError or TypeError without a place; the import adds it.
"""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from feature_db.errors import RowError
from feature_db.records import KINDS, PURPOSES, clean_text, prompt_hash, text_hash
from feature_db.sqlite.blobs import pack_array, pack_sparse, pack_values

__all__ = [
    "FLOAT32_MAX",
    "example_values",
    "feature_values",
    "packed_encoding",
    "position",
    "text_values",
    "tokens_column",
]

_INT64 = 2**63
FLOAT32_MAX = float(np.finfo(np.float32).max)
"""Models compute in float32: a larger number is no activation, weight or cosine, and could not be computed with."""


def text_values(record: Any) -> tuple[Any, ...]:
    """(hash, messages, token ids, tokens, source, category, hash of the prompt) of a `TextRecord`."""
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
        None if tokens is None else tokens_column(tokens),
        None if record.source is None else clean_text(str(record.source)),
        None if record.category is None else clean_text(str(record.category)),
        prompt_hash(messages),
    )


def tokens_column(tokens: Sequence[str]) -> str:
    """The tokens of a text as the store holds them."""
    return clean_text(json.dumps(list(tokens), ensure_ascii=False))


def feature_values(record: Any, n_features: int) -> tuple[tuple[Any, ...], tuple[bytes | int | None, ...]]:
    """The narrow and the wide columns of a `FeatureRecord`."""
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
    if (record.histogram_edges is None) != (record.histogram_counts is None):
        raise RowError("histogram_edges and histogram_counts come together")
    if record.histogram_edges is not None:
        edges = np.asarray(record.histogram_edges, dtype=np.float64)
        counts = np.asarray(record.histogram_counts, dtype=np.int64)
        if edges.ndim != 1 or counts.ndim != 1 or edges.size != counts.size + 1 or edges.size == 1:
            raise RowError("a histogram of n bins has n counts and n + 1 edges")
        if not np.isfinite(edges).all() or (np.diff(edges) <= 0).any() or counts.min() < 0:
            raise RowError("histogram edges must ascend and counts must not be negative")
        if np.abs(edges).max() > FLOAT32_MAX:
            raise RowError("histogram edges must fit float32 (up to 3.4e38)")
    near_ids, near = _pairs(record.neighbours, "neighbours", np.float64, n_features)
    with_ids, together = _pairs(record.cofiring, "cofiring", np.int64, n_features)
    of = None if record.cofiring_of is None else operator.index(record.cofiring_of)
    if of is not None and not max(together, default=0) <= of < _INT64:
        raise RowError(f"fires together {max(together, default=0)} times in {of} positions")
    return numbers, (
        None if edges is None else pack_array(edges, "<f8"),
        None if counts is None else pack_array(counts, "<i8"),
        pack_sparse(near_ids, near) if near_ids.size else None,
        pack_array(with_ids, "<i4") if with_ids.size else None,
        pack_array(together, "<i8") if with_ids.size else None,
        of,
    )


def _pairs(pairs: Any, name: str, dtype: type, n_features: int) -> tuple[np.ndarray, np.ndarray]:
    listed = [tuple(pair) for pair in pairs] if pairs is not None else []
    if any(len(pair) != 2 for pair in listed):
        raise RowError(f"{name} must be pairs of a feature and a number")
    ids = np.asarray([pair[0] for pair in listed], dtype=np.int64)
    values: np.ndarray = np.asarray([pair[1] for pair in listed], dtype=dtype)
    if ids.size and (ids.min() < 0 or ids.max() >= n_features or not np.isfinite(values).all()):
        raise RowError(f"{name} must name features below {n_features} and finite numbers")
    if dtype is np.float64 and values.size and np.abs(values).max() > FLOAT32_MAX:
        raise RowError(f"{name} must have cosines that fit float32 (up to 3.4e38)")
    return ids, values


def packed_encoding(record: Any, n_features: int) -> tuple[int, bytes]:
    """(n_active, z as one blob) of an `EncodingRecord`."""
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


def example_values(
    record: Any, text_ids: Sequence[int], lengths: list[int | None], n_features: int
) -> tuple[Any, ...]:
    """The columns of an `ExampleRecord`; `text_ids` and token counts `lengths` are of the texts handed over."""
    feature = operator.index(record.feature)
    if not 0 <= feature < n_features:
        raise RowError(f"there is no feature {feature}: ids run from 0 to {n_features - 1}")
    if record.kind not in KINDS:
        raise RowError(f"kind {record.kind!r} is not one of {', '.join(KINDS)}")
    if record.purpose not in PURPOSES:
        raise RowError(f"purpose {record.purpose!r} is not one of {', '.join(PURPOSES)}")
    text = position(record.text, len(text_ids))
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
    return (
        feature,
        text_ids[text],
        record.kind,
        operator.index(record.rank),
        record.purpose,
        _number(record.activation, "the activation"),
        peak,
        values,
        None if record.band is None else operator.index(record.band),
        _number(record.band_low, "band_low"),
        _number(record.band_high, "band_high"),
        None if record.token is None else clean_text(record.token),
    )


def position(text: Any, n_texts: int) -> int:
    """`text` as a place in the texts handed over."""
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
    if abs(number) > FLOAT32_MAX:
        raise RowError(f"{name} does not fit float32 (up to 3.4e38)")
    return number
