"""Tables as rows of JSON data: Parquet, Arrow and Feather, folders that `datasets` saves, CSV."""

from __future__ import annotations

import csv
import datetime
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

from sarm_core.errors import RowError
from sarm_core.text.rows import is_list
from sarm_core.text.strict_json import strict_json

__all__ = [
    "Note",
    "NumberedRow",
    "arrow_rows",
    "csv_rows",
    "delimiter_of",
    "is_saved",
    "parquet_count",
    "parquet_rows",
    "saved_files",
]

Note = Callable[[str], None]
NumberedRow = tuple[int, dict[str, Any] | RowError]
_BATCH = 256
_GROUP_BYTES = 2_000_000_000
_DELIMITERS = ",;\t|"
_LEFT_OUT = object()


# -- Parquet and Arrow -------------------------------------------------------------------------------------


@contextmanager
def _arrow(what: str, path: str | Path) -> Iterator[Any]:
    """pyarrow; what makes the file as a whole unreadable, now or later, is a RowError."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise RowError(
            f"reading {what} needs pyarrow: pip install pyarrow, or convert to JSONL", source=path
        ) from None
    try:
        yield pyarrow
    except (OSError, UnicodeDecodeError, pyarrow.ArrowException) as error:  # OSError: a damaged page
        raise RowError(f"not readable as {what} ({_reason(error)})", source=path) from None


def parquet_count(file: BinaryIO, path: str | Path) -> int:
    """Rows of a Parquet file, from its footer. Raises RowError naming the file."""
    with _arrow("Parquet", path) as pyarrow, pyarrow.parquet.ParquetFile(file) as opened:
        return int(opened.metadata.num_rows)


def parquet_rows(file: BinaryIO, path: str | Path, note: Note) -> Iterator[NumberedRow]:
    """Rows of a Parquet file, a row group after the other: they are what it is read by, and what it costs in memory."""
    with _arrow("Parquet", path) as pyarrow, pyarrow.parquet.ParquetFile(file) as opened:
        _check_groups(opened.metadata, path)
        batches = (
            batch
            for group in range(opened.num_row_groups)
            for batch in opened.iter_batches(batch_size=_BATCH, row_groups=[group])
        )
        yield from _rows(pyarrow, batches, note)


def _check_groups(metadata: Any, path: str | Path) -> None:
    for group in range(metadata.num_row_groups):
        size = metadata.row_group(group).total_byte_size
        if size > _GROUP_BYTES:
            raise RowError(
                f"its row group {group} unpacks to {size / 1e9:.1f} GB at once: write it with smaller row groups",
                source=path,
            )


def arrow_rows(file: BinaryIO, kind: str, path: str | Path, note: Note) -> Iterator[NumberedRow]:
    """Rows of an Arrow file (Feather 2) or stream, or of Feather 1."""
    with _arrow("Arrow", path) as pyarrow:
        if kind == "arrow stream":
            batches: Any = iter(pyarrow.ipc.open_stream(file))
        elif kind == "arrow file":
            reader = pyarrow.ipc.open_file(file)
            batches = (reader.get_batch(i) for i in range(reader.num_record_batches))
        else:
            from pyarrow import feather

            batches = feather.read_table(file).to_batches(_BATCH)
        small = (b.slice(at, _BATCH) for b in batches for at in range(0, b.num_rows, _BATCH))
        yield from _rows(pyarrow, small, note)


def is_saved(folder: str | Path) -> bool:
    """Whether this is a folder that `datasets` saved, and so a file of rows in parts."""
    return any((Path(folder) / name).is_file() for name in ("state.json", "dataset_dict.json"))


def saved_files(folder: str | Path) -> list[Path]:
    """The Arrow files of a folder that `datasets` saved, in order. Raises RowError."""
    folder = Path(folder)
    try:
        if (folder / "dataset_dict.json").is_file():
            splits = json.loads((folder / "dataset_dict.json").read_text("utf-8"))["splits"]
            if len(splits) == 1:
                return saved_files(folder / Path(str(splits[0])).name)
            names = ", ".join(str(folder / str(split)) for split in splits)
            raise RowError(f"holds {len(splits)} splits: name one of {names}", source=folder)
        state = json.loads((folder / "state.json").read_text("utf-8"))
        if state.get("_indices_files") or state.get("_indices_data_files"):
            raise RowError(
                "was saved with a selection of rows: flatten_indices() it before saving", source=folder
            )
        return [folder / Path(entry["filename"]).name for entry in state["_data_files"]]
    except FileNotFoundError:
        raise RowError(
            "is a folder that holds no dataset saved by datasets: name a file in it", source=folder
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise RowError("its state.json or dataset_dict.json cannot be read", source=folder) from None


def _rows(pyarrow: Any, batches: Any, note: Note) -> Iterator[NumberedRow]:
    number = 0
    columns: dict[str, Callable[[Any, str], Any]] | None = None
    for batch in batches:
        if columns is None:
            twice = [name for name in batch.schema.names if batch.schema.names.count(name) > 1]
            if twice:
                raise RowError(f"has two columns called {twice[0]!r}: which of the two is meant?")
            columns = {field.name: _reader_of(pyarrow, field.type, note) for field in batch.schema}
        for row in _objects(batch):
            number += 1
            if not isinstance(row, RowError):
                try:
                    read = ((key, columns[key](value, key)) for key, value in row.items())
                    row = {key: value for key, value in read if value is not _LEFT_OUT}
                except RowError as error:
                    row = error
            yield number, row


def _objects(batch: Any) -> Iterator[dict[str, Any] | RowError]:
    """Rows of a record batch: all at once or, when a value in it has no place in Python, one by one."""
    try:
        yield from batch.to_pylist()
        return
    except (ValueError, OverflowError):  # ArrowInvalid and UnicodeDecodeError are ValueErrors
        pass
    for place in range(batch.num_rows):
        try:
            yield from batch.slice(place, 1).to_pylist()
        except UnicodeDecodeError:
            yield RowError("a text is not valid UTF-8")
        except (ValueError, OverflowError) as error:
            yield RowError(f"a value cannot be read ({_reason(error)})")


def _reader_of(pyarrow: Any, kind: Any, note: Note) -> Callable[[Any, str], Any]:
    """How values of an Arrow type become JSON data; texts of the type `arrow.json` are parsed, wherever they stand."""
    types = pyarrow.types
    if isinstance(kind, pyarrow.BaseExtensionType):
        if kind.extension_name == "arrow.json":
            return _parsed
        return _reader_of(pyarrow, kind.storage_type, note)
    if (
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_boolean(kind)
        or types.is_integer(kind)
    ):
        return lambda value, _key: value
    if types.is_struct(kind):
        inner = {
            kind.field(i).name: _reader_of(pyarrow, kind.field(i).type, note) for i in range(kind.num_fields)
        }

        def read_struct(value: Any, key: str) -> Any:
            if value is None:
                return None
            pairs = ((name, inner[name](held, f"{key}.{name}")) for name, held in value.items())
            return {name: held for name, held in pairs if held is not _LEFT_OUT}

        return read_struct
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        of = _reader_of(pyarrow, kind.value_type, note)

        def read_list(value: Any, key: str) -> Any:
            if value is None:
                return None
            return [None if (found := of(item, key)) is _LEFT_OUT else found for item in value]

        return read_list
    if types.is_map(kind):
        of_items = _reader_of(pyarrow, kind.item_type, note)
        return lambda value, key: None if value is None else {str(k): of_items(v, key) for k, v in value}
    return lambda value, key: _plain(value, key, note)


def _parsed(value: Any, key: str) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return strict_json(value)
    except (ValueError, RecursionError):
        raise RowError(f"{key!r} is declared as JSON but cannot be parsed") from None


def _plain(value: Any, key: str, note: Note) -> Any:
    """A value as JSON has it: times as ISO text, decimals as text, no NaN; bytes are left out with a note."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return None if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if value != value:  # NaT, pandas' word for a missing time
        return None
    if isinstance(value, bytes | bytearray | memoryview):
        note(f"{key} (bytes)")
        return _LEFT_OUT
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta | Decimal):
        return str(value)
    if isinstance(value, Mapping):
        return {str(k): v for k, inner in value.items() if (v := _plain(inner, key, note)) is not _LEFT_OUT}
    if is_list(value):
        return [None if (v := _plain(inner, key, note)) is _LEFT_OUT else v for inner in value]
    return str(value)


# -- CSV ---------------------------------------------------------------------------------------------------


def delimiter_of(line: str) -> str | None:
    """The sign between the columns of a header line, by how often it stands outside quotes; None for none."""
    outside = "".join(part for i, part in enumerate(line.split('"')) if i % 2 == 0)
    counts = {sign: outside.count(sign) for sign in _DELIMITERS}
    best = max(counts, key=lambda sign: counts[sign])
    return best if counts[best] else None


def csv_rows(stream: BinaryIO, path: str | Path, limit: int) -> Iterator[NumberedRow]:
    """Rows of a CSV or TSV file with a header, in UTF-8; empty cells are null, numbers stay text.

    Rows are numbered by the line they begin on. Raises RowError for a header that names no columns.
    """
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
    line = 0

    def lines() -> Iterator[str]:
        nonlocal line
        while one := text.readline(limit + 1):
            line += 1
            if len(one) > limit:
                raise RowError(f"line {line} is longer than {limit / 1e6:.0f} MB", source=path)
            yield one

    given = lines()
    csv.field_size_limit(limit)
    try:
        first = next(given, "")
        delimiter = delimiter_of(first) or ","

        def chained() -> Iterator[str]:
            yield first
            yield from given

        reader = csv.reader(chained(), delimiter=delimiter, strict=True)
        header = [name.strip() for name in next(reader, [])]
        _check_header(header, path)
        number = line + 1
        for cells in reader:
            if cells:
                yield number, _record(header, cells)
            number = line + 1
    except csv.Error as error:
        raise RowError(
            f"not readable as CSV ({error}): is a quotation mark missing?", source=path, row=line
        ) from None
    except UnicodeDecodeError:
        raise RowError(f"line {line + 1} is not valid UTF-8: save the file as UTF-8", source=path) from None


def _check_header(header: list[str], path: str | Path) -> None:
    if not any(header):
        raise RowError("the file has no rows: its first line must name the columns", source=path)
    for name in header:
        if not name:
            raise RowError("a column has no name: the first line must name every column", source=path, row=1)
        if header.count(name) > 1:
            raise RowError(f"two columns are called {name!r}: which of the two is meant?", source=path, row=1)


def _record(header: list[str], cells: list[str]) -> dict[str, Any] | RowError:
    if len(cells) != len(header):
        return RowError(f"has {len(cells)} values for {len(header)} columns ({', '.join(header[:8])})")
    return {name: cell if cell else None for name, cell in zip(header, cells, strict=True)}


def _reason(error: BaseException) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
