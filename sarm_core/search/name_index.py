"""Names ranked by similarity to a query: every name's vector is made once, a search is one matrix product."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from sarm_core.errors import SarmError
from sarm_core.files import whole_file

__all__ = ["Embedder", "NameIndex", "PreparedNames", "best_rows"]

AT_ONCE = 4_096
"""Names embedded between two reports of progress."""
WORTH_KEEPING = 4_096
"""New names (about a quarter of a second of work) from which the vectors are written to the file."""

Progress = Callable[[int, int], None]


class Embedder(Protocol):
    """Whatever turns texts into vectors."""

    @property
    def key(self) -> str:
        """The same for two embedders only if they give the same vectors."""

    @property
    def dimensions(self) -> int:
        """d"""

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Unit vectors, float32 [texts, d]; zeros for a text that cannot be compared."""


@dataclass(frozen=True)
class PreparedNames:
    """Names with their vectors: what a query is compared with."""

    embedder: Embedder
    places: npt.NDArray[np.int64]
    """[names], each a row of `vectors`; the same text has one row"""
    vectors: npt.NDArray[np.float32]
    usable: npt.NDArray[np.bool_]
    """False for rows of zeros"""

    def similarities(self, query: str) -> npt.NDArray[np.float32] | None:
        """Cosine of each name with `query`, float32 [names]; nan for a name without any known word.

        None when the query has no known word itself.
        """
        wanted = self.embedder.embed([query])[0]
        if not wanted.any():
            return None
        return np.where(self.usable, self.vectors @ wanted, np.float32(np.nan))[self.places]


class NameIndex:
    """Vectors of all names seen so far, shared by threads, and kept in a file when there are many.

    It never decides what is found: `prepare` is given the names that stand now, so one that was taken back
    cannot come up, and only names not seen before are embedded. Vectors of names no longer in use are dropped
    once they are the larger part. 131,072 names of 256 dimensions take 128 MiB, and half of that on disk.
    """

    def __init__(self, embedder: Embedder, file: Path | None = None):
        """`file` is a cache: made when it is not there, done anew when it is damaged or of another embedder."""
        self._embedder = embedder
        self._file = file
        self._places: dict[bytes, int] = {}
        self._vectors = np.zeros((0, embedder.dimensions), dtype=np.float32)
        self._usable: npt.NDArray[np.bool_] = np.zeros(0, dtype=bool)
        self._lock = threading.Lock()
        if file is not None:
            self._read(file)

    def __len__(self) -> int:
        return len(self._places)

    def prepare(self, names: Sequence[str], progress: Progress | None = None) -> PreparedNames:
        """Vectors of these names, ready for any number of queries.

        `progress(done, total)` is called while names that were not seen before are embedded.
        """
        keys = [_key(name) for name in names]
        with self._lock:
            self._add(keys, names, progress)
            places = np.fromiter(map(self._places.__getitem__, keys), np.int64, len(keys))
            return PreparedNames(self._embedder, places, self._vectors, self._usable)

    def _add(self, keys: Sequence[bytes], names: Sequence[str], progress: Progress | None) -> None:
        new = {key: name for key, name in zip(keys, names, strict=True) if key not in self._places}
        if not new:
            return
        texts, made = list(new.values()), []
        for start in range(0, len(texts), AT_ONCE):
            # Rounded as the file holds them, so that a search finds the same before and after a restart.
            made.append(self._embedder.embed(texts[start : start + AT_ONCE]).astype(np.float16))
            if progress is not None:
                progress(min(start + AT_ONCE, len(texts)), len(texts))
        kept = list(self._places)
        if len(kept) > 2 * len(set(keys)):
            wanted = set(keys)
            kept = [key for key in kept if key in wanted]
        old = self._vectors[[self._places[key] for key in kept]]
        # New arrays, never changed ones: another thread may still be multiplying with those from before.
        self._hold([*kept, *new], np.concatenate([old, *made]).astype(np.float32))
        if self._file is not None and len(new) >= WORTH_KEEPING:
            self._write(self._file)

    def _hold(self, keys: Iterable[bytes], vectors: npt.NDArray[np.float32]) -> None:
        self._places = {key: place for place, key in enumerate(keys)}
        self._vectors, self._usable = vectors, np.asarray(vectors.any(axis=1))

    def _read(self, file: Path) -> None:
        try:
            with np.load(file, allow_pickle=False) as held:
                if str(held["embedder"]) != self._embedder.key:
                    return
                keys, vectors = held["keys"], held["vectors"].astype(np.float32)
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            return
        width = self._embedder.dimensions
        if (
            keys.dtype == np.uint8
            and keys.shape == (len(vectors), _KEY_BYTES)
            and vectors.shape[1:] == (width,)
            and np.isfinite(vectors).all()
        ):
            self._hold((key.tobytes() for key in keys), vectors)

    def _write(self, file: Path) -> None:
        keys = np.frombuffer(b"".join(self._places), np.uint8).reshape(-1, _KEY_BYTES)
        # A cache: without room or permission for it the vectors are made again after the next start.
        with suppress(SarmError), whole_file(file, binary=True, durable=False) as target:
            np.savez(
                target,
                embedder=np.array(self._embedder.key),
                keys=keys,
                vectors=self._vectors.astype(np.float16),
            )


_KEY_BYTES = 16


def _key(name: str) -> bytes:
    return hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=_KEY_BYTES).digest()


def best_rows(
    similarities: npt.NDArray[np.float32],
    features: npt.NDArray[np.int64],
    allowed: npt.NDArray[np.int64] | None = None,
) -> npt.NDArray[np.int64]:
    """The row of each feature's most similar name, most similar feature first; int64 [features found].

    `similarities` and `features` are [names]. Features not in `allowed` are left out, and so are names whose
    similarity is nan. Among equals the earlier row comes first.
    """
    order = np.argsort(-similarities, kind="stable")
    usable = ~np.isnan(similarities)
    if allowed is not None:
        usable &= np.isin(features, allowed)
    order = order[usable[order]]
    first = np.unique(features[order], return_index=True)[1]
    return order[np.sort(first)]
