"""Residual-stream vectors on disk, by part of the data and kind of position, for many runs and of any number.

A folder holds shards, each of a range of the texts that does not depend on who writes it: several processes write
several shards, and the rows are numbered by text as if one had. A shard holds one file of float16 rows for each part
and kind, only ever appended to, and an index that is renamed into place after each interval: what a killed process
wrote behind it is cut off by the next one. Readers map the files, so memory does not grow with them.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sarm_core.errors import SarmError
from sarm_core.files import whole_file

__all__ = ["KINDS", "SPLITS", "PositionWriter", "Positions", "Siblings", "held", "shard_folder"]

KINDS = ("scored", "sentence", "token", "cut")
SPLITS = ("train", "validation", "test")
RECORD = np.dtype([("prompt", "<u8"), ("answer", "<u8")])
"""Beside each scored row: hashes of its prompt (0 where there is none) and of its token ids"""
INDEX = "index.json"

Place = tuple[str, str]
"""Part of the data and kind of position"""


def _rows_file(folder: Path, place: Place) -> Path:
    return folder / f"{place[0]}-{place[1]}.float16"


def _records_file(folder: Path, split: str) -> Path:
    return folder / f"{split}-scored.records"


def _refused(folder: Path, error: OSError) -> SarmError:
    return SarmError(
        f"{folder}: cannot be written ({error.strerror}); make room or choose another cache, and go on with --resume"
    )


def shard_folder(folder: Path, number: int) -> Path:
    """Where the shard of a number lies."""
    return folder / f"shard-{number:03d}"


class Positions:
    """What a folder of shards, or a shard, holds: `counts` of rows by (part, kind), width `d`, the rows, mapped.

    `done` texts of the corpus are in it; `facts` are those of its writer. Raises SarmError for a damaged folder.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        shards = [folder] if (folder / INDEX).exists() else sorted(folder.glob("shard-*"))
        indices = [(shard, index) for shard in shards if (index := read_index(shard)) is not None]
        if not indices:
            raise SarmError(f"{folder}: holds no positions")
        self._shards = [shard for shard, _ in indices]
        self.d, self.facts = indices[0][1]["d"], indices[0][1]["facts"]
        self.done = sum(index["done"] for _, index in indices)
        self._starts: dict[Place, npt.NDArray[np.int64]] = {
            (split, kind): np.cumsum([0] + [index["counts"][split][kind] for _, index in indices])
            for split in SPLITS
            for kind in KINDS
        }
        self.counts = {place: int(starts[-1]) for place, starts in self._starts.items()}
        self._maps: dict[tuple[int, Place], npt.NDArray[np.float16]] = {}

    def __len__(self) -> int:
        return sum(self.counts.values())

    def count(self, split: str, kinds: Sequence[str] = KINDS) -> int:
        return sum(self.counts[split, kind] for kind in kinds)

    def rows(self, place: Place, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.float16]:
        """h, [n, d], of rows by their numbers at a place, in that order."""
        order = np.argsort(numbers, kind="stable")  # on a disk, neighbours are read together
        ordered, starts = numbers[order], self._starts[place]
        bounds = np.searchsorted(ordered, starts)
        out = np.empty((len(numbers), self.d), dtype=np.float16)
        for shard in np.flatnonzero(np.diff(bounds)):
            here = slice(bounds[shard], bounds[shard + 1])
            out[order[here]] = self._map(int(shard), place)[ordered[here] - starts[shard]]
        return out

    def spread(self, place: Place, at_most: int) -> Iterator[npt.NDArray[np.float16]]:
        """All rows of a place, or `at_most` evenly spread ones, in parts [<= 4096, d]."""
        n = self.counts[place]
        numbers = np.arange(n) if n <= at_most else np.arange(at_most) * n // at_most
        for start in range(0, len(numbers), 4096):
            yield self.rows(place, numbers[start : start + 4096])

    def records(self, split: str) -> npt.NDArray[Any]:
        """The RECORD of each scored row of a part, in order."""
        sizes = np.diff(self._starts[split, "scored"]).tolist()
        return np.concatenate(
            [
                _mapped(_records_file(shard, split), RECORD, (n,))
                for shard, n in zip(self._shards, sizes, strict=True)
            ]
        )

    def _map(self, shard: int, place: Place) -> npt.NDArray[np.float16]:
        if (shard, place) not in self._maps:
            shape = (int(np.diff(self._starts[place])[shard]), self.d)
            path = _rows_file(self._shards[shard], place)
            self._maps[shard, place] = _mapped(path, np.dtype(np.float16), shape)
        return self._maps[shard, place]


def _mapped(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    if 0 in shape:
        return np.empty(shape, dtype=dtype)
    try:
        return np.memmap(path, dtype=dtype, mode="r", shape=shape)
    except (OSError, ValueError) as error:
        raise SarmError(f"{path}: damaged ({error}); delete {path.parent} and collect again") from None


def read_index(folder: Path) -> dict[str, Any] | None:
    """The index of a folder, None where there is none. Raises SarmError for a damaged one."""
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        if not {"d", "done", "facts", "counts"} <= set(index):
            raise ValueError("keys are missing")
        return dict(index)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise SarmError(f"{folder / INDEX}: damaged ({error}); delete {folder} and collect again") from None


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a folder for this process. Raises SarmError when another one collects into it, or the disk refuses."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise _refused(folder, error) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SarmError(f"{folder}: another process collects into it") from None
        yield


class PositionWriter:
    """Appends to a shard, from where its index stands. `opened` holds the folder for this process."""

    def __init__(self, folder: Path, d: int, facts: Mapping[str, Any]):
        self.folder, self.d, self.facts = folder, d, dict(facts)
        self.done = 0
        self.counts: dict[Place, int] = {(split, kind): 0 for split in SPLITS for kind in KINDS}
        self._files: dict[Path, Any] = {}

    @contextmanager
    def opened(self) -> Iterator[PositionWriter]:
        """Raises SarmError when another process writes there, or the disk refuses."""
        try:
            with held(self.folder), contextlib.ExitStack() as stack:
                self._begin(stack)
                yield self
        except OSError as error:
            raise _refused(self.folder, error) from None

    def _begin(self, stack: contextlib.ExitStack) -> None:
        index = read_index(self.folder)
        if index is not None:
            self.done = index["done"]
            self.counts = {(s, k): index["counts"][s][k] for s in SPLITS for k in KINDS}
        for place, n in self.counts.items():
            self._open(stack, _rows_file(self.folder, place), n * self.d * 2)
        for split in SPLITS:
            self._open(
                stack, _records_file(self.folder, split), self.counts[split, "scored"] * RECORD.itemsize
            )

    def _open(self, stack: contextlib.ExitStack, path: Path, size: int) -> None:
        file = stack.enter_context(path.open("ab"))
        if os.fstat(file.fileno()).st_size < size:
            raise SarmError(f"{path}: is shorter than its index says; delete {self.folder} and collect again")
        os.truncate(path, size)
        self._files[path] = file

    def append(
        self, place: Place, h: npt.NDArray[np.float16], records: npt.NDArray[Any] | None = None
    ) -> None:
        """Add rows h [n, d]; scored ones with their records."""
        self._files[_rows_file(self.folder, place)].write(np.ascontiguousarray(h).tobytes())
        if records is not None:
            self._files[_records_file(self.folder, place[0])].write(records.tobytes())
        self.counts[place] += len(h)

    def commit(self, done: int) -> None:
        """Keep what was appended: `done` texts are in it. Raises SarmError when the disk refuses."""
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
        self.done = done
        index = {
            "d": self.d,
            "done": done,
            "facts": self.facts,
            "counts": {split: {kind: self.counts[split, kind] for kind in KINDS} for split in SPLITS},
        }
        with whole_file(self.folder / INDEX, remedy="make room, and go on with --resume") as file:
            json.dump(index, file, allow_nan=False)


class Siblings:
    """Pairs of scored train rows: different answers to one prompt. No preference is looked at.

    Held are the rows' order and where each prompt begins, 8 bytes a row; pairs are made when drawn.
    """

    def __init__(self, positions: Positions):
        records = positions.records("train")
        prompts, answers = np.asarray(records["prompt"]), np.asarray(records["answer"])
        order = np.lexsort((np.arange(len(records)), answers, prompts))
        prompts, answers = prompts[order], answers[order]
        fresh = np.ones(len(order), dtype=bool)
        fresh[1:] = (prompts[1:] != prompts[:-1]) | (answers[1:] != answers[:-1])
        fresh &= prompts != 0
        self._order, prompts = order[fresh], prompts[fresh]
        self._starts = np.flatnonzero(np.r_[True, prompts[1:] != prompts[:-1]][: len(prompts)])
        sizes = np.diff(np.r_[self._starts, len(prompts)])
        self._ends = np.cumsum(sizes * (sizes - 1) // 2)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def pairs(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The two rows, [n, 2], of pairs by their numbers in [0, len)."""
        group = np.searchsorted(self._ends, numbers, side="right")
        inside = numbers - np.r_[0, self._ends][group]
        later = ((1 + np.sqrt(1 + 8 * inside.astype(np.float64))) // 2).astype(np.int64)
        later -= later * (later - 1) // 2 > inside  # where the root was rounded up
        earlier = inside - later * (later - 1) // 2
        start = self._starts[group]
        return np.stack([self._order[start + earlier], self._order[start + later]], axis=1)
