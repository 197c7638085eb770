"""Rows that are read by what they share with an earlier row give what their shape reads, and the same refusals."""

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarm_core.errors import RowError
from sarm_core.text.answers import Reader
from sarm_core.text.shapes import RowAnswers
from sarm_core.text.shapes.messages import Messages
from sarm_core.text.shapes.preference import Preference
from sarm_core.text.shapes.prompt_response import PromptResponse
from sarm_core.text.shapes.sharegpt import ShareGPT

TEXTS = [
    "Is it safe?",
    "Yes.",
    "  Yes, \u00e9\U0001f600.\n",
    "",
    " \n",
    "[1] is a list",
    '{"a": 1}',
    '[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]',
    ' {"role": "assistant", "content": "Ho"}',
    "Human: a",
    " Human: a\n\nAssistant: b",
    "\n\nHuman: a\n\nAssistant:",
    "<extra_id_1>User\nHi\n<extra_id_1>Assistant\nHo",
    "half \ud800",
    "true",
]
OTHERS = [
    None,
    0,
    1.5,
    True,
    [],
    ["a", "b"],
    [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}],
    [{"role": "user", "content": "Is it safe?"}, {"role": "assistant", "content": "Yes."}],
    [{"role": "assistant", "content": "Yes.", "name": "Ann", "id": 7, "tool_calls": []}],
    [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}],
    [{"role": "user", "content": "Hi"}],
    [{"role": "assistant", "content": "Yes.", "name": "Ann"}],
    [{"role": "wizard", "content": "Hi"}, {"role": "assistant", "content": None}],
    [{"role": "assistant", "content": [{"type": "text", "text": "Yes.", "cache": 1}]}],
    [MappingProxyType({"role": "assistant", "content": "Yes."})],
    {},
    {"a": 1},
    ("a", "b"),
]
ASKED = ["prompt", "question", "instruction", "input", "messages"]
ANSWERED = ["response", "answer", "completion", "chosen", "rejected", "text"]
BESIDE = ["source", "label", "score", "system", "tools", "tags", "score_chosen", "conversations"]


class Never(dict[Any, Any]):
    """Remembers nothing, so that each row is read by its shape."""

    def __setitem__(self, key: Any, value: Any) -> None:
        pass


def read(reader: Reader, rows: Sequence[Any], preferences: bool) -> list[RowAnswers | str]:
    found: list[RowAnswers | str] = []
    for row in rows:
        try:
            found.append(reader.answers(row, preferences=preferences))
        except RowError as error:
            found.append(str(error))
    return found


def check_both(rows: Sequence[Any], preferences: bool = False, **how: Any) -> None:
    """Answers, pairs, refusals and what is said of the file are the same."""
    quick, slow = Reader(**how), Reader(**how)
    slow._text_rows = Never()
    assert read(quick, rows, preferences) == read(slow, rows, preferences)
    assert (quick.said(), quick.ties) == (slow.said(), slow.ties)


TURNS = OTHERS[6]
KEYS = [("prompt", "chosen", "rejected"), ("input", "chosen", "rejected"), ("chosen", "rejected", "messages")]
KEYS += [("question", "answer"), ("instruction", "input", "output"), ("prompt", "response", "completion")]
KEYS += [("text",), ("messages",), ("messages", "response"), ("conversations",), ("chosen", "rejected")]


@pytest.mark.slow
@pytest.mark.parametrize("keys", KEYS, ids="+".join)
def test_one_odd_value_among_rows_of_plain_texts(keys):
    """Every value in every place, after a row that showed how rows of its keys and types are read."""
    plain = dict.fromkeys(keys, TEXTS[0])
    turns = {key: TEXTS[0] if key in ASKED[:4] else TURNS for key in keys}
    for first in (plain, turns):
        rows = [first, *({**first, key: value} for key in keys for value in TEXTS + OTHERS)]
        check_both(rows)
        check_both(rows, ignore=["name"])
    for key in BESIDE:
        for value in (TEXTS[0], None, 0, ["a"], {"a": 1}):
            check_both([{**plain, key: value}, *({**plain, key: other} for other in TEXTS + OTHERS)])


@given(
    rows=st.lists(
        st.dictionaries(
            st.sampled_from(ASKED + ANSWERED + BESIDE), st.sampled_from(TEXTS + OTHERS), max_size=5
        ),
        max_size=4,
    ),
    again=st.lists(st.integers(0, 3), max_size=4),
    ignore=st.sampled_from([(), ("source", "context"), ("rejected",)]),
    mapping=st.sampled_from([None, {"prompt": "question"}]),
    preferences=st.booleans(),
)
def test_rows_of_any_keys_in_any_order(rows, again, ignore, mapping, preferences):
    rows += [rows[i] for i in again if i < len(rows)]
    check_both(rows, preferences, ignore=ignore, mapping=mapping)


@pytest.mark.parametrize(
    ("shape", "row"),
    [
        (Preference, {"id": 1, "prompt": "Is it safe?", "chosen": "Yes.", "rejected": "No.", "tags": ["a"]}),
        (PromptResponse, {"question": "Is it safe?", "answer": "Yes.", "source": None, "of": {"n": 1}}),
        (Preference, {"prompt": "Hi", "chosen": TURNS, "rejected": TURNS}),
        (Preference, {"chosen": TURNS, "rejected": TURNS}),
        (Messages, {"messages": TURNS}),
        (ShareGPT, {"conversations": OTHERS[9]}),
    ],
)
def test_a_shape_looks_at_the_first_row_of_plain_texts_or_turns_only(monkeypatch, shape, row):
    looked = []
    as_it_is = shape.read
    monkeypatch.setattr(shape, "read", lambda self, fields: looked.append(1) or as_it_is(self, fields))
    reader = Reader()
    found = [reader.answers({**row, "id": i}) for i in range(5)]
    assert len(looked) == 1 and found[1:] == found[:1] * 4
    assert reader.said()[0].startswith(f"read as {shape.title}")


def test_a_shape_that_tells_rows_by_their_values_is_asked_for_each():
    """KTO's label: whether a row has one lies in its value, so rows of one kind are of two shapes."""
    reader, row = Reader(), {"prompt": "Is it safe?", "completion": "Yes."}
    assert [reader.answers({**row, "label": label}).good for label in ("science", "true", "false")] == [
        None,
        True,
        False,
    ]
