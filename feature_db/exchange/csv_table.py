"""Features as CSV. Lists are JSON in a cell."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from feature_db.errors import RowError
from feature_db.exchange.bad_rows import SKIP_BAD
from feature_db.exchange.feature_tables import FOR_READERS, NOT_HELD, READ, import_rows, table_rows
from feature_db.exchange.foreign import csv_cell, written_beside
from feature_db.exchange.format import Format, Look, Report
from feature_db.exchange.spreadsheet import Sheet, opened_csv
from feature_db.store import Store

__all__ = ["CsvTable", "export_csv", "import_csv"]


class CsvTable(Format):
    """A table of features."""

    name = "csv"
    title = "Table of features, CSV"
    endings = ("csv",)
    read_options = (SKIP_BAD,)

    def recognises(self, file: Look) -> bool:
        """By its ending; events have a uid."""
        return file.suffix == ".csv" and "uid" not in file.first_row

    def read(
        self, store: Store, path: Path, *, by: str = "", dry_run: bool = False, **options: Any
    ) -> Report:
        """See `import_csv`."""
        return import_csv(store, path, dry_run=dry_run, **options)

    def write(self, store: Store, path: Path, **options: Any) -> Report:
        """See `export_csv`."""
        return export_csv(store, path)


def export_csv(store: Store, path: str | Path) -> Report:
    """Write every feature of the store as CSV (UTF-8, header first)."""
    count = 0
    with (
        store.snapshot(),
        written_beside(path) as beside,
        open(beside, "w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.DictWriter(file, [*READ, *FOR_READERS])
        writer.writeheader()
        for row in table_rows(store):
            writer.writerow({name: _cell(value) for name, value in row.items()})
            count += 1
    return Report({"features": count}, [NOT_HELD])


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list) else csv_cell(value)


def import_csv(store: Store, path: str | Path, *, dry_run: bool = False, skip_bad: bool = False) -> Report:
    """Update the features of the file; an empty cell keeps what is stored. Raises RowError with file and line."""
    with opened_csv(path) as sheet:
        names = list(sheet.reader.fieldnames or [])
        return import_rows(store, path, names, _csv_rows(sheet), dry_run=dry_run, skip_bad=skip_bad)


def _csv_rows(sheet: Sheet) -> Iterator[tuple[int, dict[str, Any] | RowError]]:
    for cells in sheet.reader:
        if not any(cells.values()):
            continue  # spreadsheets leave lines of nothing but separators at the end
        row: dict[str, Any] = {}
        wrong = None
        for name in READ:
            cell = cells.get(name)
            if cell is None or cell == "":
                continue
            try:
                row[name] = cell if name == "feature" else json.loads(sheet.number(cell))
            except (ValueError, RecursionError):
                wrong = wrong or RowError(f"{name} is {cell[:40]!r}, neither a finite number nor a list")
        yield sheet.line, wrong or row
