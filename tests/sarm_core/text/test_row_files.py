"""Every defect of a file of rows ends in one line that names the place, the reason and the remedy."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarm_core.errors import RowError
from sarm_core.text.answers import conversation_of
from sarm_core.text.row_files import count_rows, read_rows
from sarm_core.text.rows import Conversation, Message
from sarm_core.text.strict_json import MAX_ROW_BYTES
from tests.sarm_core.harvest.harvest_corpus import spoilt_parquet

USER = {"role": "user", "content": "Is it safe?"}
ANSWER = {"role": "assistant", "content": "Yes."}
WANTED = Conversation(messages=(Message("user", "Is it safe?"), Message("assistant", "Yes.")))


def write(path: Path, data: bytes | str) -> Path:
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def test_blank_lines_and_windows_line_ends_keep_the_row_numbers_of_an_editor(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"a": 1}\r\n\r\n  \n{"a": 2}')
    assert list(read_rows(path)) == [(1, {"a": 1}), (4, {"a": 2})]


@pytest.mark.slow
@given(rows=st.lists(st.dictionaries(st.text(max_size=5), st.text() | st.integers()), min_size=1, max_size=5))
def test_jsonl_and_an_array_read_the_same(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("rows")
    lines = write(folder / "a.jsonl", "\n".join(json.dumps(row) for row in rows))
    array = write(folder / "a.json", " \n" + json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
    wanted = list(enumerate(rows, 1))
    assert list(read_rows(lines)) == wanted
    assert list(read_rows(array)) == wanted


GOOD = b'{"a": 1}\n'


@pytest.mark.parametrize(
    ("data", "row", "words"),
    [
        (GOOD + b"{'a': 1}\n", 2, ["not valid JSON", "column 2"]),
        (GOOD + b'{"a": 1}, \n', 2, ["not valid JSON"]),
        (b'{\n "a": 1\n}\n', 1, ["ONE line"]),
        (GOOD + b"[1]\n", 2, ["not an object but a list"]),
        (GOOD + b"null\n", 2, ["not an object but null"]),
        (GOOD + b'{"a": "\xff"}\n', 2, ["not valid UTF-8", "byte 8"]),
        (GOOD + b'{"a": NaN}\n', 2, ["NaN"]),
        (GOOD + b'{"a": -Infinity}\n', 2, ["-Infinity"]),
        (GOOD + b'{"a": 1e999}\n', 2, ["1e999"]),
        (GOOD + b'{"a": "\\ud83d"}\n', 2, ["half of a character"]),
        (GOOD + b'{"a": 1, "a": 2}\n', 2, ["'a' appears twice"]),
        (GOOD + b'{"a": ' + b"[" * 100_000 + b"\n", 2, ["nested too deeply"]),
        (GOOD + b'{"a": ' + b"9" * 5000 + b"}\n", 2, ["not valid JSON"]),
        (b"", None, ["no rows"]),
        (b"\n \n", None, ["no rows"]),
        (b"[]", None, ["no rows"]),
        (b'[{"a": 1}, 3]', 2, ["not an object but a number"]),
        (b'[{"a": 1}, {"a": NaN}]', 2, ["NaN"]),
        (b'[{"a": 1} {"a": 2}]', 1, ["no ',' or ']'"]),
        (b'[{"a": 1}, {"a": ', 2, ["not valid JSON"]),
        (b'[{"a": 1}]\n{"a": 2}', 1, ["after the end of the array"]),
        (b'[{"a": "\\ud83d"}]', 1, ["half of a character"]),
        (b'[\n{"a": "\xff"}]', None, ["line 2 is not valid UTF-8"]),
    ],
)
def test_a_bad_file_names_the_row_and_the_reason(tmp_path, data, row, words):
    path = write(tmp_path / "in.jsonl", data)
    with pytest.raises(RowError) as caught:
        list(read_rows(path))
    assert (caught.value.source, caught.value.row) == (str(path), row)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_surrogate_pair_is_not_a_defect(tmp_path):
    path = write(tmp_path / "in.jsonl", b'{"a": "\\ud83d\\ude00"}')
    assert list(read_rows(path)) == [(1, {"a": "\U0001f600"})]


def test_an_oversized_line_is_refused_without_losing_the_next(tmp_path):
    long = json.dumps({"a": "x" * (MAX_ROW_BYTES + 2_000_000)}).encode()
    path = write(tmp_path / "in.jsonl", GOOD + long + b"\n" + GOOD)
    errors: list[RowError] = []
    assert [number for number, _ in read_rows(path, errors.append)] == [1, 3]
    assert [error.row for error in errors] == [2]
    assert "12.0 MB" in str(errors[0])


def test_skipping_bad_rows_gives_the_good_ones_and_lists_the_bad(tmp_path):
    path = write(tmp_path / "in.jsonl", b'{"a": 1}\nnot json\n{"a": NaN}\n{"a": 2}\n')
    errors: list[RowError] = []
    assert [row for _, row in read_rows(path, errors.append)] == [{"a": 1}, {"a": 2}]
    assert [error.row for error in errors] == [2, 3]


def test_a_missing_file_or_a_folder_is_one_line(tmp_path):
    for path, reason in ((tmp_path / "absent.jsonl", "cannot be read"), (tmp_path, "is a folder")):
        with pytest.raises(RowError, match=reason):
            next(read_rows(path))


def test_parquet_reads_like_jsonl(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    rows = [{"prompt": "a", "response": "b", "messages": None, "score": 1.0}] * 300
    rows.append({"messages": [USER, ANSWER], "score": float("nan")})
    path = tmp_path / "in.parquet"
    pandas.DataFrame(rows).to_parquet(path)
    found = list(read_rows(path))
    assert [number for number, _ in found] == list(range(1, 302))
    assert conversation_of(found[300][1]) == WANTED
    assert found[300][1]["score"] is None
    assert conversation_of(found[0][1]).answer == "b"


def test_a_file_that_is_not_parquet_is_one_line(tmp_path):
    pytest.importorskip("pyarrow")
    with pytest.raises(RowError, match="not readable as Parquet"):
        list(read_rows(write(tmp_path / "in.parquet", "hello, this is no table")))


def test_a_parquet_row_that_cannot_be_read_is_named_and_can_be_skipped(tmp_path):
    for name in ("in.parquet", "in.pq"):
        path = spoilt_parquet(tmp_path / name, row_group_size=2)
        with pytest.raises(RowError, match=rf"{name}, row 2: a text is not valid UTF-8"):
            list(read_rows(path))
        bad = []
        assert [row["text"] for _, row in read_rows(path, bad.append)] == ["one", "three", "five"]
        assert [error.row for error in bad] == [2, 4] and "a value cannot be read" in str(bad[1])
        assert count_rows(path) == 5


def test_a_damaged_page_of_parquet_names_the_file(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "in.parquet"
    text = pyarrow.array([f"text {i % 7}" for i in range(5_000)])
    parquet.write_table(pyarrow.table({"text": text}), path, use_dictionary=False, compression="snappy")
    data = bytearray(path.read_bytes())
    data[200:400] = bytes(200)
    path.write_bytes(data)
    with pytest.raises(RowError, match=r"in\.parquet: not readable as Parquet \(.*snappy"):
        list(read_rows(path, lambda _error: None))
