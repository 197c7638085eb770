"""Plain records that go into the store and come out of it. Arrays and built-in types only.

A harvester hands over iterables of `TextRecord`, `EncodingRecord`, `FeatureRecord` and `ExampleRecord`, or
of any objects with the same attributes: it need not import this module.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = [
    "KINDS",
    "LABEL_METHOD",
    "LLM_PREFIX",
    "PAIRS_METHOD",
    "PURPOSES",
    "EncodingRecord",
    "ExamplePlace",
    "ExampleRecord",
    "FeatureRecord",
    "ImportRecord",
    "ModelRecord",
    "SuggestionRecord",
    "TextRecord",
    "clean_text",
    "prompt_hash",
    "text_hash",
]

KINDS = ("top", "band", "random", "silent")
PURPOSES = ("label", "check")
PAIRS_METHOD = "pairs"
"""Names made of pairs of answers to one prompt, `sarm_core.harvest.suggest_pairs.METHOD`; they come before other
suggestions of programs."""
LLM_PREFIX = "llm: "
"""Of methods of names that a language model wrote, `sarm_core.name.naming.METHOD_PREFIX`: one a model and prompt."""
LABEL_METHOD = "human-label"
"""Method of a suggestion that is a person's label from another store: hidden wherever labels are hidden."""


def clean_text(text: str) -> str:
    """`text` with lone surrogates, which no database or file can hold, replaced by U+FFFD."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def text_hash(messages: Sequence[Mapping[str, Any]], token_ids: npt.ArrayLike | None = None) -> str:
    """What makes two texts the same text: the messages, or the token ids where there are no messages."""
    if messages:
        body = json.dumps(list(messages), sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    else:
        body = "ids:" + ",".join(str(int(i)) for i in np.asarray(token_ids if token_ids is not None else []))
    return hashlib.sha256(body.encode("ascii")).hexdigest()


def prompt_hash(messages: Sequence[Mapping[str, Any]]) -> str | None:
    """What makes two texts answers to one prompt: all turns but the last. None where there are none."""
    return text_hash(messages[:-1])[:32] if len(messages) > 1 else None


@dataclass(frozen=True)
class ModelRecord:
    """The one model whose features a store holds."""

    fingerprint: str
    """Hash of the weights; checked on every open."""
    name: str
    """How to load it again: a path, a Hub id or "demo"."""
    n_features: int
    """M, the width of the dictionary."""
    info: Mapping[str, Any] = field(default_factory=dict)
    """Anything else worth showing: layer, k, backbone."""


@dataclass
class TextRecord:
    """A conversation or plain text, with the tokens the model saw."""

    messages: Sequence[Mapping[str, Any]]
    """[{"role": ..., "content": ...}, ...]; a plain text is one message of role "text"; may be empty when
    only token ids are known."""
    token_ids: npt.ArrayLike | None = None
    """int [T]"""
    tokens: Sequence[str] | None = None
    """[T] display strings, one a token"""
    source: str | None = None
    category: str | None = None


@dataclass
class EncodingRecord:
    """z of one text at its scored position."""

    text: int
    """Position in the texts of the same import, from 0."""
    features: npt.ArrayLike
    """int [n_active]"""
    values: npt.ArrayLike
    """float32 [n_active]"""


@dataclass
class FeatureRecord:
    """Statistics of one feature over a corpus. Unknown numbers are None, never 0."""

    id: int
    head_weight: float | None = None
    firing_count: int | None = None
    """Positions at which the feature is active (its stored z is not zero, of either sign)."""
    denominator: int | None = None
    """Positions looked at."""
    density: float | None = None
    """firing_count / denominator; given alone only when the two counts are unknown."""
    mean: float | None = None
    """Mean z over the positions where it fires."""
    max: float | None = None
    histogram_edges: npt.ArrayLike | None = None
    """float [bins + 1], ascending, log-spaced"""
    histogram_counts: npt.ArrayLike | None = None
    """int [bins]"""
    neighbours: Sequence[tuple[int, float]] = ()
    """(feature, decoder cosine), nearest first"""
    cofiring: Sequence[tuple[int, int]] = ()
    """(feature, positions at which both fire), most first"""
    cofiring_of: int | None = None
    """Positions at which this feature fires, among those looked at for `cofiring`; None when these were all."""


@dataclass
class ExampleRecord:
    """One text in which a feature fires (or, kind "silent", does not)."""

    feature: int
    text: int
    """Position in the texts of the same import, from 0."""
    kind: str
    """"top", "band", "random" or "silent"; a text holds one place in each kind."""
    rank: int
    """Place within kind and band, from 0."""
    purpose: str = "label"
    """"label": shown to who labels; "check": kept apart for testing labels. A text is never both."""
    activation: float = 0.0
    """z at the peak"""
    peak_position: int | None = None
    """Token index of the peak"""
    values: npt.ArrayLike | None = None
    """float32 [T], z of this feature at every token"""
    band: int | None = None
    band_low: float | None = None
    band_high: float | None = None
    """Bands are half-open: band_low <= z < band_high."""
    token: str | None = None
    """The peak's token, for foreign texts that came without a tokenisation."""


@dataclass
class SuggestionRecord:
    """A description nobody has vouched for, kept apart by the method that made it."""

    feature: int
    method: str
    text: str
    evidence: Mapping[str, Any] = field(default_factory=dict)


class ExamplePlace(NamedTuple):
    """Where a feature peaks in a text it is an example of; a silent one may have no peak."""

    feature: int
    text: int
    """Its id in the store"""
    kind: str
    purpose: str
    peak_position: int | None


@dataclass(frozen=True)
class ImportRecord:
    """That something was taken in."""

    id: int
    format: str
    source: str
    header: Mapping[str, Any]
    time: int
    """Microseconds since 1970 UTC"""
