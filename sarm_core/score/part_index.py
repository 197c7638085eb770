"""Which part holds which conversation: one file beside the parts, so that a look-up opens no part in vain.

It is a copy of what the parts say of themselves, and never believed further than that: a part it does not know is
opened and added, one that is gone is left out, a torn or changed block is dropped and its part read again. So a kill
between a part and its block, or two processes that write at once, cost time and no answer.
"""

from __future__ import annotations

import os
import re
import struct
import threading
import zlib
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sarm_core.errors import SarmError
from sarm_core.files import whole_file

__all__ = ["INDEX", "PART", "PartIndex"]

INDEX = "index"
PART = re.compile(r"[0-9a-f]{32}\.safetensors")
HASH_BYTES = 32
# A block: a mark, the number of hashes, the part's name as 16 bytes, a checksum of name and hashes; then the hashes.
_HEAD = struct.Struct("<4sI16sI")
_MARK = b"part"
_NAME = 32 + len(".safetensors")

Hashes = npt.NDArray[np.uint8]
"""The hashes of n conversations, uint8 [n, 32]."""


class PartIndex:
    """The index of one folder of parts as it is now.

    `hashes_of(path)` reads the hashes of a part that is not in the index yet, or None for one to pass over. Raises
    OSError when the folder cannot be listed. A process reads what was appended since it last looked, and no more.
    """

    def __init__(self, folder: Path, hashes_of: Callable[[Path], Hashes | None]) -> None:
        self._folder = folder
        there = {name for name in os.listdir(folder) if len(name) == _NAME and PART.fullmatch(name)}
        with _lock:
            known = _known(folder / INDEX)
        held = known.hashes
        new: dict[str, Hashes] = {}
        for name in sorted(there.difference(held)):
            hashes = hashes_of(folder / name)
            if hashes is not None:
                new[name] = hashes
        # Without room or permission for it, the parts are opened the next time as well.
        if not known.whole or held.keys() - there:
            known = _Known({name: hashes for name, hashes in held.items() if name in there} | new)
            with suppress(SarmError), whole_file(folder / INDEX, binary=True, durable=False) as file:
                for name, hashes in known.hashes.items():
                    file.write(_block(name, hashes))
        elif new:
            known = _Known(held | new)
            self._append(b"".join(_block(name, hashes) for name, hashes in new.items()))
        self._known = known

    def add(self, name: str, hashes: Hashes) -> None:
        """Say that the part `name`, just written, holds these."""
        self._append(_block(name, hashes))

    def holding(self, wanted: Collection[bytes]) -> dict[str, set[bytes]]:
        """Those of the wanted hashes that a part holds, for every part that holds any."""
        found: dict[str, set[bytes]] = {}
        hashes = self._known.hashes
        if not hashes or not wanted:
            return found
        begins, stops = self._known.begins()
        asked = np.unique(np.frombuffer(b"".join(d[:8] for d in wanted), "<u8"))
        if len(asked) <= 8:  # each in one pass, before which nothing has to be sorted
            hits = np.concatenate([np.flatnonzero(begins == one) for one in asked])
        else:
            hits = np.flatnonzero(asked[np.minimum(np.searchsorted(asked, begins), len(asked) - 1)] == begins)
        names, wanted = list(hashes), set(wanted)
        for hit, place in zip(
            hits.tolist(), np.searchsorted(stops, hits, side="right").tolist(), strict=True
        ):
            held = hashes[names[place]]
            digest = held[hit - (int(stops[place]) - len(held))].tobytes()
            if digest in wanted:  # and not only its first eight bytes
                found.setdefault(names[place], set()).add(digest)
        return found

    def _append(self, blocks: bytes) -> None:
        # One write to the end: blocks of two processes come one after the other, and a torn one is dropped.
        with suppress(OSError), (self._folder / INDEX).open("ab", buffering=0) as file:
            file.write(blocks)


class _Known:
    """The hashes of each part, and whether all of the file was understood."""

    def __init__(self, hashes: dict[str, Hashes], whole: bool = True, inode: int = 0, size: int = 0) -> None:
        self.hashes = hashes
        self.whole = whole
        self.inode = inode
        self.size = size
        """Of the file when it was read."""
        self._begins: tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]] | None = None

    def begins(self) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
        """The first eight bytes of every hash, and where each part's end among them."""
        if self._begins is None:
            parts = [hashes.view("<u8")[:, 0] for hashes in self.hashes.values()]
            self._begins = np.concatenate(parts), np.cumsum([len(part) for part in parts])
        return self._begins


_lock = threading.Lock()
_seen: dict[Path, _Known] = {}
"""What this process read last, of one folder."""


def _known(path: Path) -> _Known:
    """What the file says now; only its new end is read where the rest was read before."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            before = _seen.get(path)
            goes_on = (
                before
                and before.whole
                and (status.st_ino, True) == (before.inode, status.st_size >= before.size)
            )
            if before and goes_on and status.st_size == before.size:
                return before
            start = before.size if before and goes_on else 0
            file.seek(start)
            data = file.read(status.st_size - start)
    except FileNotFoundError:
        return _Known({})
    except OSError:
        return _Known({}, whole=False)
    hashes, whole = _blocks(data)
    if before and goes_on:
        hashes = before.hashes | hashes
    found = _Known(hashes, whole, status.st_ino, start + len(data))
    _seen.clear()
    _seen[path] = found
    return found


def _block(name: str, hashes: Hashes) -> bytes:
    part, body = bytes.fromhex(name.partition(".")[0]), hashes.tobytes()
    return _HEAD.pack(_MARK, len(hashes), part, zlib.crc32(body, zlib.crc32(part))) + body


def _blocks(data: bytes) -> tuple[dict[str, Hashes], bool]:
    """The hashes of each part, and whether all of the bytes were understood."""
    found: dict[str, Hashes] = {}
    at, whole, view = 0, True, memoryview(data)
    while at < len(data):
        if at + _HEAD.size > len(data):
            return found, False
        mark, n, part, checksum = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        stop = at + n * HASH_BYTES
        if mark != _MARK or stop > len(data):
            return found, False
        if zlib.crc32(view[at:stop], zlib.crc32(part)) == checksum:
            found[f"{part.hex()}.safetensors"] = np.frombuffer(view[at:stop], np.uint8).reshape(n, HASH_BYTES)
        else:
            whole = False
        at = stop
    return found, whole
