"""The second phase: every kept text is run once more, for the activations of its features at every token.

Kept texts are at most M x places, however long the corpus is. They are found by reading the corpus again;
what a run gives, the texts with it, goes to files of one chunk each, so that a stopped second phase repeats at
most one chunk and writing the store needs neither corpus nor tokenizer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sarm_core.errors import SarmError
from sarm_core.files import whole_file
from sarm_core.harvest.activity import digest_of, sequences_of
from sarm_core.harvest.corpus import CorpusText, read_corpus
from sarm_core.harvest.selection import Kept
from sarm_core.score.encoder import Traced
from sarm_core.score.scorer import Scorer
from sarm_core.text.answers import Reader

__all__ = [
    "HarvestedText",
    "TraceChunk",
    "TracePart",
    "TracePlan",
    "Traces",
    "plan_traces",
    "trace_chunk",
    "write_part",
]

CHANGED = "the corpus changed while it was harvested: start anew with the final files"

_REMEDY = "the harvest stops here"

SparseRow = tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class HarvestedText:
    """One kept text with the tokens the model saw."""

    messages: list[dict[str, str]]
    token_ids: npt.NDArray[np.int32]
    tokens: list[str]
    source: str
    category: str | None


@dataclass(frozen=True)
class TracePlan:
    """Which features are wanted along which texts."""

    ordinals: npt.NDArray[np.int64]
    """Kept texts, ascending [n]"""
    digests: npt.NDArray[np.uint64]
    """[n], of their token ids"""
    indptr: npt.NDArray[np.int64]
    """[n + 1]"""
    features: npt.NDArray[np.int32]
    """Wanted features, ascending within each text"""
    chunk_texts: int

    @property
    def n_parts(self) -> int:
        """Chunks of kept texts."""
        return -(-len(self.ordinals) // self.chunk_texts)

    def wanted(self, text: int) -> npt.NDArray[np.int32]:
        """Features wanted along the kept text at place `text`."""
        return self.features[self.indptr[text] : self.indptr[text + 1]]

    def texts(self, paths: Sequence[str | Path], reader: Reader | None = None) -> Iterator[CorpusText]:
        """The kept texts, read again from the corpus. Raises SarmError when the corpus has become shorter."""
        at = 0
        for row in read_corpus(paths, reader):
            for text in row.texts:
                if at < len(self.ordinals) and text.ordinal == self.ordinals[at]:
                    yield text
                    at += 1
            if at == len(self.ordinals):
                return
        if at < len(self.ordinals):
            raise SarmError(CHANGED)

    def chunks(
        self, paths: Sequence[str | Path], done: set[int], reader: Reader | None = None
    ) -> Iterator[TraceChunk]:
        """Chunks of kept texts whose number is not in `done`."""
        held: list[CorpusText] = []
        for place, text in enumerate(self.texts(paths, reader)):
            held.append(text)
            if len(held) == self.chunk_texts or place == len(self.ordinals) - 1:
                number = place // self.chunk_texts
                if number not in done:
                    first = number * self.chunk_texts
                    wanted = tuple(self.wanted(first + i) for i in range(len(held)))
                    digests = tuple(self.digests[first : place + 1].tolist())
                    yield TraceChunk(number, tuple(held), digests, wanted)
                held = []


@dataclass(frozen=True)
class TraceChunk:
    """Kept texts that are traced together, with the features wanted along each."""

    number: int
    texts: tuple[CorpusText, ...]
    digests: tuple[int, ...]
    wanted: tuple[npt.NDArray[np.int32], ...]


@dataclass(frozen=True)
class TracePart:
    """What tracing a chunk gives: its texts, and for each z at the scored position as (features, values), then
    one row (token indices, values) for each of its wanted features."""

    number: int
    texts: tuple[HarvestedText, ...]
    rows: tuple[SparseRow, ...]


def plan_traces(kept: Kept, chunk_texts: int) -> TracePlan:
    """Each kept text once, with all the features it was kept for."""
    ordinals, digests = kept.texts()
    text = np.searchsorted(ordinals, kept.ordinal)
    width = int(kept.feature.max(initial=0)) + 1
    text, feature = np.divmod(np.unique(text * width + kept.feature), width)
    indptr = np.searchsorted(text, np.arange(len(ordinals) + 1))
    return TracePlan(ordinals, digests, indptr, feature.astype(np.int32), chunk_texts)


def trace_chunk(scorer: Scorer, chunk: TraceChunk) -> TracePart:
    """Run the texts of a chunk once, every position through the SAE. The pure function of this phase.

    A feature that is not active at a token counts as 0 there. Raises SarmError when a text is
    not the one that was encoded.
    """
    good, bad = sequences_of(scorer, chunk.texts)
    if bad or tuple(digest_of(sequence) for _, sequence in good) != chunk.digests:
        raise SarmError(CHANGED)
    rows: list[SparseRow] = []
    # In groups of about one batch: z of a whole chunk along all its tokens would be [256 texts x T, wanted].
    for group in _groups([len(s) for _, s in good], scorer.encoder.token_budget):
        sequences = [good[i][1].input_ids for i in group]
        traced = dict(scorer.encoder.traces(sequences, [chunk.wanted[i] for i in group]))
        for place in range(len(group)):
            rows += _rows(traced[place])
    texts = tuple(
        HarvestedText(text.messages(), sequence.input_ids, sequence.pieces(), text.source, text.category)
        for text, sequence in good
    )
    return TracePart(chunk.number, texts, tuple(rows))


def _groups(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    group: list[int] = []
    total = 0
    for i, length in enumerate(lengths):
        if group and total + length > budget:
            yield group
            group, total = [], 0
        group.append(i)
        total += length
    if group:
        yield group


def _rows(traced: Traced) -> list[SparseRow]:
    """z at the last token, then the wanted features along all tokens; a kept 0 is left out."""
    rows: list[SparseRow] = [(traced.ids[traced.z != 0], traced.z[traced.z != 0])]
    for row in traced.along.T:
        tokens = np.flatnonzero(row)
        rows.append((tokens.astype(np.int32), row[tokens]))
    return rows


def write_part(path: Path, part: TracePart) -> None:
    """Write a part to `path` and its texts to a file beside it. Raises SarmError.

    One int32 array: number of texts, number of rows, length of each text, length of each row, all indices,
    then the bits of all float32 values. The texts, one a line as JSON, are there first: a part whose array is
    there is whole.
    """
    lengths = np.array([len(text.token_ids) for text in part.texts], dtype=np.int32)
    sizes = np.array([len(indices) for indices, _ in part.rows], dtype=np.int32)
    flat = np.concatenate(
        [
            np.array([len(lengths), len(sizes)], dtype=np.int32),
            lengths,
            sizes,
            *(indices for indices, _ in part.rows),
            *(values.astype(np.float32).view(np.int32) for _, values in part.rows),
        ]
    )

    with whole_file(_texts_file(path), binary=True, remedy=_REMEDY) as file:
        for text in part.texts:
            row = {**vars(text), "token_ids": text.token_ids.tolist()}
            file.write(json.dumps(row).encode("ascii") + b"\n")
    with whole_file(path, binary=True, remedy=_REMEDY) as file:
        np.save(file, flat)


def _texts_file(path: Path) -> Path:
    return path.with_suffix(".jsonl")


class Traces:
    """All parts of a finished second phase, mapped into memory and read a row at a time."""

    def __init__(self, plan: TracePlan, files: Sequence[Path]):
        self.plan, self.files = plan, files
        self._parts: list[tuple[np.ndarray, np.ndarray, np.ndarray, int]] = []
        for file in files:
            flat = np.load(file, mmap_mode="r", allow_pickle=False)
            n_texts, n_rows = int(flat[0]), int(flat[1])
            sizes = flat[2 + n_texts : 2 + n_texts + n_rows]
            ends = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
            self._parts.append((flat, flat[2 : 2 + n_texts], ends, 2 + n_texts + n_rows))

    def texts(self) -> Iterator[HarvestedText]:
        """The kept texts, in the order of the corpus."""
        for file in self.files:
            with _texts_file(file).open() as lines:
                for line in lines:
                    row = json.loads(line)
                    yield HarvestedText(**{**row, "token_ids": np.array(row["token_ids"], dtype=np.int32)})

    def length(self, text: int) -> int:
        """Tokens of the kept text at place `text`."""
        part, inside = divmod(text, self.plan.chunk_texts)
        return int(self._parts[part][1][inside])

    def scored(self, text: int) -> SparseRow:
        """(features, z) at the scored position."""
        return self._row(text, 0)

    def along(self, text: int, feature: int) -> npt.NDArray[np.float32]:
        """z of a wanted feature at every token, float32 [T]."""
        wanted = self.plan.wanted(text)
        tokens, values = self._row(text, 1 + int(np.searchsorted(wanted, feature)))
        out = np.zeros(self.length(text), dtype=np.float32)
        out[tokens] = values
        return out

    def _row(self, text: int, row: int) -> SparseRow:
        number = text // self.plan.chunk_texts
        first = number * self.plan.chunk_texts
        flat, _, ends, offset = self._parts[number]
        # Before it: one row for each earlier text of the part, and their wanted features.
        row += (text - first) + int(self.plan.indptr[text] - self.plan.indptr[first])
        a, b = int(ends[row]), int(ends[row + 1])
        values = offset + int(ends[-1])
        return (
            np.asarray(flat[offset + a : offset + b]),
            np.asarray(flat[values + a : values + b]).view(np.float32),
        )
