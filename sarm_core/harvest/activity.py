"""The pure batch function: a chunk of texts in, the active features at its positions out.

Both engines call it and nothing else touches the model in the first phase. What it returns depends on the
chunk, the model and the settings only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from sarm_core.errors import RowError
from sarm_core.harvest.corpus import BadRow, Chunk, CorpusText
from sarm_core.score.scorer import Scorer
from sarm_core.text.conversation import TokenSequence, sentence_ends

__all__ = ["ChunkActivity", "Positions", "digest_of", "encode_chunk", "sequences_of"]

Positions = Literal["scored", "sentences"]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ChunkActivity:
    """Active features of one chunk: n texts, p positions, e (position, feature) entries.

    Entries are grouped by position (`indptr` int64 [p + 1]); positions are grouped by text.
    """

    number: int
    rows_done: int
    n_tokens: int
    ordinals: Ints
    """int64 [n]"""
    digests: npt.NDArray[np.uint64]
    """[n], hash of the token ids the model read: equal for texts that are the same to the model."""
    position_text: npt.NDArray[np.int32]
    """[p], index of the position's text in this chunk"""
    position_token: npt.NDArray[np.int32]
    """[p], index of the position's token in its text"""
    indptr: Ints
    features: npt.NDArray[np.int32]
    """[e]"""
    values: npt.NDArray[np.float32]
    """[e], z; never 0"""
    bad: tuple[BadRow, ...] = field(default=())
    """Rows that cannot be read or tokenised"""


def digest_of(sequence: TokenSequence) -> int:
    """64-bit hash of the token ids; among a million texts two different ones meet with odds 1 : 37 million."""
    raw = hashlib.blake2b(np.ascontiguousarray(sequence.input_ids, dtype="<i4").tobytes(), digest_size=8)
    return int.from_bytes(raw.digest(), "little")


def sequences_of(
    scorer: Scorer, texts: Sequence[CorpusText]
) -> tuple[list[tuple[CorpusText, TokenSequence]], list[BadRow]]:
    """The texts with their tokens, and (file, row, reason) of those that cannot be tokenised."""
    conversations = [text.conversation for text in texts if text.conversation is not None]
    try:
        ready = iter(scorer.tokens(conversations))
        return [(t, _plain(scorer, t) if t.conversation is None else next(ready)) for t in texts], []
    except RowError:
        good, bad = [], []
        for text in texts:
            try:
                if text.conversation is None:
                    sequence = _plain(scorer, text)
                else:
                    (sequence,) = scorer.tokens([text.conversation])
                good.append((text, sequence))
            except RowError as error:
                bad.append((*text.place, error.reason))
        return good, bad


def _plain(scorer: Scorer, text: CorpusText) -> TokenSequence:
    if scorer.format is None:
        raise RowError(
            "the checkpoint ships no tokenizer, so text cannot be read: "
            "give input_ids, or add the tokenizer's files to the checkpoint folder"
        )
    return scorer.format.plain_text(text.plain or "")


def encode_chunk(scorer: Scorer, chunk: Chunk, positions: Positions) -> ChunkActivity:
    """Encode one chunk at the scored position, or at every sentence-final token of the last answer."""
    good, bad = sequences_of(scorer, chunk.texts)
    sequences = [sequence for _, sequence in good]
    if positions == "scored":
        where = [np.array([s.scored], dtype=np.int64) for s in sequences]
    else:
        where = [sentence_ends(s) for s in sequences]
    counts = [len(p) for p in where]
    csr = scorer.encoder.encode([s.input_ids for s in sequences], where)
    csr.eliminate_zeros()
    return ChunkActivity(
        chunk.number,
        chunk.rows_done,
        sum(len(s) for s in sequences),
        np.array([text.ordinal for text, _ in good], dtype=np.int64),
        np.array([digest_of(s) for s in sequences], dtype=np.uint64),
        np.repeat(np.arange(len(good), dtype=np.int32), counts),
        np.concatenate([np.zeros(0, np.int32), *(p.astype(np.int32) for p in where)]),
        csr.indptr.astype(np.int64),
        csr.indices.astype(np.int32),
        csr.data.astype(np.float32),
        (*chunk.bad, *bad),
    )
