"""Features as a table, whatever file it is in: its columns, and the rules its rows must keep.

`effect`, `n_labels`, `labels` and `suggestion` are written for readers and not read back. Cannot be held: examples,
texts, encodings, who labelled what and when.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from feature_db.errors import RowError, StoreError
from feature_db.exchange.bad_rows import BadRows
from feature_db.exchange.foreign import finite, whole
from feature_db.exchange.format import Report
from feature_db.harvest.row_values import feature_values
from feature_db.records import FeatureRecord
from feature_db.store import Store

__all__ = ["FOR_READERS", "NOT_HELD", "NUMBERS", "READ", "import_rows", "table_rows"]

NUMBERS = ("head_weight", "firing_count", "denominator", "density", "mean", "max", "cofiring_of")
_LISTS = (
    "histogram_edges",
    "histogram_counts",
    "neighbours",
    "neighbour_cosines",
    "cofiring",
    "cofiring_counts",
)
READ = ("feature", *NUMBERS, *_LISTS)
FOR_READERS = ("effect", "n_labels", "labels", "suggestion")
ORIGIN = "a table"
"""A table is there to change statistics: it is taken in whatever they came from, and can be undone."""
ROUNDED = 1e-3
"""By how much of itself a number may be off before it contradicts another: spreadsheets round."""
NOT_HELD = "examples, texts, encodings and the history of labels are not in this file"


def table_rows(store: Store) -> Iterator[dict[str, Any]]:
    """Every feature of a store, by column."""
    total = store.value("SELECT count(*) FROM features")
    pages = {row.id: row for row in store.features_page("id", descending=False, limit=total).rows}
    for record in store.records():
        page = pages[record.id]
        edges, counts = record.histogram_edges, record.histogram_counts
        yield {
            "feature": record.id,
            **{name: getattr(record, name) for name in NUMBERS},
            "histogram_edges": None if edges is None else np.asarray(edges).tolist(),
            "histogram_counts": None if counts is None else np.asarray(counts).tolist(),
            "neighbours": [pair[0] for pair in record.neighbours],
            "neighbour_cosines": [pair[1] for pair in record.neighbours],
            "cofiring": [pair[0] for pair in record.cofiring],
            "cofiring_counts": [pair[1] for pair in record.cofiring],
            "effect": page.effect,
            "n_labels": page.n_labels,
            "labels": list(page.labels),
            "suggestion": page.suggestion,
        }


def import_rows(
    store: Store,
    path: str | Path,
    names: list[str],
    rows: Iterable[tuple[int, dict[str, Any] | RowError]],
    *,
    dry_run: bool = False,
    skip_bad: bool = False,
) -> Report:
    """Update the features of a file with the columns `names`; `rows` are places with columns by name, or with what is
    wrong. Raises RowError."""
    if "feature" not in names:
        raise StoreError(f"{path}: has no column named feature")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise StoreError(f"{path}: has two columns named {twice[0][:40]}; which of them is meant?")
    stored = {
        row["id"]: row for row in store.rows("SELECT id, firing_count, denominator, mean, max FROM features")
    }
    seen: set[int] = set()
    bad = BadRows(skip_bad)

    def records() -> Iterator[FeatureRecord]:
        for place, row in rows:
            with bad.at(path, place):
                if isinstance(row, RowError):
                    raise row
                record = _record(row)
                store.check_feature(record.id)
                if record.id in seen:
                    raise RowError(f"feature {record.id} is listed twice")
                _check_fit(record, stored.get(record.id))
                feature_values(record, store.model.n_features)
                seen.add(record.id)
                yield record

    counts = store.import_harvest(
        records(),
        source=str(path),
        format="features",
        keep_examples=True,
        dry_run=dry_run,
        origin=ORIGIN,
        replace=True,
    )
    report = Report({"features": counts.features}, bad.notes(), dry_run)
    unknown = sorted(set(names) - set(READ) - set(FOR_READERS))
    if unknown:
        report.notes.append(f"columns without a meaning here: {', '.join(unknown)[:200]}")
    return report


def _check_fit(record: FeatureRecord, stored: sqlite3.Row | None) -> None:
    """Raises RowError where a row contradicts itself or what would stay in the store beside it."""
    count, total = record.firing_count, record.denominator
    beside = "the row's"
    if count is None and total is None and stored is not None:
        count, total, beside = stored["firing_count"], stored["denominator"], "the stored"
    if record.density is not None and count is not None and total is not None:
        counted = count / total if total else 0.0
        if not math.isclose(record.density, counted, rel_tol=ROUNDED):
            raise RowError(
                f"density {record.density:.6g} does not fit {beside} counts, {count} of {total}: "
                "give firing_count and denominator of the same corpus, or leave density out"
            )
    kept = (None, None) if stored is None else (stored["mean"], stored["max"])
    mean = kept[0] if record.mean is None else record.mean
    largest = kept[1] if record.max is None else record.max
    if mean is None or largest is None or (mean, largest) == kept:
        return
    if mean > largest and not math.isclose(mean, largest, rel_tol=ROUNDED):
        origins = ["stored" if given is None else "the row's" for given in (record.mean, record.max)]
        raise RowError(
            f"mean {mean:.6g} ({origins[0]}) is above max {largest:.6g} ({origins[1]}): give both, of the same corpus"
        )


def _record(row: dict[str, Any]) -> FeatureRecord:
    lists: dict[str, list[Any]] = {}
    for name in _LISTS:
        value = row.get(name, [])
        if not isinstance(value, list):
            raise RowError(f"{name} must be a list")
        integers = name in ("histogram_counts", "neighbours", "cofiring", "cofiring_counts")
        lists[name] = [whole(x, name) if integers else finite(x, name) for x in value]
    for ids, values in (("neighbours", "neighbour_cosines"), ("cofiring", "cofiring_counts")):
        if len(lists[ids]) != len(lists[values]):
            raise RowError(f"{ids} and {values} must be equally long")
    if bool(lists["histogram_edges"]) != bool(lists["histogram_counts"]):
        raise RowError("histogram_edges and histogram_counts come together: give both, or neither")
    return FeatureRecord(
        whole(row.get("feature"), "feature"),
        _number(row, "head_weight"),
        _count(row, "firing_count"),
        _count(row, "denominator"),
        _number(row, "density"),
        _number(row, "mean"),
        _number(row, "max"),
        histogram_edges=lists["histogram_edges"] or None,
        histogram_counts=lists["histogram_counts"] or None,
        neighbours=list(zip(lists["neighbours"], lists["neighbour_cosines"], strict=True)),
        cofiring=list(zip(lists["cofiring"], lists["cofiring_counts"], strict=True)),
        cofiring_of=_count(row, "cofiring_of"),
    )


def _number(row: dict[str, Any], name: str) -> float | None:
    return None if row.get(name) is None else finite(row[name], name)


def _count(row: dict[str, Any], name: str) -> int | None:
    return None if row.get(name) is None else whole(row[name], name)
