"""Kinds of files as people have them (docs/file_kinds.py): right, or refused in one line, whatever their container."""

from __future__ import annotations

import gzip
import json
import random
import re
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

from sarm_core.errors import RowError
from sarm_core.text.answers import Reader
from sarm_core.text.conversation import ChatFormat
from sarm_core.text.rows import Conversation, Message
from tests.sarm_core.text.test_shapes import permuted
from tests.sarm_core.tiny_models import chatml

pyarrow = pytest.importorskip("pyarrow")
DOCS = Path(__file__).parents[3] / "docs"
_ran = runpy.run_path(str(DOCS / "file_kinds.py"), run_name="file_kinds")
KINDS = _ran["KINDS"]


@pytest.fixture(scope="module")
def format() -> ChatFormat:
    return ChatFormat(chatml(), chat_template=None)


def read(
    path: Path, kind: Any, format: ChatFormat
) -> tuple[list[Conversation], set[tuple[int, int]], list[bool]]:
    """The answers of a file, each rendered as a score would, which are better, and which are good on their own.

    Raises RowError.
    """
    reader = Reader()
    skip = (lambda _error: None) if "--skip-bad" in kind.options else None
    found = [reader.answers(row, preferences=bool(kind.pairs)) for _, row in reader.rows(path, skip)]
    texts = [answer.conversation for row in found for answer in row.answers]
    format.tokens(texts)
    good = [row.good for row in found if row.good is not None]
    return texts, {(pair.better, pair.worse) for row in found for pair in row.pairs}, good


def check(path: Path, kind: Any, format: ChatFormat) -> None:
    if kind.refused:
        with pytest.raises(RowError, match=re.escape(kind.refused)) as caught:
            read(path, kind, format)
        assert "\n" not in str(caught.value)
        return
    before = tuple(Message(*turn) for turn in kind.before)
    wanted = [Conversation(messages=(*before, Message("assistant", answer))) for answer in kind.answers]
    assert read(path, kind, format) == (wanted, set(kind.pairs), list(kind.good))
    if kind.pairs:
        reader = Reader()
        assert list(reader.pairs(path))
        assert [kind.said in line for line in reader.said()].count(True) == (
            1 if kind.said else len(reader.said())
        )


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kind_of_file_is_read_right_or_refused_in_one_line(kind, format, tmp_path):
    path = tmp_path / kind.file
    path.write_bytes(kind.pack(kind.rows))
    check(path, kind, format)


def table(rows: list[Any]) -> bytes:
    sink = pyarrow.BufferOutputStream()
    made = pyarrow.Table.from_pylist(rows)
    with pyarrow.ipc.new_file(sink, made.schema) as writer:
        writer.write_table(made)
    return sink.getvalue().to_pybytes()


def mixed(rows: list[Any]) -> bool:
    """Whether a table would have to hold values of two types in one column, which Arrow does not."""
    try:
        table(rows)
    except pyarrow.ArrowException:
        return True
    return False


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.plain], ids=lambda kind: kind.name)
def test_other_files_of_the_same_kind_are_read_alike(kind, format, tmp_path):
    """Other orders of keys, metadata of other names beside them, indented arrays, other containers."""
    rng = random.Random(kind.name)
    rows = [permuted({**row, "row_id": 7, "Notes": "n", "meta": {"a": [1]}}, rng) for row in kind.rows]
    files = {
        "lines": "\r\n\r\n".join(json.dumps(row) for row in rows).encode(),
        "array": json.dumps(rows, indent=2).encode("utf-16"),
        "packed": gzip.compress(json.dumps(rows).encode()),
    }
    if not mixed(rows):
        files["table"] = table(rows)
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        check(tmp_path / name, kind, format)


def test_the_page_shows_every_kind_before_and_after():
    sys.path.insert(0, str(DOCS))  # the script stands beside its kinds, and is run there
    try:
        making = runpy.run_path(str(DOCS / "make_before_after.py"), run_name="make_before_after")
    finally:
        sys.path.remove(str(DOCS))
    page = (DOCS / "formats.md").read_text(encoding="utf-8")
    made = page[page.index(making["BEGIN"]) + len(making["BEGIN"]) : page.index(making["END"])]
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in made.splitlines()[2:]]
    assert [name for name, _, _ in rows] == [kind.name for kind in KINDS]
    for (_, _, now), kind in zip(rows, KINDS, strict=True):
        assert now.startswith("refused") == bool(kind.refused) and kind.refused in now
        assert "traceback" not in now and now.endswith(kind.said)
    # All that is asked without context has one reward, and one margin, whatever file it came in.
    plain = [
        now
        for (_, _, now), kind in zip(rows, KINDS, strict=True)
        if not kind.refused and not kind.said and len(kind.before) == 1
    ]
    alpaca = {now for (_, _, now), k in zip(rows, KINDS, strict=True) if "alpaca" in k.name}
    assert len(set(plain) - alpaca) == 2
