"""Where sentences end and where code is: the one reading of a text that splitters, rewrites, traits and harvests share.

Two questions are kept apart. A *mark* is punctuation that may end a sentence; a harvest looks at every mark and every
end of a line, because an SAE is pretrained there [SARM, sec. 3.1] and an abbreviation more does no harm. A *sentence*
is what a reader takes for one: a mark after "Dr." does not end it, nor one after "etc." before a small letter, nor
one inside inline code; a Chinese or Japanese full stop ends it without a space.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["MARK", "MARKER", "WHOLE_LINE", "Block", "blocks", "map_prose", "sentence_ends", "sentences"]

_CLOSERS = "\"')\\]}”’»*_`」』）】》〉〕"
# A run of marks is tried from its first mark only (nothing that starts inside it could match where the whole does
# not), and given up at once: read again from each mark, 16,000 full stops took seconds.
MARK = re.compile(
    rf"(?<![.!?…])[.!?…]*+[。！？｡][.!?…。！？｡]*+[{_CLOSERS}]*+"  # followed by the next sentence without a space
    rf"|(?<![.!?…])[.!?…]++[{_CLOSERS}]*+(?=\s|$)"
)
"""Punctuation that may end a sentence, with the quotation marks and brackets that close after it."""
MARKER = re.compile(r"[ \t>]*(?:[-*+•]|\(?(?:\d{1,3}|[A-Za-z])[.)])[ \t]+(?=\S)")
"""What stands before the first word of a list item or a quoted line."""
WHOLE_LINE = re.compile(r"[ \t]*(?:#{1,6} |\||(?:[-*_][ \t]*){3,}$)")
"""The beginning of a line that is no sentence: a heading, a table row, a rule."""
_INLINE_CODE = re.compile(r"`[^`\n]+`")
_FENCE = re.compile(r"[ \t]*(```+|~~~+)")
_FENCE_AFTER_PROSE = re.compile(r"(?<!`)```[\w+-]*[ \t]*$")  # "Run this: ```python"
# Before a name these never end a sentence; the second kind not before a number or in the middle of a clause.
_TITLES = frozenset(["dr", "mr", "mrs", "ms", "prof", "st", "vs", "cf", "e.g", "i.e", "eg", "ie"])
_BEFORE_NUMBERS = frozenset(
    ["no", "nos", "fig", "figs", "approx", "ca", "p", "pp", "vol", "sec", "ch", "art", "eq", "nr"]
)
_MAY_END = frozenset(["etc", "a.m", "p.m", "jr", "sr", "inc", "ltd", "co", "al"])
_INITIALS = re.compile(r"(?:[A-Za-z]\.)*[A-Za-z]")


class Block(NamedTuple):
    """Characters `start` to `stop` of a text, the last line break not included: a line, or a fenced block of code.

    `closed` says of code whether its closing fence is there; half an answer may lack it.
    """

    start: int
    stop: int
    is_code: bool
    closed: bool = True


def blocks(text: str) -> list[Block]:
    """Each fenced block of code as one, every other line apart; they cover the text but for line breaks.

    A fence of three or more backticks or tildes is closed by one at least as long. One that opens at the end of
    a line of prose begins there.
    """
    found: list[Block] = []
    fence = ""
    at = 0
    for line in text.split("\n"):
        stop = at + len(line)
        opening = _FENCE.match(line)
        if fence:
            closes = bool(opening and opening[1].startswith(fence) and not line.strip().strip(fence[0]))
            found[-1] = Block(found[-1].start, stop, True, closes)
            if closes:
                fence = ""
        elif opening and not ("`" in line[opening.end() :] and opening[1][0] == "`"):
            fence = opening[1]
            found.append(Block(at, stop, True, False))
        elif (late := _FENCE_AFTER_PROSE.search(line)) and "```" not in line[: late.start()]:
            fence = "```"
            found += [Block(at, at + late.start(), False), Block(at + late.start(), stop, True, False)]
        else:
            found.append(Block(at, stop, False))
        at = stop + 1
    return found


def map_prose(text: str, change: Callable[[str], str]) -> str:
    """`change` applied to everything that is not fenced or inline code."""
    code = [(block.start, block.stop) for block in blocks(text) if block.is_code]
    begins = [start for start, _ in code]
    for found in _INLINE_CODE.finditer(text):
        place = bisect_right(begins, found.start()) - 1
        if place < 0 or found.start() >= code[place][1]:
            code.append(found.span())
    parts, at = [], 0
    for start, stop in sorted(code):
        start = max(start, at)  # a backtick before a fence may pair with one of the fence's
        parts += [change(text[at:start]), text[start:stop]]
        at = stop
    return "".join([*parts, change(text[at:])])


def sentences(text: str) -> list[str]:
    """The sentences of one paragraph of prose, without the white space between them."""
    ends = sentence_ends(text, 0, len(text))
    pieces = [text[a:b].strip() for a, b in zip([0, *ends], [*ends, len(text)], strict=True)]
    return [piece for piece in pieces if piece]


def sentence_ends(text: str, start: int, stop: int) -> list[int]:
    """Ends of the sentences in text[start:stop], one run of prose: places behind the last mark of each, ascending.

    A heading, a table row or a rule has none; the number before a list item ends none.
    """
    part = text[start:stop]
    if WHOLE_LINE.match(part):
        return []
    marker = MARKER.match(part)
    code = [(found.start(), found.end()) for found in _INLINE_CODE.finditer(part)]
    starts = [a for a, _ in code]
    ends = []
    for found in MARK.finditer(part, marker.end() if marker else 0):
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
