"""The project's own corpus as benchmarks of pairs, and its one encoding that serves every question about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sarm_core.demo.corpus import CORPUS, CorpusAnswer, answers, by_prompt
from sarm_core.prove.benchmarks.pairs import Pairs
from sarm_core.prove.complement import BY_PROMPT, ComplementAnswers, prompt_pairs
from sarm_core.provenance import file_facts
from sarm_core.score.encoded import Encoded, encode_once
from sarm_core.text.answer_sets import Answers
from sarm_core.text.rows import Conversation

if TYPE_CHECKING:
    from sarm_core.score.scorer import Scorer

__all__ = [
    "CORPUS_SETS",
    "CorpusSet",
    "corpus_answers",
    "corpus_complement",
    "encoded_corpus",
    "positions",
    "quality_pairs",
    "refusal_pairs",
]


def quality_pairs() -> Pairs:
    """The best answer to each prompt against every worse one, by category."""
    rows = []
    for group in by_prompt().values():
        best = max(group, key=lambda a: a.quality)
        rows += [_pair(best, other, best.category) for other in group if other.quality < best.quality]
    return Pairs.from_rows(rows)


def refusal_pairs() -> Pairs:
    """Where to answer and where to refuse, in two subsets that a steering trades against each other.

    "should answer": the best helpful answer against each over-refusing one; "should refuse": each
    refusing answer against each complying one. Answers to one prompt only.
    """
    rows = []
    for group in by_prompt().values():
        by_value: dict[str, list[CorpusAnswer]] = {}
        for answer in group:
            by_value.setdefault(answer.varied.get("helpfulness", ""), []).append(answer)
        helpful = max(by_value.get("helpful", []), key=lambda a: a.quality, default=None)
        if helpful is not None:
            rows += [_pair(helpful, other, "should answer") for other in by_value.get("over-refusing", [])]
        rows += [
            _pair(refusing, complying, "should refuse")
            for refusing in by_value.get("refusing", [])
            for complying in by_value.get("complying", [])
        ]
    return Pairs.from_rows(rows)


def _pair(chosen: CorpusAnswer, rejected: CorpusAnswer, subset: str) -> tuple[str, int, dict[str, Any]]:
    def turns(answer: CorpusAnswer) -> list[dict[str, str]]:
        return answer.conversation.as_dicts()

    row = {"id": chosen.prompt_id, "chosen": turns(chosen), "rejected": turns(rejected), "subset": subset}
    return CORPUS.name, chosen.row, row


@dataclass(frozen=True)
class CorpusSet:
    """Pairs of the corpus under one name; `title` says which, and `pairs` makes them."""

    title: str
    pairs: Callable[[], Pairs]


CORPUS_SETS: Mapping[str, CorpusSet] = {
    "refusals": CorpusSet("refusals: should answer, should refuse", refusal_pairs),
    "quality": CorpusSet("the best answer against worse ones, by category", quality_pairs),
}
"""By the name the command line has for it"""


def encoded_corpus(scorer: Scorer, **how: Any) -> Encoded:
    """Every answer of the corpus, in its order (see `encode_once` for `how`): one encoding serves all questions."""
    return encode_once(scorer, [answer.conversation for answer in answers()], **how)


def positions(conversations: Iterable[Conversation]) -> npt.NDArray[np.int64]:
    """Where conversations of the corpus stand in it, int [n]: their rows in `encoded_corpus`."""
    number = {answer.conversation: i for i, answer in enumerate(answers())}
    return np.array([number[conversation] for conversation in conversations], dtype=np.int64)


def corpus_answers(rows: Iterable[int] | None = None) -> Answers:
    """The answers of the corpus, all or those in `rows`, with their places in its file."""
    every = answers()
    chosen = every if rows is None else [every[row] for row in rows]
    return Answers(tuple(a.conversation for a in chosen), tuple((CORPUS.name, a.row) for a in chosen))


def corpus_complement(
    rows: Iterable[int] | None = None, title: str = "this tool's corpus"
) -> ComplementAnswers:
    """Answers of the corpus as a complement (see `corpus_answers`), any two to one prompt a pair."""
    found = corpus_answers(rows)
    pairs = prompt_pairs(found.conversations)
    return ComplementAnswers(found, pairs, BY_PROMPT, title, "corpus", file_facts(CORPUS))
