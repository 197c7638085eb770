"""Reading Neuronpedia-style export folders, as `neuronpedia_export` and others write them.

A folder or a .zip of one is read, its batches gzipped or not. It has to be of the store's model: by the fingerprint
that this program writes beside the batches, else by the names of model and layer (`whose`). All explanations become
suggestions: nobody here has vouched for them. Labels of other stores keep the method they are written with
(`records.LABEL_METHOD`); this store's own are not taken in again.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from feature_db.errors import RowError, StoreError
from feature_db.exchange.bad_rows import BadRows
from feature_db.exchange.bars import edges_of, middles_of
from feature_db.exchange.foreign import finite, json_rows, members, short, strings, whole
from feature_db.exchange.format import Report
from feature_db.exchange.whose import check_fingerprint, check_model
from feature_db.harvest.row_values import FLOAT32_MAX, tokens_column
from feature_db.harvest.staging import Place, Staging
from feature_db.records import (
    ExampleRecord,
    FeatureRecord,
    SuggestionRecord,
    TextRecord,
    clean_text,
    text_hash,
)
from feature_db.sqlite.blobs import unpack_array, unpack_values
from feature_db.store import Store

__all__ = ["SARM_FILE", "Raw", "holds_batches", "import_folder", "take_in"]

_PATH = re.compile(
    r"(?P<model>[^/]+)/(?P<layer>[^/]+)/(?P<kind>features|explanations|activations)/batch-(?P<n>\d{1,9})\.jsonl(?:\.gz)?"
)
SARM_FILE = "sarm.json"
"""Beside the batches that this program writes: whose features they are"""
_OWN_ID = re.compile(r"sarm:(\d{1,9}):(top|band|random|silent):(\d{0,9}):(label|check):(\d{1,9})")


def holds_batches(path: str | Path, names: Iterable[str]) -> bool:
    """Whether files of these names, in the folder or .zip `path`, are such a folder."""
    return any(_batch(_base(path), name) for name in names)


def import_folder(
    store: Store,
    path: str | Path,
    *,
    dry_run: bool = False,
    skip_bad: bool = False,
    same_model: bool = False,
    replace: bool = False,
) -> Report:
    """Take in an export folder, a folder above it or a .zip of either; one model and source only.

    Explanations are added as suggestions whose method is their typeName; statistics are updated (numbers the format
    lacks stay) and examples replaced, but for features whose own are of another origin: these stay, unless told to
    `replace` them. A text with the tokens of a stored one is that one, with its messages and token ids, and a feature
    keeps its examples where the folder has no other ones: what a store exported changes nothing in it. Raises
    StoreError for a folder of another model, unless somebody says that it is the `same_model`, and RowError naming the
    file and line of a bad row, unless told to skip these; nothing is changed then.
    """
    batches, notes, size, (model_id, source_id) = _batches(path)
    if not check_fingerprint(store.model, _fingerprint(path), path):
        check_model(store.model, model_id, source_id, path, same_model=same_model)
    bar = tqdm(
        total=size,
        desc="reading",
        unit="B",
        unit_scale=True,
        disable=None,  # where stderr is no terminal
        leave=False,
    )
    bad = BadRows(skip_bad)

    def rows(kind: str) -> Iterator[Raw]:
        for name in batches[kind]:
            for line, row in json_rows(path, name, bar.update, bad.take):
                yield f"{path}/{name}", line, row

    with bar:
        return take_in(
            store,
            path,
            rows,
            (model_id, source_id),
            format="neuronpedia",
            header={"batches": {kind: len(names) for kind, names in batches.items()}},
            notes=notes,
            bad=bad,
            dry_run=dry_run,
            replace=replace,
            when_read=bar.close,
        )


Raw = tuple[str, int | str, dict[str, Any]]
"""File, place in it, and a row"""


def take_in(
    store: Store,
    path: str | Path,
    raw: Callable[[str], Iterable[Raw]],
    whose: tuple[str, str],
    *,
    format: str,
    header: dict[str, Any],
    notes: list[str],
    bad: BadRows,
    dry_run: bool,
    replace: bool,
    when_read: Callable[[], Any] = lambda: None,
) -> Report:
    """Take in rows with the keys of Neuronpedia's batches: `raw` has "features", "explanations" and "activations".

    They are of the model and source `whose`. See `import_folder`, whose second half this is.
    """
    model_id, source_id = whose
    last = store.model.n_features - 1
    unknown: set[str] = set()

    def rows(kind: str) -> Iterator[tuple[Place, dict[str, Any], int]]:
        """Each row with its place and feature, all read once and before the store is locked."""
        for file, line, row in raw(kind):
            place = Place(file, line)
            feature = None
            with bad.at(file, line), place:
                feature = whole(row.get("index"), "index")
            if feature is None:
                continue
            with place:
                # Never skipped: of another dictionary all rows are bad, whatever their numbers.
                if feature > last:
                    raise RowError(
                        f"feature {short(feature)} is none of this store's model, whose ids run from 0 to {last}: "
                        "another model's?"
                    )
                for key, own in (("modelId", model_id), ("layer", source_id)):
                    if row.get(key) not in (None, own):
                        raise RowError(f"{key} is {short(row[key])} in a folder of {own!r}")
            unknown.update(row.keys() - _KNOWN[kind])
            yield place, row, feature

    with Staging(store, str(path)) as staged:
        listed: dict[int, FeatureRecord] = {}
        twice = 0
        for place, row, feature in rows("features"):
            with bad.at(place.source, place.row), place:
                record = _feature(store, row, feature)
                if feature not in listed:
                    staged.feature(record)
                    listed[feature] = record
                elif _same(record, listed[feature]):
                    twice += 1
                else:
                    raise RowError(f"feature {feature} is listed twice, with other numbers")
        suggestions, named, n_labels = [], set(), 0
        for place, row, feature in rows("explanations"):
            suggestion = None
            with bad.at(place.source, place.row), place:
                suggestion = _suggestion(row, feature)
            if suggestion is None:
                continue
            named.add(feature)
            uid = suggestion.evidence.get("id")
            if isinstance(uid, str) and store.value(
                "SELECT 1 FROM label_events WHERE uid = ?", (clean_text(uid),)
            ):
                n_labels += 1
            else:
                suggestions.append(suggestion)
        activations = _Activations(store, staged)
        for place, row, feature in rows("activations"):
            with bad.at(place.source, place.row), place:
                activations.add(row, feature)
                named.add(feature)
        # A folder may hold explanations or activations of features it has no row for.
        for feature in sorted(named - listed.keys()):
            staged.feature(FeatureRecord(feature))
        when_read()
        n_known, n_replaced = activations.leave_known(), activations.n_replaced()
        n_staged = activations.staged
        added: list[int] = []
        counts = staged.commit(
            format=format,
            header=header,
            keep=True,
            skip_repeated=True,
            dry_run=dry_run,
            origin=f"{model_id}/{source_id}",
            replace=replace,
            also=lambda: added.append(store.add_suggestions(suggestions, source=str(path))),
        )
    for n, what in (
        (n_known, "activations were here already, and the examples of their features stay as they are"),
        (activations.n_conversations, "texts have the tokens of conversations of this store and stay those"),
        (
            n_replaced if replace else 0,
            "conversations of this store are no longer examples of features of the folder",
        ),
        (
            0 if counts.stayed else n_staged - counts.examples,
            "activations repeat a text of their feature and kind",
        ),
        (activations.cut_elsewhere, "activations cut a known text into other tokens and were left out"),
        (n_labels, "explanations are labels of this store"),
        (len(suggestions) - added[0], "explanations were here already, word for word"),
    ):
        if n:
            notes.append(f"{n} {what}")
    if twice:
        notes.append(f"{twice} features are listed twice, with the same numbers")
    notes += [*bad.notes(), *counts.notes(dry_run)]
    if unknown:
        notes.append(f"keys without a meaning here: {', '.join(sorted(unknown))[:200]}")
    done = {"features": counts.features, "examples": counts.examples, "suggestions": added[0]}
    return Report(done, notes, dry_run)


_CONVERSATION = "coalesce(json_extract(messages, '$[0].role'), '') <> 'text'"
"""In SQL: a text of `texts` that is more than what a folder holds, tokens without roles."""


class _Known:
    """What the store has already: texts by their tokens, and examples."""

    def __init__(self, store: Store):
        self._store = store
        self._texts: dict[bytes, tuple[bool, list[int]]] = {}  # by hash of the tokens
        for text, tokens, talk in store.conn.execute(
            f"SELECT id, tokens, {_CONVERSATION} FROM texts WHERE tokens IS NOT NULL"
        ):
            key = hashlib.sha256(tokens.encode()).digest()
            better, ids = self._texts.get(key, (False, []))
            if talk and not better:
                ids = []  # a copy without roles, such as earlier versions made, never stands for a conversation
            if talk or not better:
                self._texts[key] = bool(talk), [*ids, text]
        self._found: dict[int, tuple[bool, list[int]]] = {}  # by a hash that is made faster
        self._examples = lru_cache(maxsize=16)(self._examples_of)  # rows come feature by feature

    def texts(self, tokens: list[str]) -> tuple[bool, list[int]]:
        """Whether texts with these tokens are conversations, and their ids."""
        key = hash(tuple(tokens))
        if key not in self._found:
            digest = hashlib.sha256(tokens_column(tokens).encode()).digest()
            self._found[key] = self._texts.get(digest, (False, []))
        return self._found[key]

    def has(self, example: ExampleRecord, text: int) -> bool:
        """Whether `text` is stored as this very example."""
        row = self._examples(example.feature).get((example.kind, text))
        return (
            row is not None
            and all(row[name] == getattr(example, name) for name in _SAME)
            and row["per_token"] is not None
            and np.array_equal(unpack_values(row["per_token"]), np.asarray(example.values))
        )

    def _examples_of(self, feature: int) -> dict[tuple[str, int], sqlite3.Row]:
        rows = self._store.rows(
            f"SELECT text, kind, per_token, {', '.join(_SAME)} FROM examples WHERE feature = ?", (feature,)
        )
        return {(row["kind"], row["text"]): row for row in rows}


_SAME = ("rank", "purpose", "activation", "peak_position", "band", "band_low", "band_high")


class _Activations:
    """Stages activations, each text once however many features it is an example of."""

    def __init__(self, store: Store, staged: Staging):
        self._store, self._into = store, staged
        self._known = _Known(store)
        self._stored: dict[int, int] = {}  # id of a stored text: its position
        self._texts: dict[
            bytes, tuple[int, int]
        ] = {}  # hash of a new text: its position, and a hash of its tokens
        self._ranks: dict[tuple[int, str], int] = {}
        self._features: set[int] = set()
        self._changed: set[int] = set()  # features with an example that is not stored
        self.staged = self.cut_elsewhere = self.n_conversations = 0

    def add(self, row: dict[str, Any], feature: int) -> None:
        """Raises RowError without a place."""
        tokens = strings(row.get("tokens"), "tokens")
        record = _example(row, feature, tokens)
        talk, stored = self._known.texts(tokens)
        position = None if stored else self._text(row, tokens)
        if position is None and not stored:
            self.cut_elsewhere += 1
            return
        if record.rank < 0:
            record.rank = self._ranks.get((feature, record.kind), 0)
            self._ranks[feature, record.kind] = record.rank + 1
        same = next((text for text in stored if self._known.has(record, text)), None)
        if same is None:
            self._changed.add(feature)
        if position is None:
            text = stored[0] if same is None else same
            if text not in self._stored:
                self._stored[text] = self._into.stored_text(text, len(tokens))
                self.n_conversations += talk
            position = self._stored[text]
        record.text = position
        self._features.add(feature)
        self._into.example(record)
        self.staged += 1

    def leave_known(self) -> int:
        """Take back the examples of features that have them all; returns how many."""
        n_left = self._into.leave_examples(self._features - self._changed)
        self.staged -= n_left
        return n_left

    def n_replaced(self) -> int:
        """Conversations that were examples of features whose examples are replaced, and are not of the folder."""
        count: int = self._store.value(
            f"SELECT count(*) FROM texts WHERE {_CONVERSATION} "
            "AND id IN (SELECT text FROM examples WHERE feature IN (SELECT value FROM json_each(?))) "
            "AND id NOT IN (SELECT value FROM json_each(?))",
            (json.dumps(list(self._changed)), json.dumps(list(self._stored))),
        )
        return count

    def _text(self, row: dict[str, Any], tokens: list[str]) -> int | None:
        """Position of a text that no stored one has the tokens of; None when it is known with other tokens, as its
        values would not fit."""
        content = clean_text("".join(tokens))
        key = hashlib.sha256(content.encode()).digest()
        if key not in self._texts:
            messages = [{"role": "text", "content": content}]
            kept = self._store.value("SELECT tokens FROM texts WHERE hash = ?", (text_hash(messages),))
            if kept is not None:
                return None
            source = row.get("dataSource")
            record = TextRecord(messages, None, tokens, source if isinstance(source, str) else None)
            self._texts[key] = self._into.text(record), hash(tuple(tokens))
        position, cut = self._texts[key]
        return position if cut == hash(tuple(tokens)) else None


_COMMON_KEYS = {"modelId", "layer", "index"}
_KNOWN = {
    "features": _COMMON_KEYS
    | {"maxActApprox", "frac_nonzero", "freq_hist_data_bar_heights", "freq_hist_data_bar_values"}
    | {"topkCosSimIndices", "topkCosSimValues", "vector", "vectorLabel", "hookName", "createdAt"},
    "explanations": _COMMON_KEYS | {"id", "authorId", "description", "typeName", "explanationModelName"},
    "activations": _COMMON_KEYS
    | {"id", "dataSource", "tokens", "values", "maxValue", "minValue", "maxValueTokenIndex"}
    | {"binMin", "binMax", "binContains"},
}


def _batches(path: str | Path) -> tuple[dict[str, list[str]], list[str], int, tuple[str, str]]:
    """Names of the batches by kind, what to say of other files, the batches' bytes, and ids of model and source."""
    kinds: dict[str, list[tuple[int, str]]] = {"features": [], "explanations": [], "activations": []}
    sources: set[tuple[str, str]] = set()
    other = size = 0
    base = _base(path)
    for name, n_bytes in members(path).items():
        match = _batch(base, name)
        if match is None:
            other += name.rsplit("/", 1)[-1] != SARM_FILE
            continue
        sources.add((match["model"], match["layer"]))
        kinds[match["kind"]].append((int(match["n"]), name))
        size += n_bytes
    if not sources:
        raise StoreError(f"{path}: holds no features, explanations or activations/batch-N.jsonl.gz")
    if len(sources) > 1:
        raise StoreError(
            f"{path}: holds several sources, import one: {', '.join(map('/'.join, sorted(sources)))[:300]}"
        )
    notes = [f"{other} other files were not read"] if other else []
    by_kind = {kind: [name for _, name in sorted(of_kind)] for kind, of_kind in kinds.items()}
    return by_kind, notes, size, sources.pop()


def _fingerprint(path: str | Path) -> Any:
    """Of the model, in the file that this program writes beside the batches; None without one."""
    for name in members(path):
        if name.rsplit("/", 1)[-1] == SARM_FILE:
            for _, row in json_rows(path, name):
                return row.get("fingerprint")
    return None


def _same(one: FeatureRecord, other: FeatureRecord) -> bool:
    """Whether two rows of a feature say the same."""
    return all(
        np.array_equal(np.asarray(value), np.asarray(vars(other)[name])) for name, value in vars(one).items()
    )


def _base(path: str | Path) -> str:
    """The path given may be the folder of the source, of the model, or one above."""
    return "/".join(Path(path).resolve().parts[-2:])


def _batch(base: str, name: str) -> re.Match[str] | None:
    match = _PATH.search(f"{base}/{name}")
    return match if match is not None and f"{base}/{name}".endswith(match.group(0)) else None


def _feature(store: Store, row: dict[str, Any], feature: int) -> FeatureRecord:
    heights = row.get("freq_hist_data_bar_heights") or []
    values = row.get("freq_hist_data_bar_values") or []
    ids, cosines = row.get("topkCosSimIndices") or [], row.get("topkCosSimValues") or []
    for name, pair in (("freq_hist_data", (heights, values)), ("topkCosSim", (ids, cosines))):
        if not all(isinstance(part, list) for part in pair) or len(pair[0]) != len(pair[1]):
            raise RowError(f"the two lists of {name} must be equally long")
    middles, heights = _bars([finite(value, "freq_hist_data_bar_values") for value in values], heights)
    edges = _edges(store, feature, middles) if middles else None
    maximum, density = row.get("maxActApprox"), row.get("frac_nonzero")
    return FeatureRecord(
        feature,
        density=None if density is None else finite(density, "frac_nonzero"),
        max=None if maximum is None else finite(maximum, "maxActApprox"),
        histogram_edges=edges,
        histogram_counts=None if edges is None else heights,
        neighbours=[
            (whole(i, "topkCosSimIndices"), finite(c, "topkCosSimValues"))
            for i, c in zip(ids, cosines, strict=True)
        ],
    )


def _bars(middles: list[float], heights: list[Any]) -> tuple[list[float], list[int]]:
    """Bars whose middles were rounded to the same number become one."""
    merged: dict[float, int] = {}
    before = -np.inf
    for middle, height in zip(middles, heights, strict=True):
        if middle < before:
            raise RowError("freq_hist_data_bar_values must ascend")
        merged[middle] = merged.get(middle, 0) + whole(height, "freq_hist_data_bar_heights")
        before = middle
    return list(merged), list(merged.values())


def _edges(store: Store, feature: int, middles: list[float]) -> np.ndarray:
    """The stored edges of bars with these middles, else inferred ones."""
    stored = store.value("SELECT histogram_edges FROM feature_details WHERE feature = ?", (feature,))
    if stored is not None:
        edges = unpack_array(stored, "<f8").astype(np.float64)
        if middles_of(edges) == middles:
            return edges
    return edges_of(middles)


def _example(row: dict[str, Any], feature: int, tokens: list[str]) -> ExampleRecord:
    """Without its text."""
    values = row.get("values")
    if not isinstance(values, list) or len(values) != len(tokens):
        raise RowError(f"values must be a list of {len(tokens)} numbers, one a token")
    numbers = _numbers(values)
    own = _OWN_ID.fullmatch(row["id"]) if isinstance(row.get("id"), str) else None
    if own is not None and int(own[1]) != feature:
        own = None
    peak = row.get("maxValueTokenIndex")
    if peak is not None:
        peak = whole(peak, "maxValueTokenIndex", 0, max(len(tokens) - 1, 0))
    elif own is None and numbers.any():
        peak = int(numbers.argmax())
    maximum = row.get("maxValue")
    activation = float(numbers.max(initial=0.0)) if maximum is None else finite(maximum, "maxValue")
    low, high = (
        None if row.get(name) in (None, -1) else finite(row[name], name) for name in ("binMin", "binMax")
    )
    if own is not None:
        kind, band, purpose, rank = own[2], int(own[3]) if own[3] else None, own[4], int(own[5])
    else:
        kind, band, purpose, rank = ("top" if low is None else "band"), None, "label", -1
    return ExampleRecord(
        feature, 0, kind, rank, purpose, activation, peak, numbers.astype(np.float32), band, low, high
    )


def _numbers(values: list[Any]) -> np.ndarray:
    """`values` as finite float64 in the range of float32; as `finite` would, in a tenth of the time."""
    if {int, float}.issuperset(map(type, values)):
        try:
            numbers = np.array(values, dtype=np.float64)
        except OverflowError:
            numbers = np.array([np.inf])
        # Not a number is no less and no more.
        if not numbers.size or np.abs(numbers).max() <= FLOAT32_MAX:
            return numbers
    return np.array([finite(value, "values") for value in values])


def _suggestion(row: dict[str, Any], feature: int) -> SuggestionRecord:
    text, type_name = row.get("description"), row.get("typeName")
    if not isinstance(text, str) or not text.strip():
        raise RowError("description must be text")
    evidence = {
        key: row[key]
        for key in ("id", "authorId", "explanationModelName")
        if isinstance(row.get(key), (str, int)) and row[key] is not True and row[key] is not False
    }
    method = type_name if isinstance(type_name, str) and type_name.strip() else "neuronpedia"
    return SuggestionRecord(feature, method, text, evidence)
