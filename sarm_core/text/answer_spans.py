"""An answer cut into sentences, lines, paragraphs or groups of words that exactly tile it.

White space belongs to the span it follows, except that the indentation of a line belongs to that line; white
space at the very start belongs to the first span. A fenced code block is always one span: half a program
is another program. This is a reader's splitter: the positions a harvest uses are `conversation.sentence_ends`.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["UNITS", "Span", "answer_spans", "without"]

UNITS = ("sentences", "lines", "paragraphs", "words")

_CLOSERS = "\"')\\]}”’»*_`」』）】》〉〕"
# A run of marks is tried from its first mark only (nothing that starts inside it could match where the whole does
# not), and given up at once: read again from each mark, 16,000 full stops took seconds.
_END = re.compile(
    rf"(?<![.!?…])[.!?…]*+[。！？｡][.!?…。！？｡]*+[{_CLOSERS}]*+"  # followed by the next sentence without a space
    rf"|(?<![.!?…])[.!?…]++[{_CLOSERS}]*+(?=\s|$)"
)
_INLINE_CODE = re.compile(r"`[^`\n]+`")
_FENCE = re.compile(r"[ \t]*(```+|~~~+)")
_MARKER = re.compile(r"[ \t>]*(?:[-*+•]|\(?(?:\d{1,3}|[A-Za-z])[.)])[ \t]+(?=\S)")
_WHOLE_LINE = re.compile(r"[ \t]*(?:#{1,6} |\||(?:[-*_][ \t]*){3,}$)")  # headings, table rows, rules
# Before a name these never end a sentence; the second kind not before a number or in the middle of a clause.
_TITLES = frozenset(["dr", "mr", "mrs", "ms", "prof", "st", "vs", "cf", "e.g", "i.e", "eg", "ie"])
_BEFORE_NUMBERS = frozenset(
    ["no", "nos", "fig", "figs", "approx", "ca", "p", "pp", "vol", "sec", "ch", "art", "eq", "nr"]
)
_MAY_END = frozenset(["etc", "a.m", "p.m", "jr", "sr", "inc", "ltd", "co", "al"])
_INITIALS = re.compile(r"(?:[A-Za-z]\.)*[A-Za-z]")
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
    for start, stop, is_code in _blocks(text):
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


def _blocks(text: str) -> list[tuple[int, int, bool]]:
    """(start, stop, is code): each fenced block as one, every other line apart, line breaks not included."""
    blocks: list[tuple[int, int, bool]] = []
    fence = ""
    at = 0
    for line in text.split("\n"):
        stop = at + len(line)
        opening = _FENCE.match(line)
        if fence:
            blocks[-1] = (blocks[-1][0], stop, True)
            if opening and opening[1].startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
        elif opening and not ("`" in line[opening.end() :] and opening[1][0] == "`"):
            fence = opening[1]
            blocks.append((at, stop, True))
        else:
            blocks.append((at, stop, False))
        at = stop + 1
    return blocks


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
        ends += [*_sentence_ends(text, run_start, b), b]
        run_start = following[0] if following else b
    return ends


def _wraps(line: str, following: str) -> bool:
    """Whether a sentence goes on in the next line: hard-wrapped text, neither line being a list item or its like."""
    if any(_WHOLE_LINE.match(each) for each in (line, following)) or _MARKER.match(following):
        return False
    return following.lstrip()[:1].islower() and not _END.search(line.rstrip()[-3:])


def _sentence_ends(text: str, start: int, stop: int) -> list[int]:
    part = text[start:stop]
    if _WHOLE_LINE.match(part):
        return []
    marker = _MARKER.match(part)
    code = [(found.start(), found.end()) for found in _INLINE_CODE.finditer(part)]
    starts = [a for a, _ in code]
    ends = []
    for found in _END.finditer(part, marker.end() if marker else 0):
        place = bisect_right(starts, found.start()) - 1
        if place >= 0 and found.start() < code[place][1] - 1:
            continue
        if _ends_sentence(part, found.start(), found.end()):
            ends.append(start + found.end())
    return ends


def _ends_sentence(part: str, at: int, end: int) -> bool:
    """Whether the punctuation part[at:end] ends a sentence: not after an abbreviation, nor within a clause."""
    mark = re.match(r"[.!?…。！？｡]+", part[at:end])[0]  # type: ignore[index]
    if any(c in "。！？｡" for c in mark):
        return True
    follows = part[end : end + 40].lstrip()[:1]
    quoted = bool(part[at + len(mark) : end].strip("*_`"))
    if follows.islower() and (quoted or mark.startswith(("…", ".."))):
        return False
    if mark != ".":
        return True
    word = re.split(r"\s", part[max(0, at - 40) : at])[-1].lstrip("([{\"'“‘*_").lower()
    if word in _TITLES:
        return False
    if word in _BEFORE_NUMBERS:
        return not (follows.isdigit() or (follows.islower() and word != "no"))
    if word in _MAY_END:
        return not follows.islower()
    return word == "i" or not _INITIALS.fullmatch(word)


def _word_ends(text: str, ends: list[int], words: int) -> list[int]:
    """Ends of the groups that the pieces between `ends` are cut into: as few as `words` in each at most allow, of
    nearly one size. Code blocks stay whole."""
    code = [(a, b) for a, b, is_code in _blocks(text) if is_code]
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
