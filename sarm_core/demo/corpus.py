"""The project's own corpus as pairs: two values of one thing that was varied, or better against worse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from sarm_core.errors import SarmError
from sarm_core.find.sides import Sides
from sarm_core.prove.benchmarks.pairs import Pairs
from sarm_core.text.answers import Answers, answer_to
from sarm_core.text.row_files import read_rows
from sarm_core.text.rows import Conversation

__all__ = [
    "CORPUS",
    "CorpusAnswer",
    "answers",
    "axes",
    "axis_sides",
    "positions",
    "quality_pairs",
    "refusal_pairs",
]

CORPUS = Path(__file__).with_name("corpus.jsonl")


@dataclass(frozen=True)
class CorpusAnswer:
    """One answer of the corpus: its prompt's id and category, what was varied in it, its quality 0 to 4."""

    prompt_id: str
    category: str
    conversation: Conversation
    varied: Mapping[str, str]
    quality: int
    row: int


@lru_cache(maxsize=1)
def answers() -> tuple[CorpusAnswer, ...]:
    """Every answer, in the order of the file."""
    return tuple(
        CorpusAnswer(
            row["id"],
            row["category"],
            answer_to(row["prompt"], answer["text"]),
            answer["varied"],
            int(answer["quality"]),
            number,
        )
        for number, row in read_rows(CORPUS)
        for answer in row["answers"]
    )


def axes() -> dict[str, Counter[str]]:
    """What was varied: axis -> values with the number of answers that have each."""
    found: dict[str, Counter[str]] = {}
    for answer in answers():
        for axis, value in answer.varied.items():
            found.setdefault(axis, Counter())[value] += 1
    return found


def axis_sides(axis: str, with_: str, without: str) -> Sides:
    """Pairs of answers to one prompt, one with each value of `axis`; every answer is used at most once.

    Of the possible partners the one that differs in the fewest other axes is taken, then the better one;
    the notes say in how many pairs something else differs as well.
    Raises SarmError when no prompt has both values.
    """
    prompts: dict[str, list[CorpusAnswer]] = {}
    for answer in answers():
        prompts.setdefault(answer.prompt_id, []).append(answer)
    pairs: list[tuple[CorpusAnswer, CorpusAnswer]] = []
    for group in prompts.values():
        left = [a for a in group if a.varied.get(axis) == with_]
        right = [a for a in group if a.varied.get(axis) == without]
        ranked = sorted(
            (_others(a, b, axis), -a.quality - b.quality, i, j)
            for i, a in enumerate(left)
            for j, b in enumerate(right)
        )
        used: tuple[set[int], set[int]] = set(), set()
        for _, _, i, j in ranked:
            if i not in used[0] and j not in used[1]:
                used[0].add(i)
                used[1].add(j)
                pairs.append((left[i], right[j]))
    if not pairs:
        raise SarmError(f"no prompt of the corpus has answers with {axis} {with_!r} and {without!r}")
    mixed = sum(_others(a, b, axis) > 0 for a, b in pairs)
    notes: tuple[str, ...] = ()
    if mixed:
        notes = (
            f"in {mixed} of {len(pairs)} pairs the two answers are also described differently on other axes: "
            "read the features with that in mind",
        )
    return Sides(
        _as_answers([a for a, _ in pairs]),
        _as_answers([b for _, b in pairs]),
        True,
        names=(with_, without),
        prompts=tuple(a.prompt_id for a, _ in pairs),
        notes=notes,
    )


def _others(a: CorpusAnswer, b: CorpusAnswer, axis: str) -> int:
    """Axes other than `axis` in which two answers are known to differ, or only one of them is described."""
    names = (set(a.varied) | set(b.varied)) - {axis}
    return sum(a.varied.get(name) != b.varied.get(name) for name in names)


def _as_answers(of: list[CorpusAnswer]) -> Answers:
    return Answers(tuple(a.conversation for a in of), tuple((CORPUS.name, a.row) for a in of))


def quality_pairs() -> Pairs:
    """The best answer to each prompt against every worse one, by category."""
    rows = []
    for group in _by_prompt().values():
        best = max(group, key=lambda a: a.quality)
        rows += [_pair(best, other, best.category) for other in group if other.quality < best.quality]
    return Pairs.from_rows(rows, [], False)


def refusal_pairs() -> Pairs:
    """Where to answer and where to refuse, in two subsets that a steering trades against each other.

    "should answer": the best helpful answer against each over-refusing one; "should refuse": each
    refusing answer against each complying one. Answers to one prompt only.
    """
    rows = []
    for group in _by_prompt().values():
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
    return Pairs.from_rows(rows, [], False)


def _by_prompt() -> dict[str, list[CorpusAnswer]]:
    prompts: dict[str, list[CorpusAnswer]] = {}
    for answer in answers():
        prompts.setdefault(answer.prompt_id, []).append(answer)
    return prompts


def _pair(chosen: CorpusAnswer, rejected: CorpusAnswer, subset: str) -> tuple[str, int, dict[str, Any]]:
    def turns(answer: CorpusAnswer) -> list[dict[str, str]]:
        return answer.conversation.as_dicts()

    row = {"id": chosen.prompt_id, "chosen": turns(chosen), "rejected": turns(rejected), "subset": subset}
    return CORPUS.name, chosen.row, row


def positions(of: Answers | Pairs) -> np.ndarray:
    """Where the conversations stand among `answers`, int [n]: one encoding of the corpus serves all."""
    number = {answer.conversation: i for i, answer in enumerate(answers())}
    return np.array([number[conversation] for conversation in of.conversations], dtype=np.int64)
