"""Answers, each read by the backbone once, and what dictionaries make of them.

What is kept is h of the scored token, in the precision the backbone ran in, under the hash of the token ids that it
was made from; and the active features of each dictionary, sparse. Both lie in the cache folder, so that an interrupted
run goes on at the last pass that was done and another dictionary over the same block runs no model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse

from sarm_core.errors import RowError, SarmError
from sarm_core.model.sae import SAE
from sarm_core.score.cache import EncodedParts, Piece
from sarm_core.text.conversation import TokenSequence
from sarm_core.text.rows import Conversation, Place
from sarm_core.train.activations import Reader

__all__ = ["Answers", "Progress", "tensors_digest"]

CHUNK = 64  # answers that are tokenized, or meet the dictionary, at once
WINDOW = 2_048
"""Answers that are planned together: what shares a prompt or a length is read together"""
Progress = Callable[[int, int], None]
"""Called with (answers done, answers in all)."""


class Answers:
    """The distinct ones of `conversations`, read by `reader`; h in the folder `cache`. n are distinct.

    `row_of` int64 [conversations] is the row of each; what renders to the same tokens is one answer. `n_tokens` int64
    [n] counts an answer's tokens with its prompt, `n_cut` [n] those cut from its left. `places` [conversations] lets a
    RowError name file and row. Raises RowError for a conversation that cannot be read, SarmError for h that is none.
    """

    def __init__(
        self,
        reader: Reader,
        conversations: Sequence[Conversation],
        cache: Path,
        *,
        places: Sequence[Place | None] | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.reader, self.cache = reader, cache
        self._kept = reader.kept(cache)
        self.digests: list[bytes] = []
        tokens: list[int] = []
        cut: list[int] = []
        first: dict[Conversation, int] = {}
        origin: list[int] = []
        for i, conversation in enumerate(conversations):
            if first.setdefault(conversation, len(origin)) == len(origin):
                origin.append(i)
        rows: dict[bytes, int] = {}
        of_distinct = np.zeros(len(origin), dtype=np.int64)
        for at in range(0, len(origin), WINDOW):
            until = min(at + WINDOW, len(origin))
            new: dict[bytes, _Unread] = {}
            for begin in range(at, until, CHUNK):
                some = origin[begin : min(begin + CHUNK, until)]
                sequences = self._tokens(
                    [conversations[i] for i in some], [places[i] for i in some] if places else None
                )
                for i, sequence in enumerate(sequences, begin):
                    digest = _digest_of(sequence)
                    if digest not in rows:
                        rows[digest] = len(self.digests)
                        self.digests.append(digest)
                        tokens.append(len(sequence) + sequence.n_cut)
                        cut.append(sequence.n_cut)
                    of_distinct[i] = rows[digest]
                    if digest not in self._kept:
                        new[digest] = _Unread(sequence.input_ids, np.array([sequence.scored]))
            for left in self._read(new) if new else (0,):
                if progress is not None:
                    progress(until - left, len(origin))
        self.n_tokens, self.n_cut = np.array(tokens, np.int64), np.array(cut, np.int64)
        self.row_of = of_distinct[np.array([first[c] for c in conversations], dtype=np.int64)]

    def __len__(self) -> int:
        return len(self.digests)

    def _tokens(
        self, some: Sequence[Conversation], places: Sequence[Place | None] | None
    ) -> list[TokenSequence]:
        tokens = self.reader.format.tokens
        try:
            return tokens(some)
        except RowError:
            for i, conversation in enumerate(some):
                try:
                    tokens([conversation])
                except RowError as error:
                    place = places[i] if places else None
                    raise (error.at(*place) if place else error) from None
            raise

    def _read(self, new: Mapping[bytes, _Unread]) -> Iterator[int]:
        """Run the model, and keep what each of its passes gives; yields how many are left, at last 0."""
        digests, texts = list(new), list(new.values())
        left = len(new)
        parts = self.reader.encoder.hidden_parts([t.input_ids for t in texts], [t.scored for t in texts])
        for members, h in parts:
            self._kept.add([digests[i] for i in members], self.reader.checked(h))
            left -= len(members)
            if left:
                yield left
        yield 0

    def hidden(self, rows: npt.NDArray[np.int64] | Sequence[int] | None = None) -> npt.NDArray[np.float32]:
        """h of some answers (default: all), float32 [rows, d], read from disk."""
        digests = self.digests if rows is None else [self.digests[i] for i in rows]
        return self._kept.rows(digests).astype(np.float32)

    def codes(self, sae: SAE, progress: Progress | None = None) -> sparse.csr_matrix:
        """The active features of every answer, float32 CSR [n, M]; from disk where this dictionary was asked before.

        Memory: the result, twice while it is put in order, and [256, M].
        """
        parts = EncodedParts(self.cache, _Key(sae.n_features, self._codes_key(sae)))
        pieces = list(parts.find(set(self.digests)))
        kept = {digest for piece in pieces for digest in piece.hashes}
        missing = [i for i, digest in enumerate(self.digests) if digest not in kept]
        device = next(sae.parameters()).device
        for at in range(0, len(missing), CHUNK):
            some = missing[at : at + CHUNK]
            with torch.inference_mode():
                h = torch.from_numpy(self.hidden(some)).to(device)
                csr = sae.encode(sae.inputs(h)).csr()
            if not np.isfinite(csr.data).all():
                raise SarmError(
                    "the dictionary's activations are not finite on this backbone: is it its own?"
                )
            pieces.append(Piece(tuple(self.digests[i] for i in some), csr, self.n_cut[some]))
            parts.add(pieces[-1])
            if progress is not None:
                progress(len(kept) + at + len(some), len(self))
        row = {digest: i for i, digest in enumerate(d for piece in pieces for d in piece.hashes)}
        stacked = sparse.csr_matrix(sparse.vstack([piece.csr for piece in pieces], format="csr"))
        return sparse.csr_matrix(stacked[[row[digest] for digest in self.digests]])

    def _codes_key(self, sae: SAE) -> str:
        stated = json.dumps([self.reader.key, sae.of_kind.to_stated()], sort_keys=True, default=str)
        return hashlib.sha256(f"{stated} {tensors_digest(sae)}".encode()).hexdigest()


class _Unread(NamedTuple):
    """The token ids of an answer, and where the scored one is, int64 [1]."""

    input_ids: npt.NDArray[np.int32]
    scored: npt.NDArray[np.int64]


class _Key:
    """What `EncodedParts` asks of a scorer."""

    def __init__(self, n_features: int, encoding_key: str):
        self.n_features, self.encoding_key = n_features, encoding_key


def _digest_of(sequence: TokenSequence) -> bytes:
    return hashlib.sha256(sequence.input_ids.tobytes()).digest()


def tensors_digest(sae: SAE) -> str:
    """sha256 of a dictionary's tensors."""
    digest = hashlib.sha256()
    tensors: dict[str, Any] = dict(sae.state_dict())
    for name in sorted(tensors):
        array = tensors[name].detach().cpu().float().contiguous().numpy()
        digest.update(f"{name} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
