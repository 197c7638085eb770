"""The two kinds of work of a harvest: where their jobs come from, and the pure function run on each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from sarm_core.harvest.activity import ChunkActivity, Positions, encode_chunk
from sarm_core.harvest.corpus import Chunk, chunks, read_corpus
from sarm_core.harvest.tracing import TraceChunk, TracePart, TracePlan, trace_chunk
from sarm_core.score.scorer import Scorer
from sarm_core.text.answers import Reader

__all__ = ["EncodeWork", "Engine", "TraceWork", "Work", "run_here"]


@dataclass(frozen=True)
class EncodeWork:
    """Phase one: encode the chunks of the corpus from number `first` on."""

    paths: tuple[str, ...]
    positions: Positions
    chunk_texts: int
    first: int = 0
    reader: Reader = field(default_factory=Reader, compare=False)

    def jobs(self) -> Iterator[Chunk]:
        """Chunks in order."""
        return (
            c
            for c in chunks(read_corpus(self.paths, self.reader), self.chunk_texts)
            if c.number >= self.first
        )

    def run(self, scorer: Scorer, job: Chunk) -> ChunkActivity:
        """Depends on its arguments only."""
        return encode_chunk(scorer, job, self.positions)


@dataclass(frozen=True)
class TraceWork:
    """Phase two: trace the chunks of kept texts that are not `done`."""

    paths: tuple[str, ...]
    plan: TracePlan
    done: tuple[int, ...] = ()
    reader: Reader = field(default_factory=Reader, compare=False)

    def jobs(self) -> Iterator[TraceChunk]:
        """Chunks of kept texts in order."""
        return self.plan.chunks(self.paths, set(self.done), self.reader)

    def run(self, scorer: Scorer, job: TraceChunk) -> TracePart:
        """Depends on its arguments only."""
        return trace_chunk(scorer, job)


Work = EncodeWork | TraceWork


class Engine(Protocol):
    """Runs work and yields its results in the order of its jobs."""

    def __call__(self, work: Work) -> Iterator[ChunkActivity | TracePart]: ...


def run_here(scorer: Scorer) -> Engine:
    """The local engine: one job after the other in this process, read as they are needed."""

    def run(work: Work) -> Iterator[ChunkActivity | TracePart]:
        for job in work.jobs():
            yield work.run(scorer, job)  # type: ignore[arg-type]

    return run
