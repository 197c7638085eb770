"""Other answers, which a steering should leave alone, and which of them are compared with which.

The pairs are there so that it can be said whose order a steering changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from sarm_core.errors import SarmError
from sarm_core.features import FeatureMatrix
from sarm_core.prove.benchmarks.scores import Ids
from sarm_core.provenance import file_facts
from sarm_core.text.answer_sets import Answers, read_answers
from sarm_core.text.answers import Reader
from sarm_core.text.rows import Conversation, prompt_of
from sarm_core.text.tables import is_saved

__all__ = [
    "BY_FILE",
    "BY_PROMPT",
    "MOST_PARTNERS",
    "Complement",
    "ComplementAnswers",
    "file_complement",
    "file_pairs",
    "prompt_pairs",
]

MOST_PARTNERS = 100
"""Later answers to its prompt that one answer is compared with: memory stays linear for a file of one prompt."""
BY_PROMPT = "any two answers to one prompt"
BY_FILE = "the file's own pairs"


def prompt_pairs(conversations: Sequence[Conversation]) -> Ids:
    """Every answer with each of the next `MOST_PARTNERS` answers to the same prompt, int [pairs, 2].

    The order that may change is the one the plain model gives them. Texts without a prompt, and token ids, are in no
    pair: nothing says that they answer the same.
    """
    by_prompt: dict[object, list[int]] = {}
    for number, conversation in enumerate(conversations):
        if conversation.messages is not None and len(conversation.messages) > 1:
            by_prompt.setdefault(prompt_of(conversation)[0], []).append(number)
    pairs = [
        (one, two)
        for numbers in by_prompt.values()
        for place, one in enumerate(numbers)
        for two in numbers[place + 1 : place + 1 + MOST_PARTNERS]
    ]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def file_pairs(
    path: Path, conversations: Sequence[Conversation], reader: Reader | None = None
) -> tuple[Ids, str]:
    """The pairs of a complement file and how they were made, in words (`BY_FILE` or `BY_PROMPT`).

    Preferences of its rows are pairs; in a file of single answers those to one prompt are.
    """
    number = {conversation: i for i, conversation in enumerate(conversations)}
    stated = (reader or Reader()).pairs(path, lambda _error: None)
    if pairs := [(number[pair.chosen], number[pair.rejected]) for pair in stated]:
        return np.array(pairs, dtype=np.int64), BY_FILE
    return prompt_pairs(conversations), BY_PROMPT


@dataclass(frozen=True)
class Complement:
    """Other answers with their activations: `pairs` int [p, 2] numbers those whose order may change, `pairing` says
    how they were made; `file` is name and sha256 of what holds them."""

    matrix: FeatureMatrix
    pairs: Ids | None = None
    pairing: str = ""
    title: str = ""
    file: dict[str, str] | None = None

    @cached_property
    def prompts(self) -> Ids:
        """The prompt of each pair, int [p] from 0: answers that pairs join, directly or over others, answer one."""
        pairs = np.zeros((0, 2), np.int64) if self.pairs is None else self.pairs
        n = len(self.matrix)
        joined = sparse.csr_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
        of_answers = connected_components(joined, directed=False)[1]
        return np.unique(of_answers[pairs[:, 0]], return_inverse=True)[1].astype(np.int64)

    @cached_property
    def median_lead(self) -> float:
        """The median |difference in reward| of pairs that are no tie; NaN without any."""
        if self.pairs is None:
            return np.nan
        rewards = self.matrix.exact_rewards
        leads = np.abs(rewards[self.pairs[:, 0]] - rewards[self.pairs[:, 1]])
        leads = leads[leads > 0]
        return float(np.median(leads)) if leads.size else np.nan


@dataclass(frozen=True)
class ComplementAnswers:
    """A complement that is read and checked, before a model runs; `asked` is how the command line names it."""

    answers: Answers
    pairs: Ids
    pairing: str
    title: str
    asked: str
    file: dict[str, str]

    def encoded(self, matrix: FeatureMatrix) -> Complement:
        """With the activations of `answers`."""
        return Complement(matrix, self.pairs, self.pairing, self.title, self.file)


def file_complement(
    path: Path, name: str | None = None, *, reader: Reader | None = None
) -> ComplementAnswers:
    """The answers of a file of rows; `name` is what people know it by, where that is not its path.

    Raises RowError naming file and row, SarmError for a folder.
    """
    if path.is_dir() and not is_saved(path):
        raise SarmError(f"{path}: a complement is a file of rows here, or a folder that datasets saved")
    answers = read_answers(path, reader)
    pairs, pairing = file_pairs(path, answers.conversations, reader)
    facts = file_facts(path)
    if name is None:
        return ComplementAnswers(answers, pairs, pairing, path.name, str(path), facts)
    named = replace(answers, places=tuple((name, row) for _, row in answers.places))
    return ComplementAnswers(named, pairs, pairing, name, name, {**facts, "name": name})
