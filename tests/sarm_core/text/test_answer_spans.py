"""Spans of an answer tile it exactly, whatever it holds; taking one out keeps the rest as it was."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sarm_core.text.answer_spans import UNITS, answer_spans, without

PIECES = [
    "It is big.", " ", "\n", "\n\n", "- one thing", "  - deeper", "1. first", "Dr. Who came.", "```", "~~~", "```py\n",
    "`a. b`", "。", "！", "你好", "「行。」", "...", "## Head", "| a | b |", "e.g. this", "\r\n", "\u3000", "No.", "x",
    "> quoted", "\u200b", "---", "가나다.", "か\u3099", "\U0001f469\u200d\U0001f680", "(Yes!)", "\t",
    "\n ```", "\n  ```\n", "\n \n",
]  # fmt: skip
TEXT = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES), max_size=14).map("".join))


def parts(text, unit="sentences", words=5):
    return [span.of(text) for span in answer_spans(text, unit, words)]


@pytest.mark.slow
@settings(max_examples=300)
@given(text=TEXT, unit=st.sampled_from(UNITS), words=st.integers(1, 4))
def test_spans_tile_the_answer(text, unit, words):
    spans = answer_spans(text, unit, words)
    assert "".join(span.of(text) for span in spans) == text
    assert all(a.stop == b.start for a, b in pairwise(spans))
    assert all(span.start < span.stop for span in spans)
    if text.strip():
        assert all(span.of(text).strip() for span in spans)


@pytest.mark.slow
@settings(max_examples=200)
@given(text=TEXT, words=st.integers(1, 4))
def test_finer_units_keep_the_borders_of_coarser_ones(text, words):
    starts = {unit: {span.start for span in answer_spans(text, unit, words)} for unit in UNITS}
    assert starts["paragraphs"] <= starts["lines"]
    assert starts["paragraphs"] <= starts["sentences"] <= starts["words"]


@pytest.mark.slow
@settings(max_examples=300)
@given(text=TEXT, unit=st.sampled_from(UNITS), data=st.data())
def test_without_a_span_the_rest_stays_and_no_words_grow_together(text, unit, data):
    spans = answer_spans(text, unit, 2)
    if not spans:
        return
    span = data.draw(st.sampled_from(spans))
    left, right = text[: span.start], text[span.stop :]
    shorter = without(text, span)
    assert "".join(shorter.split()) == "".join((left + right).split())
    if left.strip() and right and (left[-1].isspace() or span.of(text)[-1].isspace()):
        assert shorter.split() == left.split() + right.split()
    if left.strip():
        trailing = text[len(text.rstrip()) :]
        assert shorter[len(shorter.rstrip()) :] == trailing
    assert shorter.count("\n\n") <= text.count("\n\n")


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", []),
        (" \n ", [" \n "]),
        ("One sentence", ["One sentence"]),
        ("No. You must not.", ["No. ", "You must not."]),
        ("See No. 5. Then go.", ["See No. 5. ", "Then go."]),
        ("Ask Dr. Lee, e.g. Today. Or p. 5 of it.", ["Ask Dr. Lee, e.g. Today. ", "Or p. 5 of it."]),
        (
            "It costs 3.14 dollars. Up to 5 p.m. Then stop.",
            ["It costs 3.14 dollars. ", "Up to 5 p.m. ", "Then stop."],
        ),
        ("Pens, ink, etc. are here. So am I. You?", ["Pens, ink, etc. are here. ", "So am I. ", "You?"]),
        ("By J. K. Rowling. In the U.S. Army.", ["By J. K. Rowling. ", "In the U.S. Army."]),
        ('"Really?" he asked. "Yes!" Then left', ['"Really?" he asked. ', '"Yes!" ', "Then left"]),
        ("Wait... what? Well… Yes", ["Wait... what? ", "Well… ", "Yes"]),
        ("**Note.** It is. `a. b` stays.", ["**Note.** ", "It is. ", "`a. b` stays."]),
        ("你好。今天很好！你呢？「行。」他说", ["你好。", "今天很好！", "你呢？", "「行。」", "他说"]),
        ("そうです。Yes. はい", ["そうです。", "Yes. ", "はい"]),
        ("1. Do this. Then that.\n2. Stop.", ["1. Do this. ", "Then that.\n", "2. Stop."]),
        ("- a\n  - b\n\nEnd. Of it", ["- a\n", "  - b\n\n", "End. ", "Of it"]),
        ("wrapped here and\ngoes on. Next", ["wrapped here and\ngoes on. ", "Next"]),
        ("A line\nAnother line", ["A line\n", "Another line"]),
        ("# Head. Line\n| 1. a | b |\n", ["# Head. Line\n", "| 1. a | b |\n"]),
        (
            "Run:\n```py\nx = 1. \n\ny\n```\nDone. Ok",
            ["Run:\n", "```py\nx = 1. \n\ny\n```\n", "Done. ", "Ok"],
        ),
        ("Open:\n```\na. B", ["Open:\n", "```\na. B"]),
        ("````\n```\nA. B\n```\n````\nOut.", ["````\n```\nA. B\n```\n````\n", "Out."]),
    ],
)
def test_sentences(text, sentences):
    assert parts(text) == sentences


def test_lines_paragraphs_and_words():
    text = "Take these:\n\n- one big thing\n- two\n\n```\ncode here now\n\n```\nThe end. Of all this."
    assert parts(text, "lines") == [
        "Take these:\n\n", "- one big thing\n", "- two\n\n", "```\ncode here now\n\n```\n", "The end. Of all this.",
    ]  # fmt: skip
    assert parts(text, "paragraphs") == [
        "Take these:\n\n", "- one big thing\n- two\n\n", "```\ncode here now\n\n```\n", "The end. Of all this.",
    ]  # fmt: skip
    assert parts(text, "words", 2) == [
        "Take these:\n\n", "- one ", "big thing\n", "- two\n\n", "```\ncode here now\n\n```\n", "The end. ", "Of ",
        "all this.",
    ]  # fmt: skip
    assert parts("今日はいい天気です。", "words", 4) == ["今日は", "いい天", "気です。"]


def test_taking_a_sentence_out_keeps_its_paragraph():
    text = "A one. B two.\n\n  - C three.\nD four.\n"
    assert [without(text, span) for span in answer_spans(text)] == [
        "B two.\n\n  - C three.\nD four.\n",
        "A one.\n\n  - C three.\nD four.\n",
        "A one. B two.\n\nD four.\n",
        "A one. B two.\n\n  - C three.\n",
    ]


def test_unknown_units_are_refused():
    with pytest.raises(ValueError, match="use sentences, lines"):
        answer_spans("a", "letters")
    with pytest.raises(ValueError, match="at least one word"):
        answer_spans("a", "words", 0)
