"""Features as Parquet, with the columns of the CSV."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from feature_db.errors import RowError, StoreError
from feature_db.exchange.bad_rows import SKIP_BAD
from feature_db.exchange.feature_tables import NOT_HELD, NUMBERS, READ, import_rows, table_rows
from feature_db.exchange.foreign import written_beside
from feature_db.exchange.format import Format, Look, Report
from feature_db.store import Store

__all__ = ["ParquetTable", "export_parquet", "import_parquet"]


class ParquetTable(Format):
    """A table of features."""

    name = "parquet"
    title = "Table of features, Parquet"
    endings = ("parquet",)
    read_options = (SKIP_BAD,)

    def recognises(self, file: Look) -> bool:
        """By its ending."""
        return file.suffix == ".parquet"

    def read(
        self, store: Store, path: Path, *, by: str = "", dry_run: bool = False, **options: Any
    ) -> Report:
        """See `import_parquet`."""
        return import_parquet(store, path, dry_run=dry_run, **options)

    def write(self, store: Store, path: Path, **options: Any) -> Report:
        """See `export_parquet`."""
        return export_parquet(store, path)


def export_parquet(store: Store, path: str | Path) -> Report:
    """Write every feature of the store as Parquet. Raises StoreError when pyarrow is not installed."""
    pa, pq = _arrow()
    types = {
        "feature": pa.int64(),
        **dict.fromkeys(NUMBERS, pa.float64()),
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
        rows = list(table_rows(store))
    with written_beside(path) as beside:
        pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(list(types.items()))), beside)
    return Report({"features": len(rows)}, [NOT_HELD])


def import_parquet(
    store: Store, path: str | Path, *, dry_run: bool = False, skip_bad: bool = False
) -> Report:
    """Update the features of the file; a null keeps what is stored. Raises RowError with file and row."""
    pa, pq = _arrow()
    try:
        with pq.ParquetFile(path) as file:
            names = list(file.schema_arrow.names)
            wanted = [name for name in READ if name in names]

            def rows() -> Iterator[tuple[int, dict[str, Any]]]:
                row = 0
                for batch in file.iter_batches(batch_size=2_000, columns=wanted):
                    for values in _objects(batch, path, row):
                        row += 1
                        yield row, {name: value for name, value in values.items() if value is not None}

            return import_rows(store, path, names, rows(), dry_run=dry_run, skip_bad=skip_bad)
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


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise StoreError("Parquet needs the package pyarrow: pip install pyarrow") from None
    return pyarrow, pyarrow.parquet
