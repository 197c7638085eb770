"""Encoded answers on disk: files of up to a few hundred answers each, written once and never changed.

A part is an .npz file that names the model it came from and the hash of every conversation in it, and carries
a checksum of its arrays; all three are checked when an answer is taken from it. The parts are their own index: a
lookup reads the hashes of every part (8 KB each), and nothing beside them can get out of step with them when
a process is killed or two write at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import sparse

from sarm_core.errors import SarmError
from sarm_core.files import cache_folder

if TYPE_CHECKING:
    from sarm_core.score.scorer import Scorer

__all__ = ["CacheSize", "EncodedParts", "Piece", "cache_size", "encoded_folder", "prune"]

FORMAT = 1
_MODEL = re.compile(r"[0-9a-f]{16}")
_PART = re.compile(r"[0-9a-f]{32}\.npz|\.[0-9a-f]{32}\.npz\.[0-9.]+\.tmp")


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


class EncodedParts:
    """The parts of one model, tokenizer and precision in one folder.

    `notes` says what was odd: a damaged part, a folder that cannot be written.
    """

    def __init__(self, folder: Path, scorer: Scorer) -> None:
        self.n_features = scorer.n_features
        self.model = scorer.encoding_key
        self.folder = folder / self.model[:16]
        self.notes: list[str] = []

    def find(self, wanted: Collection[bytes]) -> Iterator[Piece]:
        """Those of the wanted conversations that are kept, each once, one part's worth at a time.

        A damaged part is noted and removed, as if its answers had never been kept.
        """
        missing = set(wanted)
        for path in sorted(self.folder.glob("*.npz")):
            if not missing:
                return
            try:
                found = self._read(path, missing)
            except FileNotFoundError:  # another process cleared the cache meanwhile
                continue
            except (OSError, MemoryError) as error:  # nothing that says the part is bad: keep it
                reason = getattr(error, "strerror", None) or "not enough memory"
                self._note(f"{self.folder}: cannot be read ({reason}), so answers were encoded anew")
                continue
            except Exception as error:  # a broken zip file may raise anything
                self._note(f"{path}: damaged ({str(error)[:80]}); these answers were encoded anew")
                with contextlib.suppress(OSError):
                    path.unlink()
                continue
            if found is not None:
                missing.difference_update(found.hashes)
                yield found

    def _read(self, path: Path, missing: Collection[bytes]) -> Piece | None:
        with np.load(path, allow_pickle=False) as file:
            held = [bytes(row) for row in file["hashes"]]
            # One conversation twice in a part: the first counts.
            rows = {digest: row for row, digest in reversed(list(enumerate(held))) if digest in missing}
            if not rows:
                return None
            arrays = {name: file[name] for name in file.files}
        piece = self._checked(arrays)
        with contextlib.suppress(OSError):
            os.utime(path)  # `prune` goes by the last use
        return piece.select(sorted(rows.values()))

    def add(self, piece: Piece) -> None:
        """Write a part beside its place, then rename; a folder that cannot be written is noted, not fatal."""
        arrays = {
            "hashes": np.frombuffer(b"".join(piece.hashes), dtype=np.uint8).reshape(-1, 32),
            "data": piece.csr.data.astype(np.float32),
            "indices": piece.csr.indices.astype(np.int32),
            "indptr": piece.csr.indptr.astype(np.int64),
            "n_features": np.array(self.n_features, dtype=np.int64),
            "n_cut": piece.n_cut,
        }
        path = self.folder / f"{hashlib.sha256(b''.join(piece.hashes)).hexdigest()[:32]}.npz"
        beside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with beside.open("wb") as file:
                np.savez(file, model=np.array(self.model), content=np.array(_checksum(arrays)), **arrays)
            os.replace(beside, path)
        except OSError as error:
            self._note(f"{self.folder}: cannot be written ({error.strerror}), so the next run encodes again")
        finally:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)

    def _checked(self, arrays: dict[str, npt.NDArray]) -> Piece:
        """Raises ValueError or KeyError for anything but what `add` wrote for this model."""
        model, content = str(arrays.pop("model")), str(arrays.pop("content"))
        if model != self.model:
            raise ValueError("it belongs to another model")
        if content != _checksum(arrays):
            raise ValueError("its checksum does not fit")
        hashes = tuple(bytes(row) for row in arrays["hashes"])
        if int(arrays["n_features"]) != self.n_features or arrays["n_cut"].shape != (len(hashes),):
            raise ValueError("its shape does not fit the model")
        shape = (len(hashes), self.n_features)
        csr = sparse.csr_matrix((arrays["data"], arrays["indices"], arrays["indptr"]), shape=shape)
        csr.check_format(full_check=True)
        return Piece(hashes, csr, arrays["n_cut"])


def _checksum(arrays: dict[str, npt.NDArray]) -> str:
    digest = hashlib.sha256(f"{FORMAT}".encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


# -- the whole cache ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CacheSize:
    """`files` of encoded answers, of all models, and the bytes they take."""

    files: int
    n_bytes: int

    def __str__(self) -> str:
        unit = "file" if self.files == 1 else "files"
        return f"{self.files:,} {unit}, {self.n_bytes / 1e6:,.1f} MB"


def cache_size(folder: Path | None = None) -> CacheSize:
    """What the cache in `folder` (default: `encoded_folder()`) holds. Raises SarmError."""
    sizes = [entry.stat(follow_symlinks=False).st_size for entry in _files(folder or encoded_folder())]
    return CacheSize(len(sizes), sum(sizes))


def prune(folder: Path | None = None, older_than: float | None = None) -> CacheSize:
    """Remove what was not used for `older_than` days, without it everything; returns what was removed.

    Only files that this module names are touched, whatever else lies in the folder. Answers that are asked for
    again are encoded again. Raises SarmError when a file cannot be removed.
    """
    top = folder or encoded_folder()
    latest = np.inf if older_than is None else time.time() - older_than * 86_400
    files = n_bytes = 0
    for entry in _files(top):
        status = entry.stat(follow_symlinks=False)
        if status.st_mtime > latest:
            continue
        try:
            os.unlink(entry.path)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise SarmError(f"{entry.path}: cannot be removed ({error.strerror})") from None
        files, n_bytes = files + 1, n_bytes + status.st_size
    for model in _models(top):
        with contextlib.suppress(OSError):
            os.rmdir(model)  # only an empty one goes
    return CacheSize(files, n_bytes)


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
        with contextlib.suppress(FileNotFoundError), os.scandir(model) as entries:
            yield from (e for e in entries if _PART.fullmatch(e.name) and e.is_file(follow_symlinks=False))
