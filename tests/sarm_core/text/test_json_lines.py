"""Blocks of lines parsed at once give what each line gives on its own: rows, values and defects."""

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarm_core.errors import RowError
from sarm_core.text import json_lines
from sarm_core.text.json_lines import line_runs
from sarm_core.text.strict_json import MAX_ROW_BYTES, row_of_line

TRICKY = [
    '{"a": 1}',
    '{"a": 1, "a": 2}',
    '{"a" : 1, "a": 2}',
    '{"a" : 1}',
    '{"a" : -9223372036854775809}',
    '{"a": {"b": 1, "b": 2}}',
    '{"a": {"b": 1, "c": [{"d": 2}]}}',
    '{"a": "x: y", "b": "{\\"c\\": 1}"}',
    '{"a": "a \\\\\\": b", "b": "c\\\\"}',
    '{"a\\\\": 1}',
    '{"a\\\\": 1, "b": 1, "b": 2}',
    '{"a": ": b", "c": " : d"}',
    '{"a": 123456789012345678901234567890}',
    '{"a": [-9223372036854775809], "b": "12345678901234567890"}',
    '{"a": 12345678901234567}',
    '{"a": 1.5e300, "b": [1e400]}',
    '{"a": 1.5e300, "b": -0.0}',
    '{"a": NaN}',
    '{"a": "\\ud83d"}',
    '{"a": "\\ud83d\\ude00"}',
    '{"a": 1},{"b": 2}',
    '{"a": 1}, "x", {"b": 2}',
    '{"a": "x}',
    '{y"}',
    '{"a": [{"b": 1}',
    '{"c": 2}]}',
    '{"a": [1',
    "2]}",
    '{"a": 1',
    '"b": 2}',
    "[1]",
    '"ab"',
    "{}",
    "",
    ' {"a": 1} \r',
    '{"a": 9223372036854775807, "b": 1.25, "c": null, "d": true}',
]
PLAIN = '{"prompt": "Is it safe?", "chosen": "Yes: if it was cooled.", "rejected": "No."}'


def flat(data: bytes) -> list[tuple[int, Any, type]]:
    """(Row number, row or reason) of everything that is read from `data`, with the types of values."""
    found: list[tuple[int, Any, type]] = []
    for number, rows in line_runs(io.BytesIO(data)):
        if isinstance(rows, RowError):
            found.append((number, rows.reason, RowError))
        else:
            found += [(number + i, repr(row), dict) for i, row in enumerate(rows)]
    return found


def one_by_one(data: bytes) -> list[tuple[int, Any, type]]:
    """The same, each line on its own."""
    lines = ((number, row_of_line(line)) for number, line in enumerate(data.split(b"\n"), 1))
    return [
        (n, row.reason, RowError) if isinstance(row, RowError) else (n, repr(row), dict)
        for n, row in lines
        if row is not None
    ]


@given(
    lines=st.lists(st.sampled_from(TRICKY), min_size=1, max_size=6),
    around=st.sampled_from([0, 1, 12]),
    ended=st.booleans(),
)
def test_a_block_reads_what_its_lines_do(lines, around, ended):
    """Alone, and among good lines, so that whole blocks and parts of them are parsed at once too."""
    text = "\n".join([*[PLAIN] * around, *lines, *[PLAIN] * around])
    data = (text + "\n" * ended).encode()
    assert flat(data) == one_by_one(data)


texts = st.text(st.sampled_from(list('ab:, "\\{}[]\n\u00e9\u2028\U0001f600')) | st.characters(), max_size=6)
numbers = st.integers(-(2**66), 2**66) | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
plain = st.none() | st.booleans() | numbers | texts
values = plain | st.lists(plain, max_size=2) | st.dictionaries(texts, plain | st.lists(texts), max_size=2)


@pytest.mark.slow
@given(
    rows=st.lists(st.dictionaries(texts, values, max_size=3), min_size=1, max_size=3),
    escaped=st.booleans(),
    separators=st.sampled_from([(", ", ": "), (",", ":"), (" , ", " : ")]),
)
def test_what_is_written_is_read(rows, escaped, separators):
    lines = [json.dumps(row, ensure_ascii=escaped, separators=separators) for row in rows]
    data = "\n".join(lines).encode("utf-8", "surrogatepass")
    found = flat(data)
    assert found == one_by_one(data)
    if RowError not in {kind for *_, kind in found}:  # halves of characters are refused
        assert [row for _, row, _ in found] == [repr(row) for row in rows]


def test_rows_that_are_sound_never_need_a_look_each(monkeypatch):
    """What people have: texts with colons, quotes and braces, turns, whole and other numbers, long ids as text."""
    rows = [
        {"id": 20261128000000 + i, "a": 'He said: "x": {y}\n', "score": i / 7, "key": "1" * 30, "b": None}
        for i in range(200)
    ]
    rows += [
        {"messages": [{"role": "user", "content": "Is it: so?"}] * 3, "of": {"n": 1}} for _ in range(200)
    ]
    monkeypatch.setattr(
        json_lines, "row_of_line", lambda line: pytest.fail(f"looked at {line!r}") if line else None
    )
    for separators in ((", ", ": "), (",", ":")):
        data = "\n".join(json.dumps(row, separators=separators) for row in rows) + "\n"
        wanted = [(n, repr(row), dict) for n, row in enumerate(rows, 1)]
        assert [found for found in flat(data.encode()) if found[2] is dict] == wanted


@pytest.mark.parametrize("size", [json_lines._BLOCK - 1, json_lines._BLOCK, 3 * json_lines._BLOCK])
def test_lines_longer_than_a_block_are_whole(size):
    data = "\n".join(json.dumps({"a": "x" * (size + i)}) for i in range(3)).encode()
    assert flat(data) == one_by_one(data)


def test_a_line_over_the_limit_costs_no_other():
    long = b'{"a": "' + b"x" * MAX_ROW_BYTES + b'"}'
    data = b"\n".join([PLAIN.encode(), long, PLAIN.encode(), b'{"a": NaN}', PLAIN.encode()])
    found = flat(data)
    assert [number for number, _, kind in found] == [1, 2, 3, 4, 5]
    assert [kind for *_, kind in found] == [dict, RowError, dict, RowError, dict]
    assert "10.0 MB" in found[1][1]


@pytest.mark.parametrize("before", range(17))
def test_nineteen_digits_are_found_wherever_they_stand(before):
    """From so many on a whole number may be beyond 64 bits, which the fast parser would round."""
    for digits in range(1, 40):
        for behind in (b"", b"}]"):
            data = b"." * before + b"7" * digits + behind
            assert json_lines._long_number(data) == (digits >= 19)
            assert not json_lines._long_number(b"1" * 11 + data[:before] + b"." + b"8" * min(digits, 18))
