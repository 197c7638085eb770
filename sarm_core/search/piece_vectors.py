"""A text's vector: the sum of the vectors of its word pieces, at unit length."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import sparse

from sarm_core.errors import SarmError

__all__ = ["PieceVectors", "piece_vectors"]

FOLDER = Path(__file__).parent
VECTORS, PIECES = "piece_vectors.safetensors", "pieces.json"
UNKNOWN = "[UNK]"


class PieceVectors:
    """Static vectors of word pieces, with the tokenizer that cuts texts into them.

    Order and neighbouring words do not matter: a text's vector is a sum. That loses something against the sentence
    model the vectors come from (docs/benchmarks.md has the figures) and makes a text cost microseconds.
    """

    def __init__(self, pieces: Sequence[str], table: npt.NDArray[np.float32]):
        """`table` is float32 [pieces, d]; pieces that continue a word begin with "##"."""
        from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

        if len(pieces) != len(table):
            raise SarmError(
                f"{len(table)} vectors for {len(pieces)} word pieces: the two files do not belong together"
            )
        places = {piece: place for place, piece in enumerate(pieces)}
        self._tokenizer = Tokenizer(models.WordPiece(places, unk_token=UNKNOWN, max_input_chars_per_word=100))
        self._tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
        self._tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        self._table = table
        content = hashlib.sha256(json.dumps(list(pieces)).encode())
        content.update(np.ascontiguousarray(table).tobytes())
        self._key = content.hexdigest()

    @classmethod
    def read(cls, folder: Path = FOLDER) -> PieceVectors:
        """From `piece_vectors.safetensors` (int8 [pieces, d] and a float32 scale a row) and `pieces.json`.

        Raises SarmError naming the file that is missing or damaged.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        path = folder / VECTORS
        try:
            held = load_file(str(path))
            path = folder / PIECES
            pieces = json.loads(path.read_text(encoding="utf-8"))
            return cls(pieces, held["vectors"].astype(np.float32) * held["scale"][:, None])
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise SarmError(f"{path}: cannot be read ({error}); install this program again") from None

    @property
    def key(self) -> str:
        """sha256 of table and pieces: the same for two only if they give the same vectors."""
        return self._key

    @property
    def dimensions(self) -> int:
        """d"""
        return self._table.shape[1]

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Unit vectors, float32 [texts, d]; zeros for a text without any known piece (signs, other scripts)."""
        # Half a surrogate pair, which an address bar can hold, is no character the tokenizer takes.
        clean = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        found = self._tokenizer.encode_batch_fast(clean, add_special_tokens=False)
        lengths = np.fromiter((len(one) for one in found), np.int64, len(found))
        ids = np.fromiter((i for one in found for i in one.ids), np.int64, int(lengths.sum()))
        ends = np.concatenate([[0], np.cumsum(lengths)])
        counts = sparse.csr_matrix(
            (np.ones(len(ids), dtype=np.float32), ids, ends), shape=(len(found), len(self._table))
        )
        sums = np.asarray(counts @ self._table, dtype=np.float32)
        norms = np.linalg.norm(sums, axis=1, keepdims=True).astype(np.float32)
        norms[norms == 0] = 1
        vectors: npt.NDArray[np.float32] = sums / norms
        return vectors


@cache
def piece_vectors() -> PieceVectors:
    """The vectors that ship, read once a process."""
    return PieceVectors.read()
