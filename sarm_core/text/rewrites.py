"""Rewrites of an answer by rule that keep what it says: white space, greeting, list order, synonyms, suffix.

A rewrite returns the new text, or None where the rule does not apply. Fenced and inline code is never
touched: there every character means something. What a rule may change, and nothing else, is stated with it. Where a
rule cannot be sure that the meaning stays, it does not apply: a rewrite that said less would be taken for a
reward that is unstable.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable

import numpy as np

from sarm_core.text.list_order import may_change_places, points_into_lists
from sarm_core.text.sentences import blocks, map_prose, sentence_ends

__all__ = ["REWRITES", "Rewrite", "rewrite"]

Rewrite = Callable[[str, np.random.Generator], str | None]

_GAP = re.compile(r" {1,2}(?=\S)")
_BLANK_LINE = re.compile(r"(?<=\S)\n\n(?=\S)")
_LIST_ITEM = re.compile(r"([ \t]*)([-*•+])[ \t]+(\S.*)")
_GREETINGS = ("Hello! ", "Hi there! ", "Good day! ")
_SUFFIXES = (
    "I hope this helps.",
    "Let me know if you have any questions.",
    "Feel free to ask if anything is unclear.",
)
# Pairs that can stand for each other wherever the first occurs in running text: one part of speech, no second
# meaning as another ("mistake" is a verb as well), no set phrase ("big deal", "frequently asked").
_SYNONYMS = {
    "afterwards": "afterward",
    "although": "though",
    "anyone": "anybody",
    "began": "started",
    "begins": "starts",
    "everyone": "everybody",
    "furthermore": "moreover",
    "maybe": "perhaps",
    "nevertheless": "nonetheless",
    "primarily": "mainly",
    "quickly": "rapidly",
    "rapidly": "quickly",
    "someone": "somebody",
    "therefore": "thus",
    "towards": "toward",
    "usually": "typically",
    "whilst": "while",
}
# After these a word is a noun, part of a comparison, or spoken about: "the word maybe".
_NOT_AFTER = frozenset(["a", "an", "the", "than", "word", "words", "term", "terms"])
_BESIDE_WORDS = frozenset(" \t\n.,;:!?()*…")
_WORD = re.compile(r"\b[A-Za-z]+\b")
_OPENS_SENTENCE = re.compile(r"(?:(?:^|\n)[ \t]*[-•+]?|[.!?:])[\s*(]*\Z")
_MARKED_UP = re.compile(r"[#>|+•]|[-*_](?:[ \t]|[-*_ \t]+$)|\d+[.)][ \t]", re.MULTILINE)


def _whitespace(text: str, rng: np.random.Generator) -> str | None:
    """Two spaces after each sentence (one, where there are two); one blank line more between paragraphs."""

    def wider(line: str) -> str:
        parts, at = [], 0
        for end in sentence_ends(line, 0, len(line)):
            gap = _GAP.match(line, end)
            if gap:
                parts += [line[at:end], " " if len(gap[0]) == 2 else "  "]
                at = gap.end()
        return "".join([*parts, line[at:]])

    def change(prose: str) -> str:
        return _BLANK_LINE.sub("\n\n\n", "\n".join(wider(line) for line in prose.split("\n")))

    return map_prose(text, change)


def _greeting(text: str, rng: np.random.Generator) -> str | None:
    """A greeting before the first word, unless there is one; before a heading or list, in a line of its own."""
    if _for_a_program(text) or re.match(
        r"\W*(?:hi|hello|hey|good (?:day|morning|evening)|dear)\b", text, re.IGNORECASE
    ):
        return None
    greeting = _GREETINGS[rng.integers(len(_GREETINGS))]
    return (greeting.rstrip() + "\n\n" if _MARKED_UP.match(text) else greeting) + text


def _suffix(text: str, rng: np.random.Generator) -> str | None:
    """A polite last sentence, unless there is one or the text ends within code."""
    if _for_a_program(text) or any(suffix in text for suffix in _SUFFIXES):
        return None
    if any(block.is_code and not block.closed for block in blocks(text)):
        return None
    return text.rstrip() + "\n\n" + _SUFFIXES[rng.integers(len(_SUFFIXES))]


def _for_a_program(text: str) -> bool:
    """JSON, XML or code alone: a word to the reader would break it."""
    return text.lstrip().startswith(("{", "[", "<", "```"))


def _reordered(text: str, rng: np.random.Generator) -> str | None:
    """The items of each list of things in another order (see `may_change_places`); other lists stay."""
    if points_into_lists(text):
        return None
    lines = text.split("\n")
    lead = ""
    changed = False
    code = _code_lines(text)
    position = 0
    while position < len(lines):
        end = position
        items: list[re.Match[str]] = []
        while end < len(lines) and end not in code and (item := _LIST_ITEM.fullmatch(lines[end])):
            if items and (item[1], item[2]) != (items[0][1], items[0][2]):
                break
            items.append(item)
            end += 1
        # A line indented deeper belongs to the item before it, which must not move without it.
        follows = lines[end] if end < len(lines) else ""
        whole = not follows.strip() or not follows.startswith((" ", "\t"))
        if len(items) >= 2 and whole and may_change_places([item[3] for item in items], lead):
            order = rng.permutation(len(items))
            if (order == np.arange(len(items))).all():
                order = order[::-1]
            moved = [lines[position + int(place)] for place in order]
            changed |= moved != lines[position:end]
            lines[position:end] = moved
        position = max(end, position + 1)
        lead = lines[position - 1] if lines[position - 1].strip() else lead
    return "\n".join(lines) if changed else None


def _code_lines(text: str) -> set[int]:
    """Numbers of the lines in which there is fenced code, from 0."""
    found: set[int] = set()
    for block in blocks(text):
        if block.is_code:
            first = text.count("\n", 0, block.start)
            found.update(range(first, first + 1 + text.count("\n", block.start, block.stop)))
    return found


def _synonyms(text: str, rng: np.random.Generator) -> str | None:
    """Words of a small table replaced by synonyms; names, titles, keywords and quoted words stay."""

    def change(prose: str) -> str:
        def one(match: re.Match[str]) -> str:
            word = match[0]
            other = _SYNONYMS.get(word.lower())
            if (
                other is None
                or not {
                    *prose[max(0, match.start() - 1) : match.start()],
                    *prose[match.end() : match.end() + 1],
                }
                <= _BESIDE_WORDS
            ):
                return word
            before = prose[max(0, match.start() - 40) : match.start()]
            last = before.rstrip().rsplit(None, 1)[-1:]
            if last and last[0].lower() in _NOT_AFTER:
                return word
            if word.islower():
                return other
            # A capital elsewhere makes a name or a title of it, and capitals throughout a keyword or a shout.
            return other.capitalize() if word.istitle() and _OPENS_SENTENCE.search(before) else word

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
