"""The same rows from every container, by first bytes; what is no container of rows is named."""

import bz2
import datetime
import decimal
import gzip
import json
import lzma

import pytest

from sarm_core.errors import RowError
from sarm_core.text import containers
from sarm_core.text.row_files import count_rows, read_rows

pyarrow = pytest.importorskip("pyarrow")
ROWS = [
    {"prompt": "Hi?", "response": "Hello, \u00e9\u6f22."},
    {"prompt": "Bye?", "response": 'Say "bye".\nNow.'},
]
JSONL = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()
CSV = 'prompt,response\r\nHi?,"Hello, \u00e9\u6f22."\r\nBye?,"Say ""bye"".\nNow."\r\n'.encode()


def table_bytes(kind):
    from pyarrow import feather, parquet

    table, sink = pyarrow.Table.from_pylist(ROWS), pyarrow.BufferOutputStream()
    if kind == "parquet":
        parquet.write_table(table, sink)
    elif kind == "feather":
        feather.write_feather(table, sink)
    else:
        with pyarrow.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    return sink.getvalue().to_pybytes()


CONTENTS = {
    "jsonl": JSONL,
    "bom": b"\xef\xbb\xbf" + JSONL,
    "utf-16": JSONL.decode().encode("utf-16"),
    "utf-16-be": JSONL.decode().encode("utf-16-be"),
    "array": json.dumps(ROWS, indent=2).encode(),
    "csv": CSV,
    "semicolons": CSV.replace(b"prompt,response", b"prompt;response").replace(b"?,", b"?;"),
    "tsv": CSV.replace(b"prompt,response", b"prompt\tresponse").replace(b"?,", b"?\t"),
    **{kind: table_bytes(kind) for kind in ("parquet", "feather", "stream")},
}
PACKED = {
    "": bytes,
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zstd": lambda data: pyarrow.compress(data, "zstd", asbytes=True),
}


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("kind", CONTENTS)
def test_every_container_gives_the_same_rows_without_a_name_that_says_so(tmp_path, kind, packed):
    path = tmp_path / "rows"
    path.write_bytes(PACKED[packed](CONTENTS[kind]))
    assert [row for _, row in read_rows(path)] == ROWS
    assert count_rows(path) >= len(ROWS)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"PK\x03\x04x", "Excel"),
        (b"version https://git-lfs.github.com", "git lfs pull"),
        (b"\x80\x04x", "pickle"),
    ],
)
def test_what_is_no_file_of_rows_is_named(tmp_path, data, words):
    (tmp_path / "in").write_bytes(data)
    with pytest.raises(RowError, match=words):
        list(read_rows(tmp_path / "in"))


def test_a_broken_or_endless_archive_is_one_line(tmp_path, monkeypatch):
    path = tmp_path / "in.gz"
    path.write_bytes(gzip.compress(JSONL * 100)[:-20])
    with pytest.raises(RowError, match=r"in\.gz: (cannot be read|the gzip data are damaged)"):
        list(read_rows(path))
    monkeypatch.setattr(containers, "_BOMB_BYTES", 10_000)
    monkeypatch.setattr(containers, "_BOMB_RATIO", 10)
    path.write_bytes(gzip.compress(b" " * 1_000_000))
    with pytest.raises(RowError, match="unpacks to more than"):
        list(read_rows(path))


def test_columns_that_json_has_no_word_for_are_kept_as_text_and_bytes_are_told(tmp_path):
    from pyarrow import parquet

    row = {
        "prompt": "p",
        "day": datetime.date(2026, 1, 2),
        "at": datetime.datetime(2026, 1, 2, 3, 4),
        "price": decimal.Decimal("1.50"),
        "took": datetime.timedelta(seconds=90),
        "raw": b"\x00\x01",
        "nested": {"x": float("nan"), "y": [float("inf"), 1.0]},
    }
    kinds = pyarrow.table({"m": pyarrow.array([[("a", 1)]], pyarrow.map_(pyarrow.string(), pyarrow.int64()))})
    table = pyarrow.Table.from_pylist([row]).append_column("map", kinds["m"])
    parquet.write_table(table, tmp_path / "in")
    notes = []
    ((_, found),) = read_rows(tmp_path / "in", None, notes.append)
    assert found == {
        "prompt": "p",
        "day": "2026-01-02",
        "at": "2026-01-02T03:04:00",
        "price": "1.50",
        "took": "0:01:30",
        "nested": {"x": None, "y": ["Infinity", 1.0]},
        "map": {"a": 1},
    }
    assert notes == ["raw (bytes)"]
    json.dumps(found, allow_nan=False)


def test_texts_of_the_type_arrow_json_are_parsed_inside_lists_and_structs(tmp_path):
    kind = pyarrow.json_(pyarrow.string())
    turns = pyarrow.list_(pyarrow.struct([("role", pyarrow.string()), ("content", kind)]))
    whole = pyarrow.list_(kind)
    storage = pyarrow.array(
        [[{"role": "user", "content": '"In Paris.\\nYes."'}]],
        pyarrow.list_(pyarrow.struct([("role", pyarrow.string()), ("content", pyarrow.string())])),
    )
    chosen = pyarrow.array([['{"role": "assistant", "content": "Hi."}']], pyarrow.list_(pyarrow.string()))
    table = pyarrow.table({"messages": storage.cast(turns), "chosen": chosen.cast(whole)})
    with pyarrow.ipc.new_file(str(tmp_path / "in"), table.schema) as writer:
        writer.write_table(table)
    ((_, found),) = read_rows(tmp_path / "in")
    assert found["messages"] == [{"role": "user", "content": "In Paris.\nYes."}]
    assert found["chosen"] == [{"role": "assistant", "content": "Hi."}]


def test_a_row_with_nan_in_an_array_is_skipped_and_the_others_stay(tmp_path):
    path = tmp_path / "in.json"
    path.write_text('[{"a": 1}, {"a": NaN, "b": "]}\\"["}, {"a": {"b": [2]}}]')
    errors = []
    assert [row for _, row in read_rows(path, errors.append)] == [{"a": 1}, {"a": {"b": [2]}}]
    assert [error.row for error in errors] == [2]


def test_a_csv_names_its_defects(tmp_path):
    path = tmp_path / "in.csv"
    for data, words in (
        ("a,a\n1,2\n", "two columns"),
        ("a,b\n1\n", "1 values for 2 columns"),
        ('a,b\n"1,2\n', "CSV"),
    ):
        path.write_text(data)
        with pytest.raises(RowError, match=words):
            list(read_rows(path))
