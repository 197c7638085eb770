"""The answers that dictionaries are looked at on: those a store keeps, or of files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from sarm_core.dictionary.side import Side, check_same_tokens, stored_conversations
from sarm_core.errors import RowError, SarmError
from sarm_core.harvest.store_protocol import ExampleStore
from sarm_core.score.encoded import encode_once
from sarm_core.score.scorer import Scorer
from sarm_core.text.rows import Conversation

__all__ = ["conversations_of", "in_store", "other_on"]


def in_store(store: ExampleStore) -> tuple[npt.NDArray[np.int64], sparse.csr_matrix]:
    """Ids [n] and activations CSR float32 [n, M] of the answers that a store keeps encoded. Raises SarmError."""
    ids, indptr, indices, values = store.encodings()
    if not len(ids):
        raise SarmError(
            "the store keeps no encoded answers: harvest a corpus into it, or give files of answers"
        )
    return ids, sparse.csr_matrix((values, indices, indptr), shape=(len(ids), store.model.n_features))


def conversations_of(
    store: ExampleStore, ids: npt.NDArray[np.int64], most: int
) -> tuple[list[Conversation], npt.NDArray[np.int64]]:
    """What `most` of the stored texts `ids` say, evenly spread, and their places among `ids`; texts that are no turns
    are left out. Raises SarmError where none is left."""
    places = np.unique(np.linspace(0, len(ids) - 1, min(most, len(ids))).astype(np.int64))
    found, kept = [], []
    for place in places.tolist():
        try:
            found += stored_conversations([store.text(int(ids[place])).messages])
        except RowError:
            continue
        kept.append(place)
    if not found:
        raise SarmError(
            "the store keeps no answers as turns, so another model cannot read them: give files of answers"
        )
    return found, np.array(kept, dtype=np.int64)


def other_on(left: Scorer, right: Scorer, conversations: Sequence[Conversation], **how: Any) -> Side:
    """The second dictionary on these answers, which both have to read as the same tokens (see `encode_once` for `how`).

    Raises SarmError, RowError.
    """
    check_same_tokens(left, right, conversations)
    return Side.of_scorer(right, encode_once(right, conversations, **how).matrix.csr)
