"""Answers encoded once and kept on disk, so that the model does not run again for another steering.

The cache holds parts of up to 256 answers each. A part names the model it came from and the hash of every
conversation in it, and carries a checksum of its arrays; all three are checked when it is read, and a part
that fails is encoded anew. Interrupted work goes on where it stopped, at the last whole part.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from sarm_core.errors import RowError, SarmError
from sarm_core.features import FeatureMatrix
from sarm_core.rows import Conversation
from sarm_core.scorer import Scorer

__all__ = ["Encoded", "Place", "cache_folder", "conversation_hash", "encode_once"]

PART = 256  # answers a file: what an interruption costs
FORMAT = 1
Place = tuple[str, int]
"""File and row number a conversation came from, for error messages."""
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


def cache_folder() -> Path:
    """`encoded` in $SARM_CACHE, else in $XDG_CACHE_HOME/sarm-explorer, else in ~/.cache/sarm-explorer."""
    stated = os.environ.get("SARM_CACHE")
    if stated:
        return Path(stated) / "encoded"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sarm-explorer" / "encoded"


def conversation_hash(conversation: Conversation) -> bytes:
    """sha256 of what is scored: roles and contents, or token ids."""
    if conversation.messages is None:
        body: Any = list(conversation.input_ids or ())
    else:
        body = [[turn.role, turn.content] for turn in conversation.messages]
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

    `places` [n] lets a RowError name file and row instead of the position in `conversations`. All
    conversations are checked before the model runs, so that a bad one costs no computing time.
    `folder` replaces `cache_folder()`; without `use_cache` nothing is read or written.
    Raises RowError for a conversation that cannot be scored, SarmError for none.
    """
    if not conversations:
        raise SarmError("there is nothing to encode")
    store = _Store(folder or cache_folder(), scorer) if use_cache else None
    hashes = [conversation_hash(conversation) for conversation in conversations]
    parts: list[_Part | None] = []
    starts = range(0, len(conversations), PART)
    for start in starts:
        parts.append(store.read(hashes[start : start + PART]) if store else None)
    reused = sum(part.csr.shape[0] for part in parts if part is not None)

    missing = [i for i, part in enumerate(parts) if part is None]
    lengths = {
        i: _token_count(scorer, conversations, starts[i], places) for i in missing
    }  # raises before any work
    total, done = sum(lengths.values()), 0
    for i in missing:
        rows = conversations[starts[i] : starts[i] + PART]
        scored = scorer.score(rows, progress=_within(progress, done, lengths[i], total))
        done += lengths[i]
        part = _Part(scored.matrix.csr, np.array(scored.n_cut, dtype=np.int64))
        parts[i] = part
        if store:
            store.write(hashes[starts[i] : starts[i] + PART], part)
    ready = [part for part in parts if part is not None]
    csr = sparse.csr_matrix(sparse.vstack([part.csr for part in ready], format="csr"))
    return Encoded(
        FeatureMatrix(csr, scorer.head),
        np.concatenate([part.n_cut for part in ready]),
        reused,
        tuple(store.notes) if store else (),
    )


def _token_count(
    scorer: Scorer, conversations: Sequence[Conversation], start: int, places: Sequence[Place] | None
) -> int:
    rows = conversations[start : start + PART]
    try:
        return sum(len(sequence) for sequence in scorer.tokens(rows))
    except RowError as error:
        position = start + (error.row or 1) - 1
        if places is None:
            raise error.at(None, position + 1) from None
        raise error.at(*places[position]) from None


def _within(progress: Progress | None, before: int, size: int, total: int) -> Progress | None:
    """Progress of one part as progress of the whole; the encoder counts shared tokens once, so by share."""
    if progress is None:
        return None
    return lambda done, of: progress(before + round(size * done / max(of, 1)), total)


# -- on disk -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Part:
    csr: sparse.csr_matrix
    n_cut: npt.NDArray[np.int64]


class _Store:
    """Parts of one model, tokenizer and precision in one folder."""

    def __init__(self, folder: Path, scorer: Scorer) -> None:
        self.n_features = scorer.n_features
        self.model = _identity(scorer)
        self.folder = folder / self.model[:16]
        self.notes: list[str] = []

    def read(self, hashes: Sequence[bytes]) -> _Part | None:
        """The part with exactly these conversations, None when it is not there or not whole."""
        path = self._path(hashes)
        if not path.exists():
            return None
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            return self._checked(arrays, hashes)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            self.notes.append(f"{path}: damaged ({str(error)[:80]}); these answers were encoded anew")
            return None

    def write(self, hashes: Sequence[bytes], part: _Part) -> None:
        """Beside its place, then renamed; a folder that cannot be written is noted, not fatal."""
        arrays = {
            "hashes": np.frombuffer(b"".join(hashes), dtype=np.uint8).reshape(-1, 32),
            "data": part.csr.data.astype(np.float32),
            "indices": part.csr.indices.astype(np.int32),
            "indptr": part.csr.indptr.astype(np.int64),
            "n_features": np.array(self.n_features, dtype=np.int64),
            "n_cut": part.n_cut,
        }
        path = self._path(hashes)
        beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with beside.open("wb") as file:
                np.savez(file, model=np.array(self.model), content=np.array(_checksum(arrays)), **arrays)
            os.replace(beside, path)
        except OSError as error:
            note = (
                f"{self.folder}: cannot be written ({error.strerror}), so the next evaluation encodes again"
            )
            if note not in self.notes:
                self.notes.append(note)
        finally:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)

    def _path(self, hashes: Sequence[bytes]) -> Path:
        return self.folder / f"{hashlib.sha256(b''.join(hashes)).hexdigest()[:32]}.npz"

    def _checked(self, arrays: dict[str, npt.NDArray], hashes: Sequence[bytes]) -> _Part:
        """Raises ValueError or KeyError for anything but what `write` wrote for this model."""
        model, content = str(arrays.pop("model")), str(arrays.pop("content"))
        if model != self.model:
            raise ValueError("it belongs to another model")
        if content != _checksum(arrays):
            raise ValueError("its checksum does not fit")
        if arrays["hashes"].tobytes() != b"".join(hashes):
            raise ValueError("it holds other conversations")
        shape = (len(hashes), self.n_features)
        if int(arrays["n_features"]) != self.n_features or arrays["n_cut"].shape != (len(hashes),):
            raise ValueError("its shape does not fit the model")
        csr = sparse.csr_matrix((arrays["data"], arrays["indices"], arrays["indptr"]), shape=shape)
        csr.check_format(full_check=True)
        return _Part(csr, arrays["n_cut"])


def _checksum(arrays: dict[str, npt.NDArray]) -> str:
    digest = hashlib.sha256(f"{FORMAT}".encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _identity(scorer: Scorer) -> str:
    """Everything that decides z of a conversation: weights, precision, tokenizer, template, length limit.

    The fingerprint alone would not do: it leaves out the tokenizer, and the same weights in another
    precision give other activations.
    """
    digest = hashlib.sha256(
        json.dumps(
            [
                FORMAT,
                scorer.fingerprint,
                str(scorer.dtype),
                scorer.device.type,
                scorer.max_length,
                scorer.checkpoint.rule,
                scorer.checkpoint.chat_template,
            ]
        ).encode()
    )
    if scorer.format is not None:
        for text in _tokenizer_parts(scorer.format.tokenizer):
            digest.update(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
    return digest.hexdigest()


def _tokenizer_parts(tokenizer: Any) -> Iterator[str]:
    yield json.dumps(tokenizer.chat_template, sort_keys=True, default=str)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None and hasattr(backend, "to_str"):
        # Padding and truncation are set by calls, and no conversation is padded or cut by the tokenizer.
        body = json.loads(backend.to_str())
        yield json.dumps({name: body[name] for name in body if name not in ("padding", "truncation")})
    else:
        yield json.dumps(sorted(tokenizer.get_vocab().items()))
