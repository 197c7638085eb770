"""Long runs of one character: every reader of answers ends, and reads what the plain patterns read."""

import re
import signal
from collections import Counter
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sarm_core.find.bias_pairs import BIASES
from sarm_core.text import conversation, sentences
from sarm_core.text.answer_spans import UNITS, answer_spans
from sarm_core.text.rewrites import REWRITES, rewrite
from sarm_core.text.text_traits import AnswerPlaces
from tests.processes import forked, forks

LONG = 20_000
HANGS = 4
"""Seconds of a processor after which the readers of one run do not end; a tenth to one is what they take together."""
RUNS = [
    ".", ". ", ".\n", "\n", " ", " \n", "7", "*", "**a ", "**a**\n", "__a ", "_a ", "#", "# a\n", "- ", "- a\n", "-\n",
    "`", "```\na\n", "?!", ".。", "Dr. A ", "No. 1 ", ").", "> ", "|-\n", "first ", "First one\n", "\t",
    '"', "i can't just ", "= ", "```\n", "a",
]  # fmt: skip


def _read_all(run):
    text = (run * (LONG // len(run) + 1))[:LONG] + "a"
    for unit in UNITS:
        spans = answer_spans(text, unit)
        assert "".join(span.of(text) for span in spans) == text
    for rule in REWRITES:
        new = rewrite(text, rule)
        assert new is None or new != text
    for make in BIASES.values():
        make(text)
    places = AnswerPlaces([{"role": "assistant", "content": text}])
    assert all(places.traits(place) for place in (0, len(places) - 1))
    list(conversation._POSITION.finditer(text))


@pytest.mark.slow
def test_a_long_run_of_anything_does_not_stop_the_page():
    """Quadratic reading of 20,000 full stops takes six seconds or more, in the thread that draws the page."""
    reached, reaches = forks().Pipe(duplex=False)
    worker = forked(_read_runs, reaches)
    reaches.close()
    read = []
    with suppress(EOFError):
        while True:
            read.append(reached.recv())
    worker.join()
    assert worker.exitcode == 0, f"a reader of answers does not end: {RUNS[len(read) - 1]!r}"
    assert read == RUNS


def _read_runs(reaches):
    for run in RUNS:
        reaches.send(run)
        signal.setitimer(signal.ITIMER_VIRTUAL, HANGS)  # ends the process, also within a pattern
        _read_all(run)


MARKS = st.text(alphabet=".!?…。！？｡\"')」*_` \nabA1", max_size=14)


@settings(max_examples=400)
@given(text=MARKS)
def test_sentence_ends_are_those_of_the_plain_pattern(text):
    """The patterns that are read once find what the obvious ones, tried at every character, find."""
    closers = "\"')\\]}”’»*_`」』）】》〉〕"
    mark = rf"[.!?…]*[。！？｡][.!?…。！？｡]*[{closers}]*|[.!?…]+[{closers}]*(?=\s|$)"
    for pattern, plain in (
        (sentences.MARK, mark),
        (conversation._POSITION, rf"{mark}|(?<=\S)(?=\n)|(?<=\S)$"),
    ):
        found = [match.span() for match in pattern.finditer(text)]
        assert found == [match.span() for match in re.finditer(plain, text)]


@pytest.mark.slow
@settings(max_examples=200)
@given(text=st.text(alphabet="ab. \n`", max_size=60), words=st.integers(1, 4))
def test_groups_of_words_leave_code_blocks_whole(text, words):
    text = text.replace("`", "```")
    spans = answer_spans(text, "words", words)
    assert "".join(span.of(text) for span in spans) == text
    starts = Counter(span.start for span in spans)
    for start, stop, is_code, _ in sentences.blocks(text):
        assert not is_code or not any(start < border < stop for border in starts)
