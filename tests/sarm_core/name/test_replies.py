"""Only one shape comes through, whatever a model says."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarm_core.name.replies import LONGEST_NAME, BadReply, read_detect, read_label, read_pair

LABEL = {"name": "apologises", "explanation": "They say sorry.", "score": 4}


def test_what_was_asked_for_comes_through():
    for text in (
        json.dumps(LABEL),
        f"\n ```json\n{json.dumps(LABEL)}\n``` ",
        f"<think>hm {{</think>\n{json.dumps(LABEL)}",
    ):
        found = read_label(text)
        assert (found.name, found.explanation, found.score) == ("apologises", "They say sorry.", 4)
    assert read_detect('{"has": [2, 1]}', 3) == {1, 2}
    assert read_detect('{"has": []}', 3) == frozenset()
    assert [read_pair(f'{{"fits": "{side}"}}') for side in ("A", "B", "equal")] == ["A", "B", "equal"]


@pytest.mark.parametrize(
    "change",
    [
        {"score": 0}, {"score": 6}, {"score": True}, {"score": "4"}, {"score": 4.0}, {"score": None},
        {"name": ""}, {"name": "..."}, {"name": " \n "}, {"name": 7}, {"name": ["a"]}, {"name": "x" * (LONGEST_NAME +
        1)}, {"explanation": None}, {"explanation": "x" * 601}, {"more": 1},
    ],
)  # fmt: skip
def test_a_label_of_another_shape_is_refused(change):
    with pytest.raises(BadReply):
        read_label(json.dumps(LABEL | change))


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", "{}", "apologises", '{"has": [1], "has": [2]}', '{"has": NaN}', '{"has": [1]} and', "[" * 9000,
     '{"has": [0]}', '{"has": [4]}', '{"has": [1, 1]}', '{"has": [true]}', '{"has": "1"}', '{"has": [1]', "x" * 30_000],
)  # fmt: skip
def test_garbage_is_refused(text):
    with pytest.raises(BadReply) as refused:
        read_detect(text, 3)
    assert len(str(refused.value)) < 100


@pytest.mark.parametrize("text", ['{"fits": "C"}', '{"fits": null}', '{"fits": ["A"]}', '{"fits": "a"}'])
def test_a_pair_has_three_answers(text):
    with pytest.raises(BadReply):
        read_pair(text)


@given(st.text(max_size=60))
def test_a_name_is_one_line_that_obeys_nobody(text):
    try:
        name = read_label(json.dumps(LABEL | {"name": text})).name
    except BadReply:
        return
    assert name.isprintable() and "\n" not in name and 0 < len(name) <= LONGEST_NAME
    assert not any(c in name for c in "\x1b\u202e\u2066\u200f")
