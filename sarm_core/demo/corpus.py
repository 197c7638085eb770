"""The project's own corpus: answers to prompts, each with what was varied in it and its quality."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from sarm_core.demo import CORPUS
from sarm_core.text.answers import answer_to
from sarm_core.text.row_files import read_rows
from sarm_core.text.rows import Conversation

__all__ = ["CORPUS", "CorpusAnswer", "answers", "axes", "by_prompt"]


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


def by_prompt() -> dict[str, list[CorpusAnswer]]:
    """The answers to each prompt, by its id, in the order of the file."""
    prompts: dict[str, list[CorpusAnswer]] = {}
    for answer in answers():
        prompts.setdefault(answer.prompt_id, []).append(answer)
    return prompts
