"""Which answers a row holds; every defect ends in one line that names the reason and the remedy."""

import numpy as np
import pytest

from sarm_core.errors import RowError
from sarm_core.text.answers import conversation_of, pair_of
from sarm_core.text.rows import Conversation, Message

USER = {"role": "user", "content": "Is it safe?"}
ANSWER = {"role": "assistant", "content": "Yes."}
WANTED = Conversation(messages=(Message("user", "Is it safe?"), Message("assistant", "Yes.")))


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [USER, ANSWER]},
        {"messages": [USER], "response": "Yes."},
        {"prompt": "Is it safe?", "response": "Yes."},
        {"prompt": [USER], "response": "Yes."},
        {"question": "Is it safe?", "answer": "Yes."},
        {"prompt": "Is it safe?", "answer": "Yes."},
        {"question": "Is it safe?", "response": "Yes."},
        {"messages": None, "prompt": "Is it safe?", "response": "Yes.", "id": 7, "extra": [1]},
        {"messages": np.array([USER, ANSWER], dtype=object)},
        {"messages": (Message("user", "Is it safe?"), Message("assistant", "Yes."))},
    ],
)
def test_every_documented_shape_gives_the_same_conversation(row):
    assert conversation_of(row) == WANTED


def test_token_ids_are_kept_as_they_are():
    assert conversation_of({"input_ids": [3, 0, 128009]}) == Conversation(input_ids=(3, 0, 128009))
    assert conversation_of({"input_ids": np.array([3, 0])}).input_ids == (3, 0)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({}, ["no keys at all", "messages", "prompt + response"]),
        ({"texts": "a", "id": 1}, ["'texts'", "'id'", "prompt + response", "--map"]),
        ({"prompt": "a"}, ["no 'response'"]),
        ({"response": "a"}, ["no 'prompt'"]),
        ({"prompt": "a", "response": None}, ["no 'response'", "null"]),
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, ["preference row", "contrast"]),
        ({"prompt": "a", "response": 5}, ["'response' must be a string", "a number"]),
        ({"prompt": "a", "response": True}, ["true/false"]),
        ({"prompt": 3, "response": "b"}, ["'prompt' must be a string or a list"]),
        ({"prompt": [], "response": "b"}, ["'prompt' is an empty list"]),
        ({"prompt": "a", "response": " \n\t\u00a0"}, ["the answer in 'response' is empty"]),
        ({"prompt": "a", "response": "x\ud83d"}, ["surrogate", "character 1"]),
        ({"messages": "hello"}, ["'messages' must be a list", "a string"]),
        ({"messages": {"role": "user"}}, ["'messages' must be a list", "an object"]),
        ({"messages": []}, ["'messages' is an empty list"]),
        ({"messages": [USER]}, ["no assistant turn", "last turn"]),
        ({"messages": [USER, ANSWER, USER]}, ["last turn", "'user'"]),
        ({"messages": [USER, {"role": "assistant", "content": " "}]}, ["messages[1].content", "is empty"]),
        ({"messages": [USER, {"role": "bot", "content": "x"}]}, ["messages[1]", "'bot'", "assistant"]),
        ({"messages": [{"role": ["user"], "content": "x"}, ANSWER]}, ["messages[0]", "unknown role"]),
        ({"messages": [USER, {"role": "assistant"}]}, ["messages[1] has no 'content'", "'role'"]),
        ({"messages": [USER, {"fro": "gpt", "value": "x"}]}, ["no 'role' and 'content'", "'fro'"]),
        ({"messages": [USER, {"role": "assistant", "content": None}]}, ["must be a string", "null"]),
        (
            {"messages": [USER, {"role": "assistant", "content": [{"type": "text"}]}]},
            ["a part of type", "give its words as text"],
        ),
        ({"messages": ["hi", "there"]}, ["messages[0] is a string"]),
        ({"input_ids": []}, ["'input_ids' is empty"]),
        ({"input_ids": [1, 2.0]}, ["input_ids[1] is 2.0", "whole number"]),
        ({"input_ids": [True]}, ["input_ids[0] is True"]),
        ({"input_ids": [1, -4]}, ["input_ids[1] is -4"]),
        ({"input_ids": [[1, 2]]}, ["flat"]),
        ({"input_ids": [10**6000]}, ["huge number"]),
        ({"input_ids": "1 2 3"}, ["must be a list of token ids"]),
        (["prompt", "response"], ["not an object but a list"]),
        ("prompt", ["not an object but a string"]),
        (None, ["not an object but null"]),
    ],
)
def test_a_bad_row_says_what_is_wrong(row, words):
    with pytest.raises(RowError) as caught:
        conversation_of(row)
    text = str(caught.value)
    assert "\n" not in text
    for word in words:
        assert word in text


def test_the_place_can_be_added_later():
    with pytest.raises(RowError) as caught:
        conversation_of({"prompt": "a"})
    assert str(caught.value.at("in.jsonl", 12)).startswith("in.jsonl, row 12: has 'prompt'")


SYSTEM = {"role": "system", "content": "Be kind."}


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Is it safe?", "chosen": "Yes.", "rejected": "No."},
        {"messages": [USER], "chosen": "Yes.", "rejected": "No."},
        {"prompt": "Is it safe?", "chosen": [ANSWER], "rejected": [{"role": "assistant", "content": "No."}]},
        {"prompt": "Is it safe?", "chosen": [USER, ANSWER], "rejected": "No."},
        {"chosen": [USER, ANSWER], "rejected": [USER, {"role": "assistant", "content": "No."}]},
    ],
)
def test_every_pair_shape_gives_the_same_two_conversations(row):
    chosen, rejected = pair_of(row)
    assert chosen == WANTED
    assert rejected.messages == (WANTED.messages[0], Message("assistant", "No."))


def test_a_whole_conversation_around_the_prompt_is_not_doubled():
    row = {"prompt": "Is it safe?", "chosen": [SYSTEM, USER, ANSWER], "rejected": "No."}
    chosen, _ = pair_of(row)
    assert [turn.role for turn in chosen.messages] == ["system", "user", "assistant"]


def test_pairs_of_token_ids():
    chosen, rejected = pair_of({"chosen_input_ids": [1, 2], "rejected_input_ids": [1, 3]})
    assert (chosen.input_ids, rejected.input_ids) == ((1, 2), (1, 3))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"prompt": "a", "chosen": "b"}, ["no 'rejected'", "'prompt'"]),
        ({"prompt": "a", "response": "b"}, ["no 'chosen' and 'rejected'"]),
        ({"chosen": "b", "rejected": "c"}, ["no 'prompt' or 'messages'"]),
        ({"prompt": "a", "chosen": "", "rejected": "c"}, ["the answer in 'chosen' is empty"]),
        ({"prompt": "a", "chosen": "b", "rejected": [USER]}, ["'rejected' has no assistant turn"]),
        ({"prompt": "b", "chosen": [USER, ANSWER], "rejected": "c"}, ["does not contain the prompt"]),
        ({"prompt": "a", "chosen": 4, "rejected": "c"}, ["'chosen' must be a string or a list"]),
    ],
)
def test_a_bad_pair_says_what_is_wrong(row, words):
    with pytest.raises(RowError) as caught:
        pair_of(row)
    for word in words:
        assert word in str(caught.value)
