"""What a file is, by its first bytes, and its contents as a stream: decompressed, as UTF-8, within bounds."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

from sarm_core.errors import RowError

__all__ = ["COMPRESSED", "damaged", "kind_of_bytes", "opened", "seekable", "utf8"]

_BOMB_BYTES = 256_000_000
_BOMB_RATIO = 1_000
"""A file that grows further than both is no file of rows: text shrinks to a tenth, copies of one row to a hundredth."""
COMPRESSED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz"}
_TABLES = {
    b"PAR1": "parquet",
    b"ARROW1": "arrow file",
    b"\xff\xff\xff\xff": "arrow stream",
    b"FEA1": "feather 1",
}
_UNREAD = {
    b"PK\x03\x04": "an Excel workbook or another zip archive: save the sheet as CSV, or unpack the archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook: save the sheet as CSV",
    b"%PDF": "a PDF",
    b"SQLite format 3": "an SQLite database: export the rows as JSONL or CSV",
    b"version https://git-lfs": "a Git LFS pointer, not the data: fetch it with git lfs pull",
    b"\x89HDF": "HDF5: convert it to Parquet or JSONL",
    b"\x93NUMPY": "a NumPy array: convert it to Parquet or JSONL",
    b"\x80\x02": "a pickle, which is never opened: convert it to Parquet or JSONL",
    b"\x80\x03": "a pickle, which is never opened: convert it to Parquet or JSONL",
    b"\x80\x04": "a pickle, which is never opened: convert it to Parquet or JSONL",
    b"\x80\x05": "a pickle, which is never opened: convert it to Parquet or JSONL",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive: unpack it",
    b"Rar!": "a rar archive: unpack it",
    b"<!DOCTYPE": "an HTML page: was a web page saved in place of the file?",
    b"<html": "an HTML page: was a web page saved in place of the file?",
}
_HEAD = 64
damaged = (EOFError, OSError, zlib.error, lzma.LZMAError, ValueError)
"""What a broken stream raises while it is read."""


def kind_of_bytes(head: bytes) -> str:
    """The container that begins with `head`: a compression, a kind of table, or "text". Raises RowError for others."""
    for known in (COMPRESSED, _TABLES):
        for start, kind in known.items():
            if head.startswith(start):
                return kind
    for start, what in _UNREAD.items():
        if head.startswith(start):
            raise RowError(f"is {what}")
    return "text"


@contextmanager
def opened(path: str | Path) -> Iterator[tuple[BinaryIO, str]]:
    """The contents of a file, decompressed, and their kind (see `kind_of_bytes`). Raises RowError, OSError."""
    with open(path, "rb") as file:
        stream: Any = file
        kind = kind_of_bytes(file.read(_HEAD))
        file.seek(0)
        if kind in COMPRESSED.values():
            size = max(Path(path).stat().st_size, 1)
            stream = io.BufferedReader(_Bounded(_decompressed(file, kind), size), 1 << 20)
            try:
                kind = kind_of_bytes(stream.peek(_HEAD)[:_HEAD])
            except damaged as error:
                raise RowError(f"the {kind} data are damaged ({_reason(error)})") from None
            if kind in COMPRESSED.values():
                raise RowError(f"is {kind} inside another compression: unpack it once")
        yield stream, kind


def _decompressed(file: BinaryIO, kind: str) -> IO[bytes]:
    if kind == "gzip":
        return gzip.GzipFile(fileobj=file)  # type: ignore[return-value]
    if kind == "bzip2":
        return bz2.BZ2File(file)
    if kind == "xz":
        return lzma.LZMAFile(file)
    try:
        import pyarrow
    except ImportError:
        raise RowError("reading zstd needs pyarrow: pip install pyarrow, or unpack the file") from None
    return pyarrow.CompressedInputStream(pyarrow.PythonFile(file), "zstd")


class _Bounded(io.RawIOBase):
    """A decompressed stream that stops where no file of rows could go on."""

    def __init__(self, stream: IO[bytes], compressed_size: int):
        self._stream, self._limit, self._read = stream, max(_BOMB_BYTES, _BOMB_RATIO * compressed_size), 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        self._read += len(data)
        if self._read > self._limit:
            raise RowError(
                f"unpacks to more than {self._limit / 1e6:,.0f} MB, over {_BOMB_RATIO} times its size: unpack it "
                "yourself if it is meant so"
            )
        buffer[: len(data)] = data
        return len(data)


@contextmanager
def seekable(stream: BinaryIO) -> Iterator[BinaryIO]:
    """The stream, or its contents in a temporary file where it cannot go back (a table that was compressed whole)."""
    if not isinstance(stream, io.BufferedReader) or not isinstance(stream.raw, _Bounded):
        yield stream
        return
    with tempfile.TemporaryFile() as file:
        while block := stream.read(1 << 20):
            file.write(block)
        file.seek(0)
        yield file  # type: ignore[misc]


def utf8(stream: BinaryIO) -> BinaryIO:
    """Text as UTF-8 without a byte order mark, from UTF-8 or UTF-16."""
    buffered: Any = stream if hasattr(stream, "peek") else io.BufferedReader(stream)  # type: ignore[type-var]
    head = buffered.peek(4)[:4]
    if head.startswith(codecs.BOM_UTF8):
        buffered.read(3)
        return buffered
    encoding = None
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif len(head) >= 2 and 0 in head[:2] and head[:2] != b"\0\0":  # ASCII in UTF-16 without a mark
        encoding = "utf-16-be" if head[0] == 0 else "utf-16-le"
    return buffered if encoding is None else io.BufferedReader(_Recoded(buffered, encoding), 1 << 20)


class _Recoded(io.RawIOBase):
    """A stream in another encoding, as UTF-8."""

    def __init__(self, stream: BinaryIO, encoding: str):
        self._stream, self._decoder = stream, codecs.getincrementaldecoder(encoding)()
        self._held = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._held:
            block = self._stream.read(1 << 16)
            self._held = self._decoder.decode(block, final=not block).encode("utf-8")
            if not block:
                break
        data, self._held = self._held[: len(buffer)], self._held[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)


def _reason(error: BaseException) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
