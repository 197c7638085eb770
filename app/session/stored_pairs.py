"""The answers in the store as pairs of one prompt, and which of them a steering puts the other way round."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import streamlit as st
from scipy import sparse

from app.session.engine import Engine
from feature_db import Store
from sarm_core.features import FeatureMatrix
from sarm_core.prove.complement import BY_PROMPT, Complement
from sarm_core.steering import Steering

__all__ = ["Flips", "StoredPairs", "Turns", "stored_pairs"]

Turns = tuple[tuple[str, str], ...]
"""Role and content of each turn of a prompt."""
MOST_TEXTS = 20_000
"""Larger stores are not read for one line on a page."""


@dataclass(frozen=True)
class Flips:
    """`pairs` that the model ranks at all, `turned` of them put the other way round, counted per prompt as well."""

    pairs: int
    turned: int
    by_prompt: list[tuple[str, int, int]]
    """(question, turned, pairs) of every prompt with a turned pair, most turned first."""
    prompts: list[int]
    """The numbers of the same prompts."""


@dataclass(frozen=True)
class StoredPairs:
    """Stored activations of answers, and which of them answer one prompt.

    `left`, `right` [n] are rows of `matrix`, `prompt` [n] the number of their prompt in `prompts`; `texts` names the
    stored text of each row.
    """

    matrix: FeatureMatrix
    left: npt.NDArray[np.int64]
    right: npt.NDArray[np.int64]
    prompt: npt.NDArray[np.int64]
    prompts: list[Turns]
    texts: npt.NDArray[np.int64]

    @cached_property
    def questions(self) -> list[str]:
        """The last turn of each prompt."""
        return [turns[-1][1] for turns in self.prompts]

    def question_of(self, row: int) -> str:
        """The last turn of the prompt that the answer in a row of `matrix` responds to; it is in some pair."""
        return self.questions[int(self._prompt_of_row[row])]

    @cached_property
    def _prompt_of_row(self) -> npt.NDArray[np.int64]:
        found = np.full(len(self.matrix), -1, dtype=np.int64)
        found[self.left] = found[self.right] = self.prompt
        return found

    def texts_of(self, prompt: int) -> list[int]:
        """The stored texts that answer a prompt."""
        pairs = self.prompt == prompt
        rows = np.unique(np.concatenate([self.left[pairs], self.right[pairs]]))
        return [int(text) for text in self.texts[rows]]

    @cached_property
    def complement(self) -> Complement:
        """The same pairs as answers that a proposal should leave alone, without those that the model does not rank."""
        return self._complement(np.ones(len(self.prompts), dtype=bool))

    def elsewhere(self, prompts: Collection[Turns]) -> Complement:
        """`complement` without the pairs of some prompts, whose answers the proposal is about."""
        other = np.array([turns not in prompts for turns in self.prompts], dtype=bool)
        return self.complement if other.all() else self._complement(other)

    def _complement(self, counted: npt.NDArray[np.bool_]) -> Complement:
        rewards = self.matrix.rewards
        kept = (rewards[self.left] != rewards[self.right]) & counted[self.prompt]
        return Complement(
            self.matrix, np.stack([self.left[kept], self.right[kept]], axis=1), BY_PROMPT, "stored answers"
        )

    @classmethod
    def read(cls, store: Store, head: npt.NDArray[np.float32]) -> StoredPairs | None:
        """All encoded texts that share a prompt with another; None for a store with none, or a very large one."""
        ids, indptr, indices, values = store.encodings()
        if not 2 <= len(ids) <= MOST_TEXTS:
            return None
        row_of = {text: row for row, text in enumerate(ids.tolist())}
        together = [texts for texts in store.answers_by_prompt() if len(texts) > 1]
        if not together:
            return None
        prompts = [
            (
                tuple((turn["role"], turn["content"]) for turn in store.text(texts[0]).messages[:-1]),
                [row_of[text] for text in texts],
            )
            for texts in together
        ]
        left, right, prompt = [], [], []
        for number, (_, rows) in enumerate(prompts):
            first, second = np.triu_indices(len(rows), 1)
            left.append(np.asarray(rows)[first])
            right.append(np.asarray(rows)[second])
            prompt.append(np.full(len(first), number))
        csr = sparse.csr_matrix((values, indices, indptr), shape=(len(ids), len(head)))
        return cls(
            FeatureMatrix(csr, head),
            np.concatenate(left),
            np.concatenate(right),
            np.concatenate(prompt),
            [turns for turns, _ in prompts],
            np.asarray(ids, dtype=np.int64),
        )

    def silenced(self, feature: int) -> tuple[int, int]:
        """How many pairs turn around without a feature, of how many the model ranks; kept for the next time."""
        if feature not in self._silenced:
            found = self.flips(Steering(scale={feature: 0.0}))
            self._silenced[feature] = found.turned, found.pairs
        return self._silenced[feature]

    @cached_property
    def _silenced(self) -> dict[int, tuple[int, int]]:
        return {}

    def flips(self, steering: Steering) -> Flips:
        """Pairs whose order is the opposite under `steering`; a pair that becomes a tie is not turned."""
        before, after = self.matrix.rewards, steering.without_offsets().rewards(self.matrix)
        was = np.sign(before[self.left] - before[self.right])
        now = np.sign(after[self.left] - after[self.right])
        ranked, turned = was != 0, was * now < 0
        n = len(self.questions)
        counts = np.bincount(self.prompt[turned], minlength=n)
        sizes = np.bincount(self.prompt[ranked], minlength=n)
        order = [int(i) for i in np.argsort(-counts, kind="stable") if counts[i]]
        by_prompt = [(self.questions[i], int(counts[i]), int(sizes[i])) for i in order]
        return Flips(int(ranked.sum()), int(turned.sum()), by_prompt, order)


@st.cache_resource(max_entries=2, ttl=900, show_spinner="Reading the stored answers …")
def _pairs(fingerprint: str, path: str, _engine: Engine) -> StoredPairs | None:
    with _engine.store() as store:
        return StoredPairs.read(store, _engine.scorer.head)


def stored_pairs(current: Engine) -> StoredPairs | None:
    """The pairs of the model's store, read once for all sessions; None where it has none."""
    return _pairs(current.fingerprint, str(current.store_path), current)
