"""Features as a table: CSV, or Parquet with the same columns.

Lists are JSON in a CSV cell and lists in Parquet. `effect`, `n_labels`, `labels` and `suggestion` are written for
readers and not read back. Cannot be held: examples, texts, encodings, who labelled what and when.
"""

from __future__ import annotations

import csv
import json
import math
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from feature_db.errors import RowError, StoreError
from feature_db.exchange.foreign import Report, csv_cell, finite, whole, written_beside
from feature_db.records import FeatureRecord
from feature_db.store import Store

__all__ = ["export_csv", "export_parquet", "import_csv", "import_parquet"]

_NUMBERS = ("head_weight", "firing_count", "denominator", "density", "mean", "max", "cofiring_of")
_LISTS = (
    "histogram_edges",
    "histogram_counts",
    "neighbours",
    "neighbour_cosines",
    "cofiring",
    "cofiring_counts",
)
_READ = ("feature", *_NUMBERS, *_LISTS)
_FOR_READERS = ("effect", "n_labels", "labels", "suggestion")
ROUNDED = 1e-3
"""By how much of itself a number may be off before it contradicts another: spreadsheets round."""
_NOT_HELD = "examples, texts, encodings and the history of labels are not in this file"


def _rows(store: Store) -> Iterator[dict[str, Any]]:
    total = store.value("SELECT count(*) FROM features")
    pages = {row.id: row for row in store.features_page("id", descending=False, limit=total).rows}
    for record in store.records():
        page = pages[record.id]
        edges, counts = record.histogram_edges, record.histogram_counts
        yield {
            "feature": record.id,
            **{name: getattr(record, name) for name in _NUMBERS},
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


def export_csv(store: Store, path: str | Path) -> Report:
    """Write every feature of the store as CSV (UTF-8, header first)."""
    count = 0
    with (
        store.snapshot(),
        written_beside(path) as beside,
        open(beside, "w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.DictWriter(file, [*_READ, *_FOR_READERS])
        writer.writeheader()
        for row in _rows(store):
            writer.writerow({name: _cell(value) for name, value in row.items()})
            count += 1
    return Report({"features": count}, [_NOT_HELD])


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list) else csv_cell(value)


def export_parquet(store: Store, path: str | Path) -> Report:
    """Write every feature of the store as Parquet. Raises StoreError when pyarrow is not installed."""
    pa, pq = _arrow()
    types = {
        "feature": pa.int64(),
        **dict.fromkeys(_NUMBERS, pa.float64()),
        "firing_count": pa.int64(),
        "denominator": pa.int64(),
        "cofiring_of": pa.int64(),
        "histogram_edges": pa.list_(pa.float64()),
        "histogram_counts": pa.list_(pa.int64()),
        "neighbours": pa.list_(pa.int64()),
        "neighbour_cosines": pa.list_(pa.float64()),
        "cofiring": pa.list_(pa.int64()),
        "cofiring_counts": pa.list_(pa.int64()),
        "effect": pa.float64(),
        "n_labels": pa.int64(),
        "labels": pa.list_(pa.string()),
        "suggestion": pa.string(),
    }
    with store.snapshot():
        rows = list(_rows(store))
    with written_beside(path) as beside:
        pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(list(types.items()))), beside)
    return Report({"features": len(rows)}, [_NOT_HELD])


def import_csv(store: Store, path: str | Path) -> Report:
    """Update the features of the file; an empty cell keeps what is stored. Raises RowError with file and line."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            names = list(reader.fieldnames or [])
            return _import(store, path, names, _csv_rows(reader, path))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StoreError(f"{path}: cannot be read ({error})") from None


def _csv_rows(reader: csv.DictReader[str], path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for cells in reader:
        row: dict[str, Any] = {}
        for name in _READ:
            cell = cells.get(name)
            if cell is None or cell == "":
                continue
            try:
                row[name] = cell if name == "feature" else json.loads(cell)
            except (ValueError, RecursionError):
                reason = f"{name} is {cell[:40]!r}, neither a finite number nor a list"
                raise RowError(reason, source=path, row=reader.line_num) from None
        yield reader.line_num, row


def import_parquet(store: Store, path: str | Path) -> Report:
    """Update the features of the file; a null keeps what is stored. Raises RowError with file and row."""
    pa, pq = _arrow()
    try:
        with pq.ParquetFile(path) as file:
            names = list(file.schema_arrow.names)
            wanted = [name for name in _READ if name in names]

            def rows() -> Iterator[tuple[int, dict[str, Any]]]:
                row = 0
                for batch in file.iter_batches(batch_size=2_000, columns=wanted):
                    for values in _objects(batch, path, row):
                        row += 1
                        yield row, {name: value for name, value in values.items() if value is not None}

            return _import(store, path, names, rows())
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise StoreError(f"{path}: cannot be read as Parquet ({reason[:200]})") from None


def _objects(batch: Any, path: str | Path, before: int) -> list[dict[str, Any]]:
    """Rows of a record batch. Raises RowError for one with a value that has no place in Python, such as a damaged
    text or a date of no calendar."""
    try:
        return list(batch.to_pylist())
    except (ValueError, OverflowError):
        for place in range(batch.num_rows):
            try:
                batch.slice(place, 1).to_pylist()
            except (ValueError, OverflowError) as error:
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                raise RowError(
                    f"cannot be read ({reason[:200]})", source=path, row=before + place + 1
                ) from None
        raise


def _import(
    store: Store, path: str | Path, names: list[str], rows: Iterator[tuple[int, dict[str, Any]]]
) -> Report:
    if "feature" not in names:
        raise StoreError(f"{path}: has no column named feature")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise StoreError(f"{path}: has two columns named {twice[0][:40]}; which of them is meant?")
    stored = {
        row["id"]: row for row in store.rows("SELECT id, firing_count, denominator, mean, max FROM features")
    }
    seen: set[int] = set()

    def records() -> Iterator[FeatureRecord]:
        for place, row in rows:
            try:
                record = _record(row)
                store.check_feature(record.id)
                if record.id in seen:
                    raise RowError(f"feature {record.id} is listed twice")
                _check_fit(record, stored.get(record.id))
            except RowError as error:
                raise error.at(path, place) from None
            except StoreError as error:
                raise RowError(str(error), source=path, row=place) from None
            seen.add(record.id)
            yield record

    counts = store.import_harvest(records(), source=str(path), format="features", keep_examples=True)
    report = Report({"features": counts.features})
    unknown = sorted(set(names) - set(_READ) - set(_FOR_READERS))
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


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise StoreError("Parquet needs the package pyarrow: pip install pyarrow") from None
    return pyarrow, pyarrow.parquet
