"""Rows as items of a data set: each prompt with its answers and what is said of their order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sarm_core.errors import RowError, SarmError
from sarm_core.text.answers import Reader
from sarm_core.text.items import FileItems, answers_of, read_items


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def pair(prompt: str, chosen: str, rejected: str, **beside: Any) -> dict[str, Any]:
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected, **beside}


def test_pairs_are_an_item_each_and_equal_prompts_one_unit(tmp_path: Path) -> None:
    rows = [
        pair("p", "long answer", "no", id="x", subset="chat", rater=3, ok=True, text="t" * 300),
        pair("p", "a", "bb"),
    ]
    columns: list[str] = []
    first, second = read_items([written(tmp_path / "a.jsonl", rows)], Reader(), columns)
    assert (first.id, first.prompt, first.subset, first.answers, first.labels) == ("x", "p", "chat", 2, 1)
    assert (second.id, second.subset, second.longer) == ("2", "", -1.0)
    assert first.longer == 9.0 and first.length == round((11 + 2) / 2)
    assert columns == ["rater", "ok"] and first.own == {"rater": 3, "ok": "true"} and second.own == {}
    assert first.unit == second.unit and first.rows == [(0, 1, rows[0])]


def test_answers_in_rows_of_their_own_meet_at_their_prompt(tmp_path: Path) -> None:
    rows = [{"prompt": p, "response": f"{p}{i}", "score": float(i)} for i in range(3) for p in ("one", "two")]
    items = list(read_items([written(tmp_path / "a.jsonl", rows)], Reader(), []))
    assert [(item.prompt, item.answers, item.labels) for item in items] == [("one", 3, 3), ("two", 3, 3)]
    again = answers_of([row for _, _, row in items[0].rows], Reader())
    assert [answer.grade for answer in again.answers] == [0.0, 1.0, 2.0]
    assert sorted(again.pairs) == [(1, 0), (2, 0), (2, 1)]


def test_equal_grades_are_no_label_and_answers_that_repeat_count_once(tmp_path: Path) -> None:
    rows = [{"prompt": "p", "response": "a", "score": 1.0}, {"prompt": "p", "response": "b", "score": 2.0}]
    rows.append({"prompt": "p", "response": "a", "score": 3.0})
    (item,) = read_items([written(tmp_path / "a.jsonl", rows)], Reader(), [])
    assert (item.answers, item.labels) == (2, 0)


def test_columns_that_are_left_out_of_the_conversation_are_kept_to_sort_by(tmp_path: Path) -> None:
    rows = [{"frage": "p", "gut": "a", "schlecht": "b", "who": "me"}]
    reader = Reader(mapping={"prompt": "frage", "chosen": "gut", "rejected": "schlecht"}, ignore={"who"})
    columns: list[str] = []
    (item,) = read_items([written(tmp_path / "a.jsonl", rows)], reader, columns)
    assert (item.prompt, item.own, columns) == ("p", {"who": "me"}, ["who"])
    again = answers_of(rows, Reader.of(reader.choices()))
    assert [conversation.answer for conversation in again.conversations] == ["a", "b"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "p", "chosen": "a"}, "no 'rejected'"),
        ({"input_ids": [1, 2]}, "token ids have no text"),
        ({"text": "only a text"}, "without a prompt"),
    ],
)
def test_a_wrong_row_is_refused_with_file_and_row(tmp_path: Path, row: dict[str, Any], reason: str) -> None:
    path = written(tmp_path / "a.jsonl", [pair("p", "a", "b"), row])
    with pytest.raises(RowError, match=reason) as caught:
        list(read_items([path], Reader(), []))
    assert caught.value.row == 2 and str(path) in str(caught.value)


def test_the_hash_tells_content_and_reading_apart_and_no_names_and_no_order(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")

    def hashed(*names: str, **how: Any) -> str:
        return FileItems([tmp_path / name for name in names], list(names), Reader(**how)).hash

    others = [hashed("a"), hashed("a", "b", ignore=["x"])]
    assert hashed("a", "b") == hashed("b", "a") and len({hashed("a", "b"), *others}) == 3
    with pytest.raises(SarmError, match="cannot be read"):
        hashed("c")


def test_what_was_read_is_said_whenever_it_was_asked_for(tmp_path: Path) -> None:
    of = FileItems([written(tmp_path / "a.jsonl", [pair("p", "a", "b", who="me")])], ["mine"], Reader())
    said = of.said()
    assert len(list(of)) == 1 and of.columns == ["who"] and of.files[0]["name"] == "mine"
    assert list(said) == ["read as preference pairs (chosen, rejected); not used: who"]
