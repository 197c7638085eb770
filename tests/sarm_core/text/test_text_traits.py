"""What is said of a place holds there, and the place is the one the harvest looked at."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from sarm_core.text.conversation import ChatFormat, sentence_ends
from sarm_core.text.rows import Conversation, Message
from sarm_core.text.text_traits import AnswerPlaces, kind_of, phrase, says_no
from tests.sarm_core.tiny_models import chatml

ITEMS = Path(__file__).parents[3] / "examples" / "over_refusal" / "items.jsonl"


def places(answer: str, category: str | None = None) -> AnswerPlaces:
    return AnswerPlaces(
        [{"role": "user", "content": "Why? Because."}, {"role": "assistant", "content": answer}], category
    )


def said(answer: str, place: int = 0) -> set[str]:
    return {phrase(trait) for trait in places(answer).traits(place)}


REFUSALS = [
    "I'm sorry, but I can't help with that.",
    "I can’t help turn a class against somebody.",
    "I cannot and will not provide instructions for this.",
    "I won't do that.",
    "I'm not able to give medical advice.",
    "I am unable to assist with this request.",
    "We're not comfortable sharing that.",
    "I'm not going to write it.",
    "As an AI, there is little to add here.",
    "Sorry, can't help with that.",
    "I'm sorry, but that isn't something for me.",
    "I must decline.",
    "I don't provide such advice.",
]
NO_REFUSALS = [
    "You can't give up now!",
    "The museum will not offer tickets.",
    "I can help with that lamp.",
    "We cannot see the moon.",
    "I can't help but laugh.",
    "I can't give up.",
    "I'm sorry for your loss.",
    "I'm sorry you had such a day.",
    "You cannot create a new table without a name.",
    "A vaccine cannot give you the flu.",
    "They won't answer the phone on Sundays.",
    "I apologise for the delay.",
    "I can't believe you would do that.",
    "Paracetamol won't do anything for the swelling.",
    "Why can't they help?",
]


@pytest.mark.parametrize("sentence", REFUSALS)
def test_an_assistant_that_declines_is_a_refusal(sentence):
    assert says_no(sentence)


@pytest.mark.parametrize("sentence", NO_REFUSALS)
def test_others_who_can_not_are_no_refusal(sentence):
    assert not says_no(sentence)


def test_refusals_are_told_from_answers_that_were_written_by_others():
    """On the case study's texts: no answer is taken for a refusal. Many refusals say no in other words."""
    rows = [json.loads(line) for line in ITEMS.read_text(encoding="utf-8").splitlines()]
    found = {
        kind: [
            any(says_no(part) for part in re.split(r"(?<=[.!?])\s+", row[name]))
            for row in rows
            for name in (kind, f"{kind}_2")
        ]
        for kind in ("answer", "refusal")
    }
    assert sum(found["answer"]) == 0 and sum(found["refusal"]) > 0.3 * len(found["refusal"])


@pytest.mark.parametrize(
    ("answer", "place", "wanted"),
    [
        ("That lamp is hot. I cannot provide instructions.", 0, "answer ends in a refusal"),
        ("I can't help with that. Ask a doctor.", 1, "answer opens with a refusal"),
        ("Do this:\n- air\n- room", 0, 'ends in ":"'),
        ("Do this:\n- air\n- room", 1, "list item"),
        ("Do this:\n- air\n- room", 0, "answer has a list"),
        ("```python\nlamp = 2 + 2\n```", 0, "code fence"),
        ("```python\nlamp = 2 + 2\n```", 1, "line of code"),
        ("```python\nlamp = 2 + 2\n```", 1, "has arithmetic"),
        ("```python\nlamp = 2 + 2\n```", 2, "code fence"),
        ("## Lamp\nair room.", 0, "heading"),
        ("**Lamp:**\nair room.", 1, "answer has headings"),
        ("Is the lamp safe?", 0, "question"),
        ("The lamp is on the", 0, "cut off mid-sentence"),
        ("The lamp is on the", 0, 'ends "on the"'),
        ("First Lamp.\nNext", 0, 'begins "first"'),
        ("It never glows! It is 5.", 0, "has a negation"),
        ("It is 5", 0, "ends in a number"),
        ("A. B. A.", 2, "repeats an earlier sentence"),
        ("One lamp.", 0, "sentence of 1 to 3 words"),
        ("Lamp " * 400 + ".", 0, "answer of over 300 words"),
    ],
)
def test_traits_are_seen(answer, place, wanted):
    assert wanted in said(answer, place)


@pytest.mark.parametrize(
    ("answer", "unwanted"),
    [
        ("The room - air - lamp.", "answer has a list"),
        ("It is 12:30", "cut off mid-sentence"),
        ("Lamps glow. They do.", "repeats an earlier sentence"),
        ("Lamps glow.", 'ends in ":"'),
        ("A lamp. Is it safe?", "question"),
    ],
)
def test_ordinary_sentences_have_no_such_traits(answer, unwanted):
    assert unwanted not in said(answer, 0)


def test_the_scored_token_has_the_traits_of_the_last_sentence():
    answer = places("Lamps glow. Do they?")
    assert len(answer) == 3 and answer.traits(2) == answer.traits(1) != answer.traits(0)
    assert list(answer.looked_at(scored_only=True)) == [2]


def test_an_empty_answer_has_no_places():
    assert len(places("")) == len(AnswerPlaces([])) == 0
    assert list(places(" ").looked_at(scored_only=True)) == []
    assert places("").place_of(["<|im_end|>"], 0) is None


def test_kinds_and_the_category():
    found = places("Lamps glow.", "health \n safety").traits(0)
    assert "health safety prompts" in {phrase(trait) for trait in found if kind_of(trait) == "answer"}
    assert '"lamps glow"' in {phrase(trait) for trait in found if kind_of(trait) == "words"}


@pytest.mark.parametrize("length", [4096, 40])
@pytest.mark.parametrize(
    "answer",
    [
        "Air the room. Then “wait”! 😀 Is it safe?\n\n- yes\n- no…\n```\nx = 1\n```\nThat is all",
        "Yes.",
        "Yes",
        "  No? \n",
        "是。你好！ Well.",
        "A sentence. " * 30 + "The end.",
    ],
)
def test_the_place_of_a_peak_is_the_sentence_that_ends_in_its_token(answer, length):
    """Against the harvest's own sentence ends, also where the beginning was cut off."""
    turns = (Message("user", "Yes. No?"), Message("assistant", answer))
    (sequence,) = ChatFormat(chatml(), max_length=length).tokens([Conversation(messages=turns)])
    tokens, peaks = sequence.pieces(), sentence_ends(sequence).tolist()
    found = places(answer)
    at = [found.place_of(tokens, peak) for peak in peaks]
    assert at[-1] == len(found) - 1
    assert None not in at and at == sorted(set(at))
    if not sequence.n_cut:
        assert len(at) == len(found)
    assert found.place_of(tokens, len(tokens)) is None


def test_words_without_end_are_no_trait():
    assert all(len(phrase(trait)) < 80 for trait in places("Lamp " + "a" * 1000 + " glows.").traits(0))
