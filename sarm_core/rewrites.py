"""Rewrites of an answer by rule that keep what it says: white space, greeting, list order, synonyms, suffix.

A rewrite returns the new text, or None where the rule does not apply. Fenced and inline code is never
touched: there every character means something. What a rule may change, and nothing else, is stated with it.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable

import numpy as np

__all__ = ["REWRITES", "Rewrite", "map_prose", "rewrite", "sentences"]

Rewrite = Callable[[str, np.random.Generator], str | None]

_CODE = re.compile(r"(```.*?(?:```|\Z)|`[^`\n]+`)", re.DOTALL)
_SENTENCE_GAP = re.compile(r"(?<=[a-z0-9)\"'’”][.!?]) {1,2}(?=[\"'“(]?[A-Z])")
_ABBREVIATIONS = frozenset(
    ["dr", "mr", "mrs", "ms", "prof", "st", "vs", "etc", "no", "fig", "approx", "e.g", "i.e", "a.m", "p.m",
     "jr", "sr", "inc", "ltd"]
)  # fmt: skip
_LIST_ITEM = re.compile(r"([ \t]*)([-*•+])[ \t]+(\S.*)")
# An item that starts like this, or that looks back, has its place in the order.
_ORDERED = re.compile(
    r"(?:\W*)(?:first|second|third|next|then|after|before|finally|last|lastly|once|now|step|also|another|"
    r"additionally|afterwards|meanwhile|\d)\b|.*\b(?:above|below|previous|preceding|following|former|latter)\b",
    re.IGNORECASE,
)
_GREETINGS = ("Hello! ", "Hi there! ", "Good day! ")
_SUFFIXES = (
    "I hope this helps.",
    "Let me know if you have any questions.",
    "Feel free to ask if anything is unclear.",
)
# Pairs that can stand for each other in running text without a change of article or verb form.
_SYNONYMS = {
    "big": "large",
    "quick": "fast",
    "quickly": "rapidly",
    "begin": "start",
    "begins": "starts",
    "buy": "purchase",
    "choose": "select",
    "choosing": "selecting",
    "important": "essential",
    "many": "numerous",
    "maybe": "perhaps",
    "mistake": "error",
    "mistakes": "errors",
    "often": "frequently",
    "sometimes": "occasionally",
    "therefore": "thus",
    "usually": "normally",
    "whole": "full",
}
_WORD = re.compile(r"\b[A-Za-z]+\b")


def map_prose(text: str, change: Callable[[str], str]) -> str:
    """`change` applied to everything that is not fenced or inline code."""
    parts = _CODE.split(text)
    return "".join(part if position % 2 else change(part) for position, part in enumerate(parts))


def sentences(text: str) -> list[str]:
    """Sentences of one paragraph of prose; abbreviations such as "Dr." and "e.g." do not end one."""
    pieces: list[str] = []
    start = 0
    for gap in _SENTENCE_GAP.finditer(text):
        words = text[start : gap.start()].split()
        if not words or words[-1].rstrip(".").lower().lstrip("(\"'“") in _ABBREVIATIONS:
            continue
        pieces.append(text[start : gap.start()])
        start = gap.end()
    rest = text[start:].strip()
    return [*pieces, rest] if rest else pieces


def _whitespace(text: str, rng: np.random.Generator) -> str | None:
    """Two spaces after each sentence (one, where there are two); one blank line more between paragraphs."""

    def change(prose: str) -> str:
        wider = _SENTENCE_GAP.sub(lambda gap: " " if len(gap[0]) == 2 else "  ", prose)
        return re.sub(r"(?<=\S)\n\n(?=\S)", "\n\n\n", wider)

    return map_prose(text, change)


def _greeting(text: str, rng: np.random.Generator) -> str | None:
    """A greeting before the first word, unless there is one."""
    if re.match(r"\W*(?:hi|hello|hey|good (?:day|morning|evening)|dear)\b", text, re.IGNORECASE):
        return None
    return _GREETINGS[rng.integers(len(_GREETINGS))] + text


def _suffix(text: str, rng: np.random.Generator) -> str | None:
    """A polite last sentence, unless there is one."""
    if any(suffix in text for suffix in _SUFFIXES) or text.count("```") % 2:
        return None
    return text.rstrip() + "\n\n" + _SUFFIXES[rng.integers(len(_SUFFIXES))]


def _reordered(text: str, rng: np.random.Generator) -> str | None:
    """The items of each unordered list in another order; lists whose items look ordered stay."""
    lines = text.split("\n")
    changed = False
    fenced = False
    position = 0
    while position < len(lines):
        fenced ^= lines[position].lstrip().startswith("```")
        end = position
        items: list[re.Match[str]] = []
        while end < len(lines) and not fenced and (item := _LIST_ITEM.fullmatch(lines[end])):
            if items and (item[1], item[2]) != (items[0][1], items[0][2]):
                break
            items.append(item)
            end += 1
        # A line indented deeper belongs to the item before it, which must not move without it.
        follows = lines[end] if end < len(lines) else ""
        whole = not follows.strip() or not follows.startswith((" ", "\t"))
        if len(items) >= 2 and whole and not any(_ORDERED.match(item[3]) for item in items):
            order = rng.permutation(len(items))
            if (order == np.arange(len(items))).all():
                order = order[::-1]
            moved = [lines[position + int(place)] for place in order]
            changed |= moved != lines[position:end]
            lines[position:end] = moved
        position = max(end, position + 1)
    return "\n".join(lines) if changed else None


def _synonyms(text: str, rng: np.random.Generator) -> str | None:
    """Words of a small table replaced by their synonyms, with their capitals."""

    def change(prose: str) -> str:
        def one(match: re.Match[str]) -> str:
            word = match[0]
            other = _SYNONYMS.get(word.lower())
            after = prose[match.end() : match.end() + 1]
            before = prose[max(0, match.start() - 1) : match.start()]
            if other is None or (before and before in "-'’") or (after and after in "-'’"):
                return word
            if word.isupper() and len(word) > 1:
                return other.upper()
            return other.capitalize() if word[0].isupper() else other

        return _WORD.sub(one, prose)

    return map_prose(text, change)


REWRITES: dict[str, Rewrite] = {
    "whitespace": _whitespace,
    "greeting": _greeting,
    "reordered list": _reordered,
    "synonyms": _synonyms,
    "suffix": _suffix,
}


def rewrite(text: str, rule: str, seed: int = 0) -> str | None:
    """`text` rewritten by the rule (a name in `REWRITES`), or None where it finds nothing to change.

    What the rule draws depends on `seed` and the text alone.
    """
    rng = np.random.default_rng([seed, zlib.crc32(text.encode("utf-8", "surrogatepass"))])
    changed = REWRITES[rule](text, rng)
    return None if changed == text else changed
