"""Prompt and answers from every door: corpus, paste, file, link."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.session.comparison import (
    MAX_ANSWERS,
    Answer,
    Comparison,
    corpus,
    from_corpus,
    from_json,
    from_paste,
    from_texts,
    from_upload,
    letters,
)
from app.session.session import FIRST_EXAMPLE
from sarm_core.errors import RowError, SarmError
from sarm_core.text.answers import Reader
from sarm_core.text.rows import Message

HOSTILE = "<img src=x onerror=alert(1)> $\\frac{1}{2}$ [a](javascript:alert(2)) ![](http://x/y) **b**"
text = st.text(min_size=1, max_size=20).filter(str.strip)


def lines(*rows: Any) -> bytes:
    return "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows).encode()


def texts(comparison: Comparison) -> list[str]:
    return [answer.text for answer in comparison.answers]


def test_every_corpus_prompt_is_a_comparison() -> None:
    assert FIRST_EXAMPLE in corpus()
    for prompt_id in corpus():
        found = from_corpus(prompt_id)
        assert 2 <= len(found.answers) <= MAX_ANSWERS
        assert len(set(texts(found))) == len(found.answers)
        assert all(c.messages and c.messages[-1].role == "assistant" for c in found.conversations())


def test_an_unknown_example_says_so() -> None:
    with pytest.raises(SarmError, match="no such example"):
        from_corpus("../../etc/passwd")


@given(st.integers(0, 20_000))
def test_letters_count_in_base_26_without_a_zero(i: int) -> None:
    value = 0
    for letter in letters(i):
        value = value * 26 + ord(letter) - ord("A") + 1
    assert value == i + 1


@given(text, st.lists(text, min_size=1, max_size=6), st.text(max_size=10))
@pytest.mark.slow
def test_json_round_trip_keeps_all_and_the_key(prompt: str, answers: list[str], note: str) -> None:
    made = from_texts(prompt, answers, [note] * len(answers), "pasted")
    again = from_json(json.loads(json.dumps(made.to_json())))
    assert again == made
    assert again.key == made.key


@given(text, st.lists(text, min_size=2, max_size=4, unique_by=str.strip))
def test_the_key_tells_contents_apart(prompt: str, answers: list[str]) -> None:
    made = from_texts(prompt, answers)
    assert from_texts(prompt, answers[:-1]).key != made.key
    assert from_texts(prompt + "x", answers).key != made.key


@given(st.lists(st.sampled_from(["one", " two ", "three\n\nlines", HOSTILE, "", "  "]), max_size=8))
def test_paste_keeps_distinct_answers_in_order(parts: list[str]) -> None:
    wanted = list(dict.fromkeys(part.strip() for part in parts if part.strip()))
    pasted = "\n---\n".join(parts)
    if not wanted:
        with pytest.raises(SarmError, match="no answer"):
            from_paste("q", pasted)
        return
    assert texts(from_paste("q", pasted)) == wanted


def test_paste_splits_at_lines_of_dashes_only() -> None:
    made = from_paste("q", "a -- b --- c\n -----\t\nd---\n--\ne\r\n---\r\nf")
    assert texts(made) == ["a -- b --- c", "d---\n--\ne", "f"]


@pytest.mark.parametrize("prompt", ["", "  \n"])
def test_an_empty_prompt_is_refused(prompt: str) -> None:
    with pytest.raises(SarmError, match="prompt is empty"):
        from_texts(prompt, ["a"])


def test_too_many_answers_are_refused_with_the_number() -> None:
    assert len(from_texts("q", map(str, range(MAX_ANSWERS))).answers) == MAX_ANSWERS
    with pytest.raises(SarmError, match=r"51 answers"):
        from_texts("q", map(str, range(MAX_ANSWERS + 1)))


def test_one_more_answer_keeps_the_places_of_the_others() -> None:
    made = from_texts("q", ["a", "b"])
    more, index = made.with_answer("  c ", "pasted")
    assert (texts(more), index, more.answers[2].note) == (["a", "b", "c"], 2, "pasted")
    assert more.with_answer("b") == (more, 1)
    with pytest.raises(SarmError):
        more.with_answer(" ")
    full = from_texts("q", map(str, range(MAX_ANSWERS)))
    with pytest.raises(SarmError, match="50 answers already"):
        full.with_answer("new")
    # With an answer more it is not the example any more: a link must not open the example instead.
    assert from_corpus(FIRST_EXAMPLE).with_answer("new")[0].origin.removeprefix("example ") not in corpus()


def test_upload_groups_rows_by_prompt_in_file_order() -> None:
    found = from_upload(
        lines(
            {"prompt": "p", "response": "a", "model": "m1"},
            {"question": "q", "answer": "x"},
            {"prompt": "p", "response": "b", "note": HOSTILE},
            {"prompt": "p", "response": "a"},
            {"messages": [{"role": "user", "content": "p"}, {"role": "assistant", "content": "c"}]},
            {"prompt": "q", "chosen": "y", "rejected": "z"},
            {"prompt": "r", "answers": ["1", {"text": "2", "varied": {"tone": "curt", "right": True}}]},
        ),
        "f.jsonl",
    )
    assert [(c.question, texts(c)) for c in found] == [
        ("p", ["a", "b", "c"]),
        ("q", ["x", "y", "z"]),
        ("r", ["1", "2"]),
    ]
    assert found[0].answers[1].note == HOSTILE[:60]
    assert found[2].answers[1].note == "curt, True"
    assert found[1].titles() == ["A", "B · chosen", "C · rejected"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "p"}, "response"),
        ({"prompt": "p", "response": ""}, "empty"),
        ({"prompt": "p", "response": 3}, "response"),
        ("{not json", "JSON"),
        ('["a"]', "object"),
        ({"input_ids": [1, 2]}, "token ids"),
        ({"prompt": "p", "answers": [None]}, ""),
        ({"prompt": "p", "answers": [{"texts": "a"}]}, ""),
        ({"messages": [{"role": "user", "content": "p"}]}, "assistant"),
        ({"messages": [{"role": "<b>", "content": "p"}, {"role": "assistant", "content": "c"}]}, "role"),
    ],
)
def test_a_bad_row_is_named_with_its_number_and_reason(row: Any, reason: str) -> None:
    with pytest.raises(RowError) as caught:
        from_upload(lines({"prompt": "p", "response": "a"}, row), "<b>my file</b>.jsonl")
    message = str(caught.value)
    assert "<b>my file</b>.jsonl" in message and "row 2" in message and reason in message
    assert "\n" not in message and "/tmp" not in message


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\xff\xfe\x00", b"\x00\x01\x02", b"\xff\xff\xff"])
def test_a_file_without_rows_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(RowError) as caught:
        from_upload(data, "empty.jsonl")
    assert "empty.jsonl" in str(caught.value) and "/tmp" not in str(caught.value)


def test_more_answers_than_fit_name_the_row() -> None:
    rows = [{"prompt": "p", "response": str(i)} for i in range(MAX_ANSWERS + 1)]
    with pytest.raises(RowError, match=r"row 51.*more than 50"):
        from_upload(lines(*rows), "f.jsonl")


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"prompt": [], "answers": [{"text": "a"}]},
        {"prompt": [{"role": "user", "content": "q"}], "answers": []},
        {"prompt": [{"role": "user", "content": "q"}], "answers": [{"text": "a"}] * (MAX_ANSWERS + 1)},
        {"prompt": [{"role": "<b>", "content": "q"}], "answers": [{"text": "a"}]},
        {"prompt": "q", "answers": "a"},
        {"prompt": [3], "answers": [4]},
        [],
    ],
)
def test_a_stored_comparison_that_is_none_is_refused(data: Any) -> None:
    with pytest.raises(SarmError):
        from_json(data)


def test_question_is_the_last_user_turn() -> None:
    turns = (
        Message("system", "s"),
        Message("user", "first"),
        Message("assistant", "a"),
        Message("user", "last"),
    )
    assert Comparison(turns, (Answer("x"),)).question == "last"
    assert Comparison(turns[:1], (Answer("x"),)).question == "s"


def test_nothing_is_left_in_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    from_upload(lines({"prompt": "p", "response": "a"}), "../../../escape.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_empty_and_repeated_answers_are_counted_as_the_letters_of_the_others_move_up() -> None:
    made = from_paste("q", "a\n---\n \n---\nb\n---\na\n---\nc")
    assert texts(made) == ["a", "b", "c"]
    assert made.left_out_words == (
        "1 empty and 1 repeated answers were left out; A, B, C … name those that are on the page."
    )
    assert from_paste("q", "a\n---\nb").left_out_words == ""
    rows = [{"prompt": "p", "response": r} for r in ("a", "b", "a")]
    twice, other = from_upload(lines(*rows, {"prompt": "o", "response": "a"}), "f.jsonl")
    assert twice.left_out_words.startswith("1 repeated answer was left out") and other.left_out_words == ""


def test_a_file_that_no_shape_knows_is_read_with_the_columns_a_person_names() -> None:
    data = b"frage,gut,schlecht,nr\nIs it safe?,Yes.,No.,1\n"
    with pytest.raises(RowError, match="nothing to score"):
        from_upload(data, "in.csv")
    reader = Reader(mapping={"prompt": "frage", "chosen": "gut", "rejected": "schlecht"}, ignore=["nr"])
    (made,) = from_upload(data, "in.csv", reader)
    assert (made.question, texts(made)) == ("Is it safe?", ["Yes.", "No."])


def test_a_call_is_kept_through_a_link() -> None:
    call = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}],
    }
    (made,) = from_upload(
        lines({"messages": [{"role": "user", "content": "q"}, call], "tools": [{"name": "f"}]}), "f"
    )
    (conversation,) = made.conversations()
    assert '"name": "f"' in conversation.messages[-1].extra and conversation.tools
    assert from_json(json.loads(json.dumps(made.to_json()))) == made
