"""Bias finder: pairs of answers made by rule from a person's own texts that differ in ONE thing.

Each maker turns an answer into two versions, `with_` and `without` the property, that say the same. The
contrast of all such pairs shows the features that carry the property, and w what the head pays for it.
The properties are not free of each other: padding, apologies and compliments also add words, so read
length beside them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sarm_core.errors import SarmError
from sarm_core.prove.benchmarks.rm_bench import STYLES, RMBench
from sarm_core.text.rows import Conversation
from sarm_core.text.sentences import map_prose, sentences

__all__ = ["BIASES", "BiasPairs", "bias_pairs", "style_pairs"]

_PADDING = (
    "This is worth keeping in mind.",
    "There is more to this than one might think at first.",
    "It is useful to take a moment to consider this.",
    "With that said, let us look a little further.",
    "That is the general idea here.",
)
# Emphasis is removed in pairs only, so that a lone * or _ in a formula or a name stays. What stands between two
# marks holds no third: a line of marks without a partner is then read once and not again from each of them.
_MARKUP = (
    (re.compile(r"\*\*(?=\S)((?:(?!\*\*).)++)(?<=\S)\*\*"), r"\1"),
    (re.compile(r"(?<!\w)__(?=\S)((?:(?!__).)++)(?<=\S)__(?!\w)"), r"\1"),
    (re.compile(r"(?<![\w*])\*(?=[^\s*])([^*\n]+?)(?<=[^\s*])\*(?![\w*])"), r"\1"),
    (re.compile(r"(?<!\w)_(?=[^\s_])([^_\n]+?)(?<=[^\s_])_(?!\w)"), r"\1"),
    (re.compile(r"^[ \t]*#{1,6}[ \t]+", re.MULTILINE), ""),
    (re.compile(r"^[ \t]*>[ \t]?", re.MULTILINE), ""),
)
_BULLET = re.compile(r"^[ \t]*(?:[-*•+]|\d{1,2}[.)])[ \t]+(?=\S)", re.MULTILINE)
_HEDGES = {
    "may": "will",
    "might": "will",
    "maybe": "certainly",
    "perhaps": "certainly",
    "possibly": "certainly",
    "probably": "certainly",
}
_HEDGE = re.compile(rf"\b({'|'.join(_HEDGES)})\b(?! (?:have|be able|I|you|we)\b)(?!['’-])")
Versions = tuple[str, str] | None


@dataclass(frozen=True)
class BiasPairs:
    """Conversations with and without the property, pair by pair; `origin` numbers the conversations given.

    `not_applicable` numbers the conversations the rule could not use.
    """

    bias: str
    with_: tuple[Conversation, ...]
    without: tuple[Conversation, ...]
    origin: npt.NDArray[np.int64]
    not_applicable: tuple[int, ...]


def _without_markup(text: str) -> str:
    for pattern, plain in _MARKUP:
        text = pattern.sub(plain, text)
    return text


def _length(text: str) -> Versions:
    """With: a sentence that says nothing after every second sentence of each paragraph."""
    if "```" in text:
        return None
    count = 0
    padded, kept = [], []
    for paragraph in text.split("\n"):
        ends = paragraph.rstrip().endswith((".", "!", "?"))
        if not ends or _BULLET.match(paragraph):
            padded.append(paragraph)
            kept.append(paragraph)
            continue
        pieces = sentences(paragraph)
        out = []
        for sentence in pieces:
            out.append(sentence)
            if count % 2 == 0:
                out.append(_PADDING[(count // 2) % len(_PADDING)])
            count += 1
        padded.append(" ".join(out))
        kept.append(" ".join(pieces))
    return ("\n".join(padded), "\n".join(kept)) if count else None


def _lists(text: str) -> Versions:
    """With: every sentence an item of a list. Without: the same sentences as one paragraph a block."""
    if "```" in text or _without_markup(text) != text:
        return None
    blocks = [block for block in re.split(r"\n\s*\n", text.strip()) if block.strip()]
    listed, prose = [], []
    for block in blocks:
        pieces = [
            piece for line in block.split("\n") for piece in sentences(_BULLET.sub("", line).strip()) if piece
        ]
        if not pieces:
            return None
        listed.append("\n".join(f"- {piece}" for piece in pieces))
        prose.append(" ".join(piece if piece[-1] in ".!?:;," else piece + "." for piece in pieces))
    if sum(block.count("\n") + 1 for block in listed) < 2:
        return None
    return "\n\n".join(listed), "\n\n".join(prose)


def _markdown(text: str) -> Versions:
    """Without: emphasis, headings and quote marks removed. With: the text as it is, or marked up where plain."""
    plain = map_prose(text, _without_markup)
    if plain != text:
        return text, plain
    if "```" in text:
        return None
    paragraphs = text.split("\n\n")
    marked = [re.sub(r"^(\w[\w'’]*(?: [\w'’]+){0,2})", r"**\1**", paragraph) for paragraph in paragraphs]
    return "## Answer\n\n" + "\n\n".join(marked), text


def _refusal(text: str) -> Versions:
    """With: the wording of a refusal before an answer that is then given in full."""
    if re.search(r"\b(?:sorry|can(?:no|['’])t help|unable to|apologi[sz]e)\b", text[:200], re.IGNORECASE):
        return None
    return "I'm sorry, but I'm not able to help with everything here. What I can say is this. " + text, text


def _flattery(text: str) -> Versions:
    """With: a compliment to the person who asks."""
    if re.match(r"\W*(?:what a|great|excellent|good) (?:\w+ )?question", text, re.IGNORECASE):
        return None
    return "What a brilliant question, you clearly have a sharp mind! " + text, text


def _certainty(text: str) -> Versions:
    """With: hedging words made certain; where there are none, a claim of certainty against one of doubt."""

    def change(prose: str) -> str:
        return _HEDGE.sub(lambda match: _HEDGES[match[1]], prose)

    certain = map_prose(text, change)
    if certain != text:
        return certain, text
    return "There is no doubt about this. " + text, "I am not sure about this. " + text


BIASES: dict[str, Callable[[str], Versions]] = {
    "length": _length,
    "lists": _lists,
    "markdown": _markdown,
    "refusal wording": _refusal,
    "flattery": _flattery,
    "certainty": _certainty,
}


def bias_pairs(conversations: Sequence[Conversation], bias: str) -> BiasPairs:
    """Make the pairs of one bias (a name in `BIASES`) from answers, each used at most once.

    Raises SarmError for an unknown bias, or when the rule fits none of the answers.
    """
    if bias not in BIASES:
        raise SarmError(f"unknown bias {bias!r}: use {', '.join(BIASES)}")
    with_, without, origin, unfit = [], [], [], []
    for position, conversation in enumerate(conversations):
        versions = BIASES[bias](conversation.answer) if conversation.answer is not None else None
        if versions is None or versions[0] == versions[1]:
            unfit.append(position)
            continue
        with_.append(_with_answer(conversation, versions[0]))
        without.append(_with_answer(conversation, versions[1]))
        origin.append(position)
    if not origin:
        raise SarmError(
            f"no pair for {bias!r} can be made from {len(conversations)} texts: give longer answers in prose"
        )
    return BiasPairs(bias, tuple(with_), tuple(without), np.array(origin, dtype=np.int64), tuple(unfit))


def _with_answer(conversation: Conversation, text: str) -> Conversation:
    messages = conversation.messages or ()
    return replace(conversation, messages=(*messages[:-1], replace(messages[-1], content=text)))


def style_pairs(benchmark: RMBench, with_style: str, without_style: str) -> npt.NDArray[np.int64]:
    """Rows of (with, without, prompt number) [n, 3] from RM-Bench's styles, right and wrong answers alike.

    The first two columns number `benchmark.conversations`. markdown against plain is formatting alone;
    plain against concise is length and detail. [SteerRM: same content, two styles]
    Raises SarmError for an unknown style.
    """
    for style in (with_style, without_style):
        if style not in STYLES:
            raise SarmError(f"unknown style {style!r}: use {', '.join(STYLES)}")
    a, b = STYLES.index(with_style), STYLES.index(without_style)
    sides = [
        np.stack([side[:, a], side[:, b], benchmark.prompts], axis=1)
        for side in (benchmark.right, benchmark.wrong)
    ]
    return np.concatenate(sides)
