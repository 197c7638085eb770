"""What a steering does to the answers in the store: which pairs of answers to one prompt change places."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd
import streamlit as st
from scipy import sparse

from app.session import session
from app.session.comparison import Answer, Comparison
from app.session.engine import Engine
from feature_db import Store
from sarm_core.features import FeatureMatrix
from sarm_core.prove.complement import BY_PROMPT, Complement
from sarm_core.steering import Steering
from sarm_core.text.rows import Message

__all__ = [
    "Flips",
    "StoredPairs",
    "Turns",
    "flips_line",
    "silenced_line",
    "stored_comparison",
    "stored_pairs",
]

Turns = tuple[tuple[str, str], ...]
"""Role and content of each turn of a prompt."""
MOST_TEXTS = 20_000
"""Larger stores are not read for one line on a page."""
MOST_PROMPTS = 100


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
        rows_of: dict[Turns, list[int]] = defaultdict(list)
        for row, text in enumerate(ids.tolist()):
            turns = store.text(text).messages
            if turns:
                rows_of[tuple((turn["role"], turn["content"]) for turn in turns[:-1])].append(row)
        prompts = [(turns, rows) for turns, rows in rows_of.items() if turns and len(rows) > 1]
        if not prompts:
            return None
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


def flips_line(current: Engine) -> None:
    """Nothing without a steering that can re-rank, or without stored answers to one prompt."""
    steering = session.steering().current
    if not steering or not steering.can_rerank():
        return
    pairs = stored_pairs(current)
    if pairs is None:
        return
    found = pairs.flips(steering)
    st.caption(
        f":green-badge[exact] of the {found.pairs:,} pairs of stored answers to one prompt, this steering turns "
        f"{found.turned:,} around ({found.turned / max(found.pairs, 1):.1%}), on {len(found.by_prompt):,} of "
        f"{len(pairs.questions):,} prompts"
    )
    if found.turned:
        with st.expander("On which prompts"):
            picked = st.dataframe(
                pd.DataFrame(found.by_prompt[:MOST_PROMPTS], columns=["prompt", "turned", "pairs"]),
                hide_index=True,
                on_select="rerun",
                selection_mode="single-row",
                key="flips",
            )
            rows = picked.selection.rows
            st.button(
                "Compare its answers",
                on_click=_open,
                args=(current, pairs.texts_of(found.prompts[rows[0]]) if rows else []),
                icon=":material/compare_arrows:",
                disabled=not rows,
                help=None if rows else "Choose a prompt first",
                key="flips_open",
            )


def stored_comparison(current: Engine, texts: Sequence[int]) -> Comparison:
    """Stored answers to one prompt, to be compared. Raises StoreError for texts that are gone."""
    with current.store() as store:
        found = [store.text(text).messages or [] for text in texts]
    turns = tuple(Message(str(turn["role"]), str(turn["content"])) for turn in found[0][:-1])
    return Comparison(turns, tuple(Answer(str(turns[-1]["content"])) for turns in found), "stored answers")


def _open(current: Engine, texts: Sequence[int]) -> None:
    made = session.guarded(lambda: stored_comparison(current, texts))
    if made is not None:
        session.set_comparison(made)


def silenced_line(current: Engine, feature: int) -> None:
    """What the reward would be without this feature: how many pairs of stored answers would change places."""
    pairs = stored_pairs(current)
    if pairs is None:
        return
    found = pairs.flips(Steering(scale={feature: 0.0}))
    st.caption(
        f":green-badge[exact] Silenced, it turns {found.turned:,} of {found.pairs:,} pairs of stored answers to one "
        f"prompt around, on {len(found.by_prompt):,} of {len(pairs.questions):,} prompts."
    )
