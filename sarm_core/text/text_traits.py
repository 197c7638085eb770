"""What can be said of a place in an answer without a model: the words of its sentence, its kind, its answer's kind.

A place is where a harvest looks: the end of a sentence, or the scored token, which takes the traits of the last
sentence. Traits are plain text with a mark in front that says of what kind they are; `kind_of` and `phrase` read it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sarm_core.text.answer_spans import answer_spans
from sarm_core.text.conversation import sentence_end_characters
from sarm_core.text.sentences import blocks

__all__ = ["KINDS", "AnswerPlaces", "kind_of", "phrase", "says_no"]

KINDS = ("words", "sentence", "answer")
"""Kinds of traits. They are compared apart: there are thousands of words and two dozen kinds of sentences."""
_HAS, _BEGINS, _ENDS, _SENTENCE, _ANSWER = "=", "<", ">", "s", "a"
_FOUND_BY = (200, 40, 8)
"""Characters at the end of an answer by which it is found among the tokens; its beginning may have been cut off."""

_LONGEST_GRAM = 60
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
# Starting a run of marks at its first one only, and blanks within a line only, keeps the time linear in hostile text.
_PART = re.compile(r"(?<![.!?…:;])[.!?…:;]+(?=\s|$)|\n+")

_NO = r"(?:can(?:no|['’])t|can not|won['’]?t|will not|do not|don['’]t|must not)"
_ABLE = r"(?:unable|not (?:able|going|willing|comfortable|allowed|permitted))"
_HELP = (
    r"(?:help(?!\s+(?:but|myself|it|wonder|feel|think)\b)|assist|provid|giv(?!\w*\s+up\b)|answer|shar|offer|support|comply|"
    r"creat|writ|do\b|doing\b|discuss|advis|explain|engag|describ|recommend|fulfil|generat|participat|comment|endors|"
    r"build|coach|guid|voic|invent|address|talk\s+about|enabl|encourag|promot|draft|produc|approv|facilitat|defin)\w*"
)
_HOW = r"(?:\s+(?:\w+ly|just|even|also|ever|and|to|in|with|be|able|going|comfortable|willing|will|won['’]t|not))*"
_REFUSAL = re.compile(
    rf"\b(?:i|we)(?:['’](?:m|re)|\s+am|\s+are)?(?:\s+(?:\w+ly|also|just|still|sorry))?\s+(?:{_NO}|{_ABLE}){_HOW}\s+{_HELP}"
    rf"|^\W*(?:(?:i['’]m |i am )?(?:very |so )?sorry,?\s+(?:but\s+)?)?can(?:no|['’])t\s+(?:help|assist|do that)\b"
    r"|\b(?:i['’]m|i am) (?:very |really |so )?sorry,? but (?:i|that|this|we)\b|\bi (?:must|have to) decline\b"
    r"|\bi apologi[sz]e,? but\b|\bas an ai\b",
    re.IGNORECASE,
)
_LIST = re.compile(r"^[^\S\n]*(?:[-*•+]|\d{1,3}[.)])\s+\S", re.MULTILINE)
_HEADING = re.compile(r"^[^\S\n]*(?:#{1,6}[^\S\n]+\S|\*\*[^*\n]+\*\*:?[^\S\n]*$)", re.MULTILINE)
_END_MARK = re.compile(r"([.!?…:;,)\]}(\"”*`]|\d)[\"')\]”’*_`]*$")
_LONGEST_END = 20
_END_MARKS = {
    "?": "question",
    "!": "exclamation",
    ":": 'ends in ":"',
    ",": 'ends in ","',
    ";": 'ends in ";"',
    ")": "ends in brackets",
    "(": 'ends in "("',
    "]": "ends in brackets",
    "{": 'ends in "{"',
    "}": 'ends in "}"',
    "*": "ends in bold or italics",
    "`": "ends in code marks",
    '"': "ends in a quotation",
    "”": "ends in a quotation",
}
"""A full stop is no trait: most sentences end in one."""
_SAID = (
    ("has a number", re.compile(r"\d")),
    ("has arithmetic", re.compile(r"[=×+*/]\s*\d|\d\s*[=×+*/]")),
    ("speaks to the reader", re.compile(r"\b(?:you|your)\b", re.IGNORECASE)),
    ("speaks of I", re.compile(r"\b(?:I|I['’](?:m|ve|d|ll)|[Mm]y)\b")),
    ("has a quotation", re.compile(r"[“\"]")),
    ("has bold text", re.compile(r"\*\*")),
    ("has a negation", re.compile(r"\b(?:not|never|no|cannot)\b|n['’]t\b", re.IGNORECASE)),
    ("begins with if or when", re.compile(r"^\W*(?:if|when)\b", re.IGNORECASE)),
    ("has letters beyond English", re.compile(r"[À-ÖØ-öø-ɏͰ-῿぀-鿿가-힯]")),
)
_LINES = (
    ("table row", re.compile(r"\s*\|")),
    ("heading", re.compile(r"\s*(?:#{1,6}\s+\S|\*\*[^*\n]+\*\*:?\s*$)")),
    ("list item", re.compile(r"\s*(?:[-*•+]|\d{1,3}[.)])\s+\S")),
    ("number of a list item", re.compile(r"\s*(?:[-*•+]|\d{1,3}[.)])\s*$")),
)
_SENTENCE_LENGTHS = ((4, "sentence of 1 to 3 words"), (9, "sentence of 4 to 8 words"), (21, ""))
_ANSWER_LENGTHS = (
    (15, "under 15 words"),
    (50, "15 to 50 words"),
    (120, "50 to 120 words"),
    (300, "120 to 300 words"),
)


class AnswerPlaces:
    """The places of one conversation's last turn, or of a plain text, in order; the scored one is the last."""

    def __init__(self, messages: Sequence[Mapping[str, Any]], category: str | None = None):
        self.answer = str(messages[-1].get("content") or "").strip() if messages else ""
        self._ends = sentence_end_characters(self.answer)
        self._answer_traits = frozenset(_ANSWER + trait for trait in _of_answer(self.answer, category))
        self._sentences = [self.answer[a:b] for a, b in zip([0, *self._ends], self._ends, strict=False)]
        self._code = _code_lines(self.answer, self._ends)
        said = [" ".join(_words(sentence)) for sentence in self._sentences]
        first = {words: place for place, words in reversed(list(enumerate(said)))}
        self._repeats = [bool(words) and first[words] < place for place, words in enumerate(said)]

    def __len__(self) -> int:
        return len(self._ends) + 1 if self._ends else 0

    def looked_at(self, scored_only: bool) -> range:
        """The places a harvest looked at: all, or the scored one."""
        return range(max(0, len(self) - 1) if scored_only else 0, len(self))

    def traits(self, place: int) -> frozenset[str]:
        """Everything that holds at a place, its answer's traits included."""
        place = min(place, len(self._sentences) - 1)
        sentence, last = self._sentences[place], place == len(self._sentences) - 1
        kinds = set(_of_sentence(sentence, last=last))
        if self._code[place]:
            kinds.add(self._code[place])
        if place == 0:
            kinds.add("first sentence")
        if self._repeats[place]:
            kinds.add("repeats an earlier sentence")
        words = _words(sentence)
        return (
            frozenset(_HAS + gram for part in _PART.split(sentence) for gram in _grams(_words(part)))
            | {_BEGINS + gram for n in (1, 2, 3) for gram in _grams(words[:n], n)}
            | {_ENDS + gram for n in (1, 2, 3) for gram in _grams(words[-n:], n)}
            | {_SENTENCE + kind for kind in kinds}
            | self._answer_traits
        )

    def place_of(self, tokens: Sequence[str], peak: int) -> int | None:
        """The place whose end is in token `peak`; None when it is not in the answer. The tokens join to the text."""
        if not self._ends or not 0 <= peak < len(tokens):
            return None
        text = "".join(tokens)
        tails = (self.answer[-n:] for n in _FOUND_BY)
        tail = next((tail for tail in tails if tail in text), None)
        if tail is None:
            return None
        start = text.rindex(tail) - (len(self.answer) - len(tail))
        stop = sum(len(token) for token in tokens[: peak + 1]) - start
        if stop <= 0:
            return None
        if stop - len(tokens[peak]) >= self._ends[-1]:
            return len(self._ends)
        return max(0, bisect_right(self._ends, stop) - 1)


def kind_of(trait: str) -> str:
    """Which of `KINDS` a trait is of."""
    return {_SENTENCE: "sentence", _ANSWER: "answer"}.get(trait[0], "words")


def phrase(trait: str) -> str:
    """A trait as people say it: `begins "for the"`, `question`, `answer has code`."""
    what = trait[1:]
    return {
        _HAS: f'"{what}"',
        _BEGINS: f'begins "{what}"',
        _ENDS: f'ends "{what}"',
        _SENTENCE: what,
        _ANSWER: what,
    }[trait[0]]


def says_no(sentence: str) -> bool:
    """Whether an assistant declines in it: a first person that will or can not do what assistants do."""
    return bool(_REFUSAL.search(sentence))


def _words(text: str) -> list[str]:
    return [word.lower().replace("’", "'") for word in _WORD.findall(text)]


def _grams(words: Sequence[str], *lengths: int) -> Iterator[str]:
    for n in lengths or (1, 2, 3):
        for start in range(len(words) - n + 1):
            gram = " ".join(words[start : start + n])
            if len(gram) <= _LONGEST_GRAM:
                yield gram


def _code_lines(answer: str, ends: Sequence[int]) -> list[str]:
    """For each sentence "line of code", "code fence" or nothing."""
    code = [block for block in blocks(answer) if block.is_code]
    begins = [block.start for block in code]
    found = []
    for a, b in zip([0, *ends], ends, strict=False):
        first = a + len(answer[a:b]) - len(answer[a:b].lstrip())
        place = bisect_right(begins, first) - 1
        inside = place >= 0 and first < code[place].stop
        fence = inside and answer[first:b].startswith(("```", "~~~"))
        found.append("code fence" if fence else "line of code" if inside else "")
    return found


def _of_sentence(sentence: str, *, last: bool) -> Iterable[str]:
    text = sentence.strip()
    mark = _END_MARK.search(text[-_LONGEST_END:])
    if mark is None:
        yield "cut off mid-sentence" if last else "unpunctuated line"
    elif mark[1].isdigit():
        yield "ends in a number"
    elif mark[1] in _END_MARKS:
        yield _END_MARKS[mark[1]]
    yield from (name for name, pattern in _LINES if pattern.match(sentence))
    yield from (name for name, pattern in _SAID if pattern.search(text))
    n_words = len(_words(text))
    length = next((name for limit, name in _SENTENCE_LENGTHS if n_words < limit), "sentence of over 20 words")
    if n_words and length:
        yield length


def _of_answer(answer: str, category: str | None) -> Iterable[str]:
    sentences = answer_spans(answer)
    if sentences and says_no(sentences[0].of(answer)):
        yield "answer opens with a refusal"
    if sentences and says_no(sentences[-1].of(answer)):
        yield "answer ends in a refusal"
    if len(_LIST.findall(answer)) >= 2:
        yield "answer has a list"
    if "```" in answer:
        yield "answer has code"
    if _HEADING.search(answer):
        yield "answer has headings"
    if answer.endswith("?"):
        yield "answer ends in a question"
    elif answer and not re.search(r"[.!…)\]\"'”’`*|:;]$|\d$", answer):
        yield "answer is cut off"
    n_words = len(_WORD.findall(answer))
    yield "answer of " + next((name for limit, name in _ANSWER_LENGTHS if n_words < limit), "over 300 words")
    if category:
        yield f"{' '.join(category.split())} prompts"
