"""The corpus as a stream of texts in a fixed order, from files of every row shape, cut into chunks.

A text is known by its ordinal: its place among the good rows' texts. The same files give the same
ordinals, so a kept text is found again by reading once more, and nothing but its ordinal is held in memory.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sarm_core.errors import RowError
from sarm_core.text import row_files
from sarm_core.text.answers import Reader, RowAnswer
from sarm_core.text.rows import Conversation
from sarm_core.text.tables import saved_files

__all__ = [
    "BadRow",
    "Chunk",
    "CorpusRow",
    "CorpusText",
    "chunks",
    "count_rows",
    "input_identity",
    "read_corpus",
]

CHUNK_CHARACTERS = 4_000_000
_END_BYTES = 1 << 20
CHUNK_BAD = 1_000
BadRow = tuple[str, int, str]
"""File, row (from 1), reason"""


@dataclass(frozen=True)
class CorpusText:
    """One text to read features from: a conversation, or `plain` text that is scored at its end."""

    ordinal: int
    place: tuple[str, int]
    """File and row (from 1)."""
    source: str
    category: str | None = None
    conversation: Conversation | None = None
    plain: str | None = None

    def messages(self) -> list[dict[str, str]]:
        """The turns; a plain text is one turn of role "text"; empty for token ids."""
        if self.conversation is not None:
            return self.conversation.as_dicts()
        return [{"role": "text", "content": self.plain or ""}]

    def size(self) -> int:
        """Characters (or token ids) it holds."""
        if self.conversation is not None and self.conversation.input_ids is not None:
            return len(self.conversation.input_ids)
        return sum(len(turn["content"]) for turn in self.messages())


@dataclass(frozen=True)
class Chunk:
    """Consecutive texts that are encoded together; the unit of work, of resuming and of the Ray engine."""

    number: int
    texts: tuple[CorpusText, ...]
    rows_done: int
    """Rows of the corpus read up to the end of this chunk; for the progress bar."""
    bad: tuple[BadRow, ...] = ()


@dataclass(frozen=True)
class CorpusRow:
    """The texts of one row, after the bad rows that stood before it; `number` rows were read so far."""

    number: int
    texts: tuple[CorpusText, ...]
    bad: tuple[BadRow, ...] = ()


def read_corpus(paths: Sequence[str | Path], reader: Reader | None = None) -> Iterator[CorpusRow]:
    """Every answer of all files' rows in order; bad rows are listed, not raised, so that both engines see the same.

    JSONL is read line by line and Parquet a row group at a time. Raises RowError for a file that cannot be
    read at all.
    """
    ordinal = number = 0
    bad: list[BadRow] = []
    reader = reader or Reader()

    def note(error: RowError) -> None:
        bad.append((error.source or "", error.row or 0, error.reason))

    for path in paths:
        for place, row in reader.rows(path, note):
            number += 1
            found: tuple[RowAnswer, ...] = ()
            try:
                found = reader.answers(row).answers
            except RowError as error:
                note(error.at(path, place))
            source = str(row.get("source") or Path(path).stem)
            category = None if row.get("category") is None else str(row["category"])
            texts = tuple(
                CorpusText(ordinal + i, (str(path), place), source, category, *_scored(answer))
                for i, answer in enumerate(found)
            )
            yield CorpusRow(number, texts, tuple(bad))
            bad.clear()
            ordinal += len(found)
    if bad:
        yield CorpusRow(number, (), tuple(bad))


def _scored(answer: RowAnswer) -> tuple[Conversation | None, str | None]:
    return (None, answer.conversation.answer) if answer.plain else (answer.conversation, None)


def chunks(rows: Iterable[CorpusRow], n_texts: int) -> Iterator[Chunk]:
    """Cut a stream into chunks of `n_texts` texts or about 4 million characters, whichever comes first.

    Where a chunk ends depends on the corpus and `n_texts` alone. Batches are packed inside a chunk, so
    the numbers of a text never depend on where a run was stopped or on which worker encoded it.
    """
    held: list[CorpusText] = []
    bad: list[BadRow] = []
    number = characters = rows_done = 0
    for row in rows:
        rows_done = row.number
        bad += row.bad
        for text in row.texts:
            held.append(text)
            characters += text.size()
            if len(held) >= n_texts or characters >= CHUNK_CHARACTERS:
                yield Chunk(number, tuple(held), rows_done, tuple(bad))
                held, bad, characters, number = [], [], 0, number + 1
        if len(bad) >= CHUNK_BAD:
            yield Chunk(number, tuple(held), rows_done, tuple(bad))
            held, bad, characters, number = [], [], 0, number + 1
    if held or bad:
        yield Chunk(number, tuple(held), rows_done, tuple(bad))


def count_rows(paths: Sequence[str | Path]) -> int:
    """Rows in all files, for the progress bar. Raises RowError for a file that cannot be read."""
    return sum(row_files.count_rows(path) for path in paths)


def input_identity(paths: Sequence[str | Path]) -> str:
    """A hash of the corpus's files: their sizes, order, and first and last megabyte. Raises RowError.

    Reading a whole corpus only to recognise it would cost as much as streaming it; this notices a file
    that grew, was cut, replaced or reordered.
    """
    digest = hashlib.sha256()
    files = [f for path in paths for f in (saved_files(path) if Path(path).is_dir() else [Path(path)])]
    for path in files:
        try:
            with path.open("rb") as file:
                size = path.stat().st_size
                head = file.read(_END_BYTES)
                file.seek(max(0, size - _END_BYTES))
                tail = file.read(_END_BYTES)
        except OSError as error:
            raise RowError(f"cannot be read ({error.strerror or error})", source=path) from None
        digest.update(json.dumps([size, path.suffix, path.stem]).encode())
        digest.update(hashlib.sha256(head).digest() + hashlib.sha256(tail).digest())
    return digest.hexdigest()
