"""Answers encoded once and kept on disk, so that the model does not run again for another steering or question.

Each answer is kept on its own account (see `encoded_parts`): a list in another order, or with some answers
more, runs the model for the new ones only, and every command and page that encodes with one model shares what is
kept. Interrupted work goes on where it stopped, at the last whole part.

An answer read from disk has the activations it got in the batch that first encoded it. In float32 a batch of other
company moves a reward in the last bits only (below 1e-5), so results do not depend on what was asked before. In
bfloat16 and float16 an answer's features at the edge of the k largest come and go with its batch, with a
cache or without; kept answers at least stay as they were.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from sarm_core.errors import RowError, SarmError
from sarm_core.features import FeatureMatrix
from sarm_core.score.cache import EncodedParts, Piece, encoded_folder
from sarm_core.score.scorer import Scorer
from sarm_core.text.rows import Conversation, Place

__all__ = ["Encoded", "Progress", "conversation_hash", "encode_once", "encoded_folder"]

PART = 256  # answers a file: what an interruption costs
Progress = Callable[[int, int], None]
"""Called with (tokens done, tokens in all) of the answers the model has to read; may raise to stop."""


@dataclass(frozen=True)
class Encoded:
    """`matrix` of n answers in the order asked for; `n_cut` int [n], the tokens cut from each on the left.

    `reused` of the n were read from disk. `notes` says what was odd: a damaged part, a folder that
    cannot be written.
    """

    matrix: FeatureMatrix
    n_cut: npt.NDArray[np.int64]
    reused: int
    notes: tuple[str, ...] = ()


def conversation_hash(conversation: Conversation) -> bytes:
    """sha256 of what is scored: roles, contents and what else a turn holds, tools, or token ids."""
    if conversation.messages is None:
        body: Any = list(conversation.input_ids or ())
    else:
        body = [
            [turn.role, turn.content, *([turn.extra] if turn.extra else [])] for turn in conversation.messages
        ]
        if conversation.tools:
            body.append(conversation.tools)
    return hashlib.sha256(json.dumps(body).encode()).digest()


def encode_once(
    scorer: Scorer,
    conversations: Sequence[Conversation],
    *,
    places: Sequence[Place] | None = None,
    folder: Path | None = None,
    use_cache: bool = True,
    progress: Progress | None = None,
) -> Encoded:
    """Activations of `conversations`, from disk where this model encoded them before, else by the model.

    A conversation that occurs several times is encoded once. `places` [n] lets a RowError name file and row
    instead of the position in `conversations`. All that are not kept are checked before the model runs, so that
    a bad one costs no computing time. `folder` replaces `encoded_folder()`; without `use_cache` nothing
    is read or written. Memory: the activations asked for, twice while they are put in order, and one part.
    Raises RowError for a conversation that cannot be scored, SarmError for none.
    """
    if not conversations:
        raise SarmError("there is nothing to encode")
    hashes = [conversation_hash(conversation) for conversation in conversations]
    first: dict[bytes, int] = {}
    for position, digest in enumerate(hashes):
        first.setdefault(digest, position)
    parts = EncodedParts(folder or encoded_folder(), scorer) if use_cache else None
    pieces = list(parts.find(first)) if parts else []
    kept = {digest for piece in pieces for digest in piece.hashes}

    missing = [position for digest, position in first.items() if digest not in kept]
    batches = [missing[at : at + PART] for at in range(0, len(missing), PART)]
    lengths = [
        _token_count(scorer, conversations, batch, places) for batch in batches
    ]  # raises before any work
    total, done = sum(lengths), 0
    for batch, length in zip(batches, lengths, strict=True):
        scored = scorer.score(
            [conversations[i] for i in batch], progress=_within(progress, done, length, total)
        )
        done += length
        pieces.append(
            Piece(tuple(hashes[i] for i in batch), scored.matrix.csr, np.array(scored.n_cut, dtype=np.int64))
        )
        if parts:
            parts.add(pieces[-1])
    csr, n_cut = _in_order(pieces, hashes)
    return Encoded(
        FeatureMatrix(csr, scorer.head),
        n_cut,
        sum(digest in kept for digest in hashes),
        tuple(parts.notes) if parts else (),
    )


def _in_order(
    pieces: Sequence[Piece], hashes: Sequence[bytes]
) -> tuple[sparse.csr_matrix, npt.NDArray[np.int64]]:
    """Rows of the pieces in the order of `hashes`, some of them several times."""
    row = {digest: number for number, digest in enumerate(d for piece in pieces for d in piece.hashes)}
    rows = np.array([row[digest] for digest in hashes], dtype=np.int64)
    csr = sparse.csr_matrix(sparse.vstack([piece.csr for piece in pieces], format="csr"))
    n_cut = np.concatenate([piece.n_cut for piece in pieces])
    if rows.size == csr.shape[0] and (rows == np.arange(rows.size)).all():
        return csr, n_cut
    return sparse.csr_matrix(csr[rows]), n_cut[rows]


def _token_count(
    scorer: Scorer,
    conversations: Sequence[Conversation],
    positions: Sequence[int],
    places: Sequence[Place] | None,
) -> int:
    try:
        return sum(len(sequence) for sequence in scorer.tokens([conversations[i] for i in positions]))
    except RowError as error:
        position = positions[(error.row or 1) - 1]
        if places is None:
            raise error.at(None, position + 1) from None
        raise error.at(*places[position]) from None


def _within(progress: Progress | None, before: int, size: int, total: int) -> Progress | None:
    """Progress of one part as progress of the whole; the encoder counts shared tokens once, so by share."""
    if progress is None:
        return None
    return lambda done, of: progress(before + round(size * done / max(of, 1)), total)
