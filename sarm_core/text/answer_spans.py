"""An answer cut into sentences, lines, paragraphs or groups of words that exactly tile it.

White space belongs to the span it follows, except that the indentation of a line belongs to that line; white
space at the very start belongs to the first span. A fenced code block is always one span: half a program
is another program. Where a sentence ends is `sentences`; the positions a harvest uses are `conversation.sentence_ends`.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise

from sarm_core.text.sentences import MARK, MARKER, WHOLE_LINE, blocks, sentence_ends

__all__ = ["UNITS", "Span", "answer_spans", "without"]

UNITS = ("sentences", "lines", "paragraphs", "words")

# Scripts that put no space between words: each character counts as one, with the marks that follow it.
_WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
    r"[\u3099\u309a\ufe00-\ufe0f\U000e0100-\U000e01ef。、！？，；：」』）】]*\s*"
    r"|[^\s\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+\s*"
)


@dataclass(frozen=True)
class Span:
    """Characters `start` to `stop` (not included) of an answer."""

    start: int
    stop: int

    def of(self, text: str) -> str:
        """The text it covers."""
        return text[self.start : self.stop]


def answer_spans(text: str, unit: str = "sentences", words: int = 5) -> tuple[Span, ...]:
    """Spans that tile `text`: the first starts at 0, each next one where the last stopped, the last at its end.

    `unit` is one of `UNITS`: "sentences" (a heading, a table row and a list marker with its first sentence
    included), "lines" (so list items), "paragraphs", "words" (sentences cut into groups of at most `words`; in scripts
    without spaces a character counts as a word). An empty text has no span; one of white space only has one.
    Raises ValueError for an unknown unit or `words` < 1.
    """
    if unit not in UNITS:
        raise ValueError(f"unknown unit {unit!r}: use {', '.join(UNITS)}")
    if words < 1:
        raise ValueError(f"a group needs at least one word, not {words}")
    ends = _ends_of(text, unit, words)
    if not text:
        return ()
    first = len(text) - len(text.lstrip())
    borders = sorted({border for end in ends if end > first and (border := _border(text, end)) is not None})
    starts = [0, *borders]
    return tuple(Span(a, b) for a, b in zip(starts, [*starts[1:], len(text)], strict=True))


def without(text: str, span: Span) -> str:
    """`text` without the span; of the white space before and after it, the stronger break stays.

    So a paragraph whose last sentence goes stays a paragraph, and the end of the text keeps the white space
    (or the lack of it) that it had.
    """
    left, right = text[: span.start], text[span.stop :]
    body = left.rstrip()
    if not body:
        return right
    before, after = left[len(body) :], span.of(text)[len(span.of(text).rstrip()) :]
    if not right:
        return body + after
    return body + max(before, after, key=lambda gap: (gap.count("\n"), len(gap))) + right


def _border(text: str, end: int) -> int | None:
    """Where the span after one that ends its last word at `end` starts; None when nothing visible follows."""
    visible = end
    while visible < len(text) and text[visible].isspace():
        visible += 1
    if visible == len(text):
        return None
    line = text.rfind("\n", end, visible)
    return visible if line < 0 else line + 1


def _ends_of(text: str, unit: str, words: int) -> list[int]:
    """Candidate ends: positions after the last character of a sentence, line, paragraph or group."""
    ends: list[int] = []
    prose_start: int | None = None  # of the paragraph being read
    for start, stop, is_code, _ in blocks(text):
        line = text[start:stop]
        if is_code or not line.strip():
            if prose_start is not None:
                ends += _prose_ends(text, prose_start, start, unit)
            prose_start = None
            if is_code:
                ends.append(stop)
        elif prose_start is None:
            prose_start = start
    if prose_start is not None:
        ends += _prose_ends(text, prose_start, len(text), unit)
    if unit == "words":
        ends += _word_ends(text, ends, words)
    return ends


def _prose_ends(text: str, start: int, stop: int, unit: str) -> list[int]:
    """Ends inside one paragraph (lines without a blank one between them), its own end included."""
    if unit == "paragraphs":
        return [start + len(text[start:stop].rstrip())]
    lines: list[tuple[int, int]] = []
    at = start
    for line in text[start:stop].split("\n"):
        if line.strip():
            lines.append((at, at + len(line)))
        at += len(line) + 1
    if unit == "lines":
        return [end for _, end in lines]
    ends: list[int] = []
    run_start = lines[0][0]
    for (a, b), following in zip(lines, [*lines[1:], None], strict=True):
        if following is not None and _wraps(text[a:b], text[following[0] : following[1]]):
            continue
        ends += [*sentence_ends(text, run_start, b), b]
        run_start = following[0] if following else b
    return ends


def _wraps(line: str, following: str) -> bool:
    """Whether a sentence goes on in the next line: hard-wrapped text, neither line being a list item or its like."""
    if any(WHOLE_LINE.match(each) for each in (line, following)) or MARKER.match(following):
        return False
    return following.lstrip()[:1].islower() and not MARK.search(line.rstrip()[-3:])


def _word_ends(text: str, ends: list[int], words: int) -> list[int]:
    """Ends of the groups that the pieces between `ends` are cut into: as few as `words` in each at most allow, of
    nearly one size. Code blocks stay whole."""
    code = [(block.start, block.stop) for block in blocks(text) if block.is_code]
    starts = [a for a, _ in code]
    borders = sorted({0, len(text), *ends})
    found = []
    for a, b in pairwise(borders):
        place = bisect_left(starts, b) - 1  # the last block that starts before b; those before it end earlier
        if place >= 0 and a < code[place][1]:
            continue
        inside = [match.end() for match in _WORD.finditer(text, a, b)]
        groups = -(-len(inside) // words)
        found += [inside[group * len(inside) // groups - 1] for group in range(1, groups)]
    return found
