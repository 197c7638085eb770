"""One answer to "where does a sentence end" and "what is code", whoever asks."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sarm_core.find.bias_pairs import BIASES
from sarm_core.text.answer_spans import answer_spans
from sarm_core.text.conversation import sentence_end_characters
from sarm_core.text.rewrites import REWRITES
from sarm_core.text.sentences import blocks, map_prose, sentence_ends, sentences
from sarm_core.text.text_traits import AnswerPlaces

LINES = [
    ("Ask Dr. Lee. He knows, e.g. Latin.", ["Ask Dr. Lee.", "He knows, e.g. Latin."]),
    ("Pens, ink, etc. are here. So am I.", ["Pens, ink, etc. are here.", "So am I."]),
    ("Pens, ink, etc. Then go.", ["Pens, ink, etc.", "Then go."]),
    ("Open at 5 p.m. Then go.", ["Open at 5 p.m.", "Then go."]),
    ("See No. 5. No. You must not.", ["See No. 5.", "No.", "You must not."]),
    ("It rose. ebay fell.", ["It rose.", "ebay fell."]),
    ('"Really?" he asked. "Yes!" Then left.', ['"Really?" he asked.', '"Yes!"', "Then left."]),
    ("«Oui.» Alors.", ["«Oui.»", "Alors."]),
    ("Use `a. B` here. Then go.", ["Use `a. B` here.", "Then go."]),
    ("你好。今天很好！Yes.", ["你好。", "今天很好！", "Yes."]),
]


@pytest.mark.parametrize(("line", "wanted"), LINES)
def test_every_reader_splits_a_line_alike(line, wanted):
    assert sentences(line) == wanted
    assert [span.of(line).strip() for span in answer_spans(line)] == wanted
    wide = REWRITES["whitespace"](line, np.random.default_rng(0))
    assert wide is not None and re.sub(r"(?<=\S) {2}(?=\S)", " ", wide) == line
    spaced = [found.start() for found in re.finditer(r" {2}", wide)]
    ends = sentence_ends(line, 0, len(line))
    assert len(spaced) == sum(line[end : end + 1] == " " for end in ends)
    made = BIASES["length"](line)
    assert made is not None and made[1] == " ".join(wanted)
    assert set(ends) <= set(sentence_end_characters(line))  # a harvest looks at each of them, and at more


def test_a_harvest_looks_at_marks_and_lines_whatever_they_abbreviate():
    """The positions an SAE was trained on: they do not move when the reader's splitter learns a word."""
    text = "Ask Dr. Lee, etc. now.\n- a\n```\nx = 1.\n```\n你好。对"
    ends = [text[:end].split("\n")[-1] for end in sentence_end_characters(text)]
    assert ends == [
        "Ask Dr.",
        "Ask Dr. Lee, etc.",
        "Ask Dr. Lee, etc. now.",
        "- a",
        "```",
        "x = 1.",
        "```",
        "你好。",
        "你好。对",
    ]


FENCED = [
    ("Run:\n```py\nx. Y\n```\nDone.", ["```py\nx. Y\n```"]),
    ("~~~\na\n```\nb\n~~~\nc", ["~~~\na\n```\nb\n~~~"]),
    ("````\n```\na\n```\n````\nb", ["````\n```\na\n```\n````"]),
    ("Open:\n```\na. B", ["```\na. B"]),
    ("Run this: ```python\nx. Y\n```\nDone.", ["```python\nx. Y\n```"]),
    ("It is ```x``` here.\nNo more.", []),
    ("No code. None.", []),
]


@pytest.mark.parametrize(("text", "code"), FENCED)
def test_every_reader_knows_the_same_code(text, code):
    assert [text[b.start : b.stop] for b in blocks(text) if b.is_code] == code
    for block in code:
        for unit in ("sentences", "lines"):
            assert any(block == span.of(text).strip() for span in answer_spans(text, unit))
        assert block in map_prose(text, str.upper)
    if code:  # a place belongs to what it begins in
        places = AnswerPlaces([{"role": "assistant", "content": text}])
        kinds = [
            {"scode fence", "sline of code"} & places.traits(i)
            for i in range(len(sentence_end_characters(text)))
        ]
        begins = [len(text) - len(text[at:].lstrip()) for at in [0, *sentence_end_characters(text)[:-1]]]
        start = text.find(code[0])
        assert [bool(kind) for kind in kinds] == [start <= at < start + len(code[0]) for at in begins]


def test_an_open_fence_is_told_from_a_closed_one():
    assert [b.closed for b in blocks("```\na\n```\nb\n```\nc") if b.is_code] == [True, False]
    assert REWRITES["suffix"]("Text.\n```\na = 1", np.random.default_rng(0)) is None
    assert REWRITES["suffix"]("Text.\n```\na = 1\n```", np.random.default_rng(0)) is not None


TEXT = st.text(alphabet='aB. \n`~!。"-1', max_size=60)


@pytest.mark.slow
@settings(max_examples=150)
@given(text=TEXT)
def test_blocks_cover_a_text_and_prose_changes_nothing_else(text):
    covered = [text[b.start : b.stop] for b in blocks(text)]
    assert "".join(covered).replace("\n", "") == text.replace("\n", "")
    assert map_prose(text, lambda prose: prose) == text
    assert len(map_prose(text, lambda prose: "x" * len(prose))) == len(text)


@settings(max_examples=150)
@given(text=TEXT)
def test_sentences_keep_every_word(text):
    line = text.replace("\n", " ")
    assert "".join("".join(sentences(line)).split()) == "".join(line.split())
