"""Encoded answers on disk: files of up to a few hundred answers each, written once and never changed.

A part is a safetensors file with the hash of every conversation in it. It names the model it came from, and its own
name is the sha256 of its content: what was damaged is told from what is whole before anything is read from it. Which
part holds an answer is in an index beside them (see `part_index`), which is made from the parts and can be lost.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Collection, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save
from scipy import sparse

from sarm_core.errors import SarmError
from sarm_core.files import cache_folder, whole_file
from sarm_core.score.part_index import HASH_BYTES, INDEX, PART, Hashes, PartIndex

__all__ = ["HIDDEN", "CacheSize", "EncodedParts", "Piece", "cache_size", "encoded_folder", "keeping", "prune"]

FORMAT = "2"
_MODEL = re.compile(r"[0-9a-f]{16}")
HIDDEN = "hidden.rows"
"""What `build` and training keep beside: h of answers, for heads and dictionaries that are fitted on them"""
_AGAIN = "the next run encodes again"
_HALF = re.compile(rf"\.({PART.pattern}|{INDEX})\.[0-9.]+\.tmp")


def encoded_folder() -> Path:
    """Where encoded answers are kept (see `files.cache_folder`)."""
    return cache_folder("encoded")


@dataclass(frozen=True)
class Piece:
    """Some answers: the `hashes` of n conversations, their activations [n, M] and cut tokens, int64 [n]."""

    hashes: tuple[bytes, ...]
    csr: sparse.csr_matrix
    n_cut: npt.NDArray[np.int64]

    def select(self, rows: Sequence[int]) -> Piece:
        """The answers with these row numbers."""
        return Piece(tuple(self.hashes[row] for row in rows), self.csr[list(rows)], self.n_cut[list(rows)])


class Encodes(Protocol):
    """Who made the activations: a scorer, or a dictionary over the kept h of answers."""

    @property
    def n_features(self) -> int:
        """M."""
        ...

    @property
    def encoding_key(self) -> str:
        """64 hex digits of all that decides z of an answer."""
        ...


_keeps: ContextVar[bool] = ContextVar("keeps_encoded", default=True)


@contextlib.contextmanager
def keeping(on: bool) -> Iterator[None]:
    """Whether answers that are encoded inside the block, by this thread, are kept; those that are, are read anyway."""
    token = _keeps.set(on)
    try:
        yield
    finally:
        _keeps.reset(token)


class NotOurs(ValueError):
    """A whole file that is no part of this model: it is left alone."""


class EncodedParts:
    """The parts of one model, tokenizer and precision in one folder.

    `notes` says what was odd: a damaged part, a folder that cannot be written.
    """

    def __init__(self, folder: Path, scorer: Encodes) -> None:
        self.n_features = scorer.n_features
        self.model = scorer.encoding_key
        self.folder = folder / self.model[:16]
        self.notes: list[str] = []
        self._index: PartIndex | None = None

    def find(self, wanted: Collection[bytes]) -> Iterator[Piece]:
        """Those of the wanted conversations that are kept, each once, one part's worth at a time.

        A damaged part is noted and removed, as if its answers had never been kept; one that cannot be read just now, or
        belongs to another model, is noted and stays.
        """
        missing = set(wanted)
        try:
            self._index = PartIndex(self.folder, self._hashes_of)
        except (FileNotFoundError, NotADirectoryError):  # `add` says it when nothing can be kept here
            return
        except OSError as error:
            self._unreadable(error)
            return
        for name, held in self._index.holding(missing).items():
            held &= missing
            piece = self._read(self.folder / name) if held else None
            if piece is None:
                continue
            # One conversation twice in a part: the first counts. The index is not believed without the part.
            rows = {digest: row for row, digest in reversed(list(enumerate(piece.hashes))) if digest in held}
            if rows:
                missing.difference_update(rows)
                yield piece.select(sorted(rows.values()))

    def take(self, shipped: Path) -> None:
        """Keep what `shipped`, a folder like this one's parent that is only read, holds of this model."""
        source = shipped / self.model[:16]
        if not source.is_dir():
            return
        try:
            for part in sorted(source.iterdir()):
                place = self.folder / part.name
                if PART.fullmatch(part.name) and not place.exists():
                    place.parent.mkdir(parents=True, exist_ok=True)
                    with whole_file(place, binary=True, durable=False, remedy=_AGAIN) as file:
                        file.write(part.read_bytes())
        except OSError as error:
            self._note(f"{self.folder}: cannot be written ({error.strerror}); {_AGAIN}")
        except SarmError as error:
            self._note(str(error))

    def add(self, piece: Piece) -> None:
        """Keep answers as a part, unless `keeping(False)`; a folder that cannot be written is noted, not fatal."""
        if not _keeps.get():
            return
        hashes = np.frombuffer(b"".join(piece.hashes), dtype=np.uint8).reshape(-1, HASH_BYTES)
        body = save(
            {
                "hashes": hashes,
                "data": piece.csr.data.astype(np.float32),
                "indices": piece.csr.indices.astype(np.int32),
                "indptr": piece.csr.indptr.astype(np.int64),
                "n_features": np.array([self.n_features], dtype=np.int64),
                "n_cut": piece.n_cut.astype(np.int64),
            },
            metadata={"model": f"{FORMAT} {self.model}"},
        )
        path = self.folder / _name(body)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path, binary=True, durable=False, remedy=_AGAIN) as file:
                file.write(body)
            if self._index is None:
                self._index = PartIndex(self.folder, self._hashes_of)
            else:
                self._index.add(path.name, hashes)
        except OSError as error:
            self._note(f"{self.folder}: cannot be written ({error.strerror}); {_AGAIN}")
        except SarmError as error:
            self._note(str(error).replace(str(path), str(self.folder), 1))

    def _read(self, path: Path) -> Piece | None:
        """All of a part, or None with a note of why not."""
        try:
            body = path.read_bytes()
        except FileNotFoundError:  # another process cleared the cache meanwhile
            return None
        except (OSError, MemoryError) as error:  # nothing that says the part is bad
            self._unreadable(error)
            return None
        if _name(body) != path.name:
            self._note(f"{path}: damaged; these answers were encoded anew")
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        try:
            with safe_open(path, "numpy") as opened:
                self._check_model(opened.metadata())
            piece = self._piece(load(body))
        except FileNotFoundError:
            return None
        except (OSError, MemoryError) as error:
            self._unreadable(error)
            return None
        except (SafetensorError, ValueError, KeyError) as error:
            self._not_ours(path, error)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # `prune` goes by the last use
        return piece

    def _hashes_of(self, path: Path) -> Hashes | None:
        """The hashes of a part that the index does not know, or None with a note."""
        try:
            with safe_open(path, "numpy") as opened:
                self._check_model(opened.metadata())
                hashes = opened.get_tensor("hashes")
            if hashes.dtype != np.uint8 or hashes.ndim != 2 or hashes.shape[1] != HASH_BYTES:
                raise NotOurs("its hashes are none")
        except FileNotFoundError:
            return None
        except OSError as error:
            self._unreadable(error)
            return None
        except NotOurs as error:
            self._not_ours(path, error)
            return None
        except SafetensorError:
            self._read(path)  # damaged, or no part at all: says which
            return None
        return hashes

    def _check_model(self, metadata: dict[str, str] | None) -> None:
        if (metadata or {}).get("model") != f"{FORMAT} {self.model}":
            raise NotOurs("it belongs to another model")

    def _piece(self, arrays: dict[str, npt.NDArray]) -> Piece:
        """Raises ValueError or KeyError for anything but what `add` wrote for this model."""
        hashes = tuple(bytes(row) for row in arrays["hashes"])
        if arrays["n_features"].tolist() != [self.n_features] or arrays["n_cut"].shape != (len(hashes),):
            raise NotOurs("its shape does not fit the model")
        shape = (len(hashes), self.n_features)
        csr = sparse.csr_matrix((arrays["data"], arrays["indices"], arrays["indptr"]), shape=shape)
        csr.check_format(full_check=True)
        return Piece(hashes, csr, arrays["n_cut"])

    def _unreadable(self, error: OSError | MemoryError) -> None:
        reason = getattr(error, "strerror", None) or "not enough memory"
        self._note(f"{self.folder}: cannot be read ({reason}), so answers were encoded anew")

    def _not_ours(self, path: Path, error: Exception) -> None:
        self._note(f"{path}: passed over ({str(error)[:80]}); delete it, or put it back where it belongs")

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)


def _name(body: bytes) -> str:
    return f"{hashlib.sha256(body).hexdigest()[:32]}.safetensors"


# -- the whole cache ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CacheSize:
    """`files` of encoded answers, of all models, and the bytes they take, their indexes included."""

    files: int
    n_bytes: int

    def __str__(self) -> str:
        unit = "file" if self.files == 1 else "files"
        return f"{self.files:,} {unit}, {self.n_bytes / 1e6:,.1f} MB"


def cache_size(folder: Path | None = None) -> CacheSize:
    """What the cache in `folder` (default: `encoded_folder()`) holds. Raises SarmError."""
    files = n_bytes = 0
    for entry in _files(folder or encoded_folder()):
        with contextlib.suppress(FileNotFoundError):  # cleared meanwhile
            n_bytes += entry.stat(follow_symlinks=False).st_size
            files += _is_kept(entry)
    return CacheSize(files, n_bytes)


def prune(folder: Path | None = None, older_than: float | None = None) -> CacheSize:
    """Remove what was not used for `older_than` days, without it everything; returns what was removed.

    Only files that this module names are touched, whatever else lies in the folder. Answers that are asked for
    again are encoded again. Raises SarmError when a file cannot be removed.
    """
    top = folder or encoded_folder()
    latest = np.inf if older_than is None else time.time() - older_than * 86_400
    files = n_bytes = 0
    for model in _models(top):
        entries = _files_of(model)
        old = [e for e in entries if e.name != INDEX and _last_use(e) <= latest]
        if sum(map(_is_kept, entries)) == sum(
            map(_is_kept, old)
        ):  # nothing is left that it could be an index of
            old += [e for e in entries if e.name == INDEX]
        for entry in old:
            try:
                size = entry.stat(follow_symlinks=False).st_size
                os.unlink(entry.path)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise SarmError(f"{entry.path}: cannot be removed ({error.strerror})") from None
            files, n_bytes = files + _is_kept(entry), n_bytes + size
        with contextlib.suppress(OSError):
            os.rmdir(model)  # only an empty one goes
    return CacheSize(files, n_bytes)


def _is_kept(entry: os.DirEntry[str]) -> bool:
    return entry.name == HIDDEN or PART.fullmatch(entry.name) is not None


def _last_use(entry: os.DirEntry[str]) -> float:
    try:
        return entry.stat(follow_symlinks=False).st_mtime
    except FileNotFoundError:
        return np.inf


def _models(top: Path) -> list[str]:
    try:
        with os.scandir(top) as entries:
            return sorted(
                e.path for e in entries if _MODEL.fullmatch(e.name) and e.is_dir(follow_symlinks=False)
            )
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SarmError(f"{top}: cannot be read as a folder ({error.strerror})") from None


def _files(top: Path) -> Iterator[os.DirEntry[str]]:
    for model in _models(top):
        yield from _files_of(model)


def _files_of(model: str) -> list[os.DirEntry[str]]:
    """The files in a model's folder that this module wrote, half ones of killed writers included."""
    try:
        with os.scandir(model) as entries:
            return [
                e
                for e in entries
                if (e.name == INDEX or _is_kept(e) or _HALF.fullmatch(e.name))
                and e.is_file(follow_symlinks=False)
            ]
    except FileNotFoundError:
        return []
