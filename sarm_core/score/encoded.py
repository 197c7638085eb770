"""Answers encoded once and kept on disk, so that the model does not run again for another steering or question.

`encode_once` is the door that every command and page goes through: `score`, `contrast`, `evaluate`, `perturb`;
*Compare*, *Explain*, *Features*, *Find features*, *Evaluate*. Four things stay outside. The check of an export runs
both models, because that is what it is for; a reward in training reads texts that a policy has just made and will not
make again; a harvest reads every sentence of a corpus into its store; what an answer hangs on (`occlusion`, and a
feature along a text) needs every token, not the scored one. Each answer is kept on its own account (see `cache`): a
list in another order, or with some answers more, runs the model for the new ones only, also after a restart.
Interrupted work goes on where it stopped, at the last whole part.

An answer read from disk has the activations it got in the batch that first encoded it, bit by bit. In float32 a batch
of other company moves a reward in the last bits only (below 1e-5), so results do not depend on what was asked before.
What comes with the embedded model, its corpus and the answers sampled from it, comes encoded.
In bfloat16 and float16 an answer's features at the edge of the k largest come and go with its batch, with a cache or
without, so a kept reward is one of several; kept answers at least stay as they were.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from sarm_core.demo import ENCODED
from sarm_core.errors import RowError, SarmError
from sarm_core.features import FeatureMatrix
from sarm_core.score.cache import EncodedParts, Piece, encoded_folder
from sarm_core.text.conversation import TokenSequence
from sarm_core.text.rows import Conversation, Place

if TYPE_CHECKING:
    from sarm_core.score.scorer import Scorer

__all__ = ["Encoded", "Progress", "conversation_hash", "encode_once", "encoded_folder", "is_encoded"]

PART = 256  # answers a file: what an interruption costs
Progress = Callable[[int, int], None]
"""Called with (tokens done, tokens in all) of the answers the model has to read; may raise to stop."""


@dataclass(frozen=True)
class Encoded:
    """`matrix` of n answers in the order asked for; `n_cut` int [n], the tokens cut from each on the left.

    `reused` of the n were read from disk; for the others the model read `tokens_read` tokens. `notes` says what
    was odd: a damaged part, a folder that cannot be written.
    """

    matrix: FeatureMatrix
    n_cut: npt.NDArray[np.int64]
    reused: int
    tokens_read: int = 0
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
    sequences: Sequence[TokenSequence] | None = None,
    folder: Path | None = None,
    use_cache: bool = True,
    progress: Progress | None = None,
) -> Encoded:
    """Activations of `conversations`, from disk where this model encoded them before, else by the model.

    A conversation that occurs several times is encoded once. `places` [n] lets a RowError name file and row
    instead of the position in `conversations`; `sequences` [n] is what `Scorer.tokens` makes of them, for whoever has
    it at hand. All that are not kept are checked before the model runs, so that a bad one costs no computing time.
    `folder` replaces `encoded_folder()`; without `use_cache` nothing is read or written, and the same batches run.
    Memory: the activations asked for, twice while they are put in order, the token ids of what is not kept, and one
    part. Raises RowError for a conversation that cannot be scored, SarmError for none.
    """
    if not conversations:
        raise SarmError("there is nothing to encode")
    hashes = [conversation_hash(conversation) for conversation in conversations]
    first: dict[bytes, int] = {}
    for position, digest in enumerate(hashes):
        first.setdefault(digest, position)
    parts = EncodedParts(folder or encoded_folder(), scorer) if use_cache else None
    if parts:
        parts.take(ENCODED)
    pieces = list(parts.find(first)) if parts else []
    kept = {digest for piece in pieces for digest in piece.hashes}

    missing = [position for digest, position in first.items() if digest not in kept]
    batches = [
        (some, _tokens(scorer, conversations, some, places, sequences))  # raises before any work
        for some in (missing[at : at + PART] for at in range(0, len(missing), PART))
    ]
    lengths = [sum(len(ids) for ids, _ in tokens) for _, tokens in batches]
    total, done = sum(lengths), 0
    if total and progress is not None:
        progress(0, total)
    for (some, tokens), length in zip(batches, lengths, strict=True):
        matrix = scorer.encode([ids for ids, _ in tokens], progress=_within(progress, done, length, total))
        done += length
        n_cut = np.array([cut for _, cut in tokens], dtype=np.int64)
        pieces.append(Piece(tuple(hashes[i] for i in some), matrix.csr, n_cut))
        if parts:
            parts.add(pieces[-1])
    csr, n_cut = _in_order(pieces, hashes)
    return Encoded(
        FeatureMatrix(csr, scorer.head),
        n_cut,
        sum(digest in kept for digest in hashes),
        total,
        tuple(parts.notes) if parts else (),
    )


def is_encoded(scorer: Scorer, conversations: Sequence[Conversation], *, folder: Path | None = None) -> bool:
    """Whether `encode_once` would give all of them without the model."""
    wanted = {conversation_hash(conversation) for conversation in conversations}
    parts = EncodedParts(folder or encoded_folder(), scorer)
    parts.take(ENCODED)
    return sum(len(piece.hashes) for piece in parts.find(wanted)) == len(wanted)


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


def _tokens(
    scorer: Scorer,
    conversations: Sequence[Conversation],
    positions: Sequence[int],
    places: Sequence[Place] | None,
    sequences: Sequence[TokenSequence] | None,
) -> list[tuple[npt.NDArray[np.int32], int]]:
    """Token ids, and how many were cut, of the conversations at some positions: without the texts they came from."""
    if sequences is None:
        try:
            found = scorer.tokens([conversations[i] for i in positions])
        except RowError as error:
            position = positions[(error.row or 1) - 1]
            if places is None:
                raise error.at(None, position + 1) from None
            raise error.at(*places[position]) from None
    else:
        found = [sequences[i] for i in positions]
    return [(sequence.input_ids, sequence.n_cut) for sequence in found]


def _within(progress: Progress | None, before: int, size: int, total: int) -> Progress | None:
    """Progress of one part as progress of the whole; the encoder counts shared tokens once, so by share."""
    if progress is None:
        return None
    return lambda done, of: progress(before + round(size * done / max(of, 1)), total)
