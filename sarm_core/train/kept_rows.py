"""Vectors kept on disk under the hash of what they were made from: appended as they come, mapped when they are read.

One file holds records of one size: 32 bytes of hash, a checksum, the vector. It only grows, by whole records, so a kill
costs what was not yet written: a torn record at the end is cut off by the next writer, and one whose checksum is wrong
counts as absent. Memory: the hashes, 100 bytes or so a record; of the vectors what is asked for.
"""

from __future__ import annotations

import fcntl
import os
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sarm_core.errors import SarmError

__all__ = ["KeptRows"]

_HASH = 32


class KeptRows:
    """The vectors of `width` numbers of `dtype` in the file `path`, which is made when the first ones come.

    Whoever names the file puts all into its name that decides the vectors. Several processes may append at once.
    """

    def __init__(self, path: Path, width: int, dtype: npt.DTypeLike):
        self.path = path
        kind = np.dtype(dtype).newbyteorder("<")
        self._record = np.dtype([("hash", "u1", (_HASH,)), ("check", "<u4"), ("row", kind, (width,))])
        self._at: dict[bytes, int] = {}
        self._read = 0
        self.look()

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._at

    def __len__(self) -> int:
        return len(self._at)

    def look(self) -> None:
        """Take in what was appended since, by this process or another."""
        try:
            n = self.path.stat().st_size // self._record.itemsize
        except FileNotFoundError:
            return
        except OSError as error:
            raise SarmError(
                f"{self.path}: cannot be read ({error.strerror}); choose another --cache"
            ) from None
        if n <= self._read:
            return
        records = self._mapped(n)
        for at in range(self._read, n):
            record = records[at]
            if zlib.crc32(record["row"].tobytes(), zlib.crc32(record["hash"].tobytes())) == record["check"]:
                self._at.setdefault(record["hash"].tobytes(), at)
        self._read = n

    def add(self, digests: Sequence[bytes], rows: npt.NDArray) -> None:
        """Append `rows` [n, width] under their hashes. Raises SarmError when the disk does not take them."""
        records = np.zeros(len(digests), dtype=self._record)
        records["row"] = rows
        for record, digest in zip(records, digests, strict=True):
            record["hash"] = np.frombuffer(digest, np.uint8)
            record["check"] = zlib.crc32(record["row"].tobytes(), zlib.crc32(digest))
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                size = os.fstat(file.fileno()).st_size
                torn = size % self._record.itemsize
                if torn:
                    file.truncate(size - torn)
                file.write(records.tobytes())
                file.flush()
        except OSError as error:
            raise SarmError(
                f"{self.path}: cannot be written ({error.strerror}); free some space or choose another --cache"
            ) from None
        self.look()

    def rows(self, digests: Sequence[bytes]) -> npt.NDArray:
        """The vectors of these hashes, [n, width]. Raises KeyError for one that is not kept."""
        places = np.array([self._at[digest] for digest in digests], dtype=np.int64)
        if not len(places):
            return np.zeros((0, *self._record["row"].shape), dtype=self._record["row"].base)
        return np.array(self._mapped(self._read)["row"][places])

    def _mapped(self, n: int) -> np.memmap:
        return np.memmap(self.path, dtype=self._record, mode="r", shape=(n,))
