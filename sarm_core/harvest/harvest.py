"""Harvest a corpus: what every feature fires on, in two passes and bounded memory.

    finished = harvest(scorer, ["corpus.jsonl"], Workspace(Path("store.db")), HarvestSettings())

Phase one streams the corpus once: chunks of texts are encoded at the scored position and (by default) at
every sentence-final token of the last answer, and folded into statistics, kept texts and a sample of
positions. Phase two runs each kept text once more, for its features' activations at every token. Partners (on
the sample) and decoder neighbours are computed once, before anything is written to a store.

Memory does not depend on the corpus's length. At any moment there are: one chunk (at most `chunk_texts`
texts or about 4 million characters, plus its active features), the `Accumulator` (M x settings, see
there: texts are held as ordinals, positions as a bounded sample), and in phase two one batch of hidden
states and the plan (one number for each kept place). Kept texts and their traces go to disk. Nothing has
a row for every text.

The result depends on the corpus, the model, the settings and the machine's arithmetic alone. Chunks are cut
by the corpus, folded in order, and samples are the smallest of a hash, so neither where a run was stopped
nor which engine ran it can change a bit.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sarm_core.errors import RowError, SarmError
from sarm_core.harvest.accumulator import Accumulator
from sarm_core.harvest.activity import ChunkActivity
from sarm_core.harvest.checkpoint_file import Workspace
from sarm_core.harvest.cofiring import Partners
from sarm_core.harvest.corpus import BadRow, count_rows, input_identity
from sarm_core.harvest.neighbours import decoder_neighbours
from sarm_core.harvest.progress import bar_of
from sarm_core.harvest.selection import Kept, KeptExample, select
from sarm_core.harvest.settings import HarvestSettings, checked_seconds
from sarm_core.harvest.statistics import Histogram
from sarm_core.harvest.tracing import (
    HarvestedText,
    TracePart,
    TracePlan,
    Traces,
    plan_traces,
    write_part,
)
from sarm_core.harvest.work import EncodeWork, Engine, TraceWork, run_here
from sarm_core.score.scorer import Scorer
from sarm_core.text.answers import Reader

__all__ = [
    "FeatureFacts",
    "FinishedHarvest",
    "HarvestSettings",
    "HarvestedEncoding",
    "HarvestedExample",
    "HarvestedText",
    "Workspace",
    "harvest",
    "harvest_identity",
]

VERSION = 2
SHOWN_BAD = 20


@dataclass(frozen=True)
class FeatureFacts:
    """Statistics of one feature over the positions looked at; attributes as the feature store takes them."""

    id: int
    head_weight: float
    firing_count: int
    denominator: int
    density: float
    mean: float | None
    max: float | None
    histogram_edges: npt.NDArray[np.float64] | None
    histogram_counts: npt.NDArray[np.int64] | None
    neighbours: list[tuple[int, float]]
    cofiring: list[tuple[int, int]]
    cofiring_of: int | None
    """Positions at which this feature fires, of the sample that pairs were counted on; None when it was all"""


@dataclass(frozen=True)
class HarvestedEncoding:
    """z of one kept text at its scored position."""

    text: int
    features: npt.NDArray[np.int32]
    values: npt.NDArray[np.float32]


@dataclass(frozen=True)
class HarvestedExample:
    """One example of a feature; `text` is a place among the kept texts."""

    feature: int
    text: int
    kind: str
    rank: int
    purpose: str
    activation: float
    peak_position: int | None
    values: npt.NDArray[np.float32]
    band: int | None
    band_low: float | None
    band_high: float | None
    token: str | None = None


class FinishedHarvest:
    """Everything a store takes in, put together as it is read; nothing here holds all texts or all examples.

    What takes long was done before: reading it needs neither model nor corpus.
    """

    def __init__(
        self,
        scorer: Scorer,
        paths: tuple[str, ...],
        accumulator: Accumulator,
        settings: HarvestSettings,
        kept: Kept,
        traces: Traces,
        partners: Partners | None,
        neighbours: tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]],
    ):
        self.scorer, self.paths, self.settings = scorer, paths, settings
        self.accumulator, self.kept, self.traces = accumulator, kept, traces
        self.partners, self.neighbours = partners, neighbours

    @property
    def n_features(self) -> int:
        """M."""
        return self.scorer.n_features

    def pool(self) -> npt.NDArray[np.int64]:
        """Places, among the kept texts, of the uniform sample of the corpus; ascending."""
        return np.searchsorted(self.traces.plan.ordinals, self.kept.pool)

    def features(self) -> Iterator[FeatureFacts]:
        """Every feature of the dictionary, dead ones included."""
        statistics, partners = self.accumulator.statistics, self.partners
        near_ids, near = self.neighbours
        sampled = partners is not None and len(self.accumulator.pairs or ()) < statistics.n_positions
        for feature in range(self.n_features):
            count = int(statistics.count[feature])
            histogram: Histogram | None = statistics.histogram(feature)
            yield FeatureFacts(
                feature,
                float(self.scorer.head[feature]),
                count,
                statistics.n_positions,
                count / max(1, statistics.n_positions),
                statistics.mean(feature),
                float(statistics.max[feature]) if count else None,
                None if histogram is None else histogram.edges,
                None if histogram is None else histogram.counts,
                list(zip(near_ids[feature].tolist(), near[feature].tolist(), strict=True)),
                [] if partners is None else partners.of(feature),
                int(partners.firing[feature]) if partners is not None and sampled else None,
            )

    def texts(self) -> Iterator[HarvestedText]:
        """Kept texts, in the order of the corpus."""
        return self.traces.texts()

    def encodings(self) -> Iterator[HarvestedEncoding]:
        """z of every kept text at its scored position."""
        for place in range(len(self.traces.plan.ordinals)):
            yield HarvestedEncoding(place, *self.traces.scored(place))

    def examples(self) -> Iterator[HarvestedExample]:
        """Examples by feature, kind, band and rank, with their activations at every token."""
        places = self.traces.plan.ordinals
        for example in self.kept.examples(self.accumulator):
            place = int(np.searchsorted(places, example.ordinal))
            yield self._example(example, place)

    def _example(self, example: KeptExample, place: int) -> HarvestedExample:
        values = self.traces.along(place, example.feature)
        if example.token is not None:
            # Batches of other shapes round differently (visibly so in bfloat16): at the peak the number
            # that ranked the text is shown.
            values[example.token] = example.activation
        return HarvestedExample(
            example.feature,
            place,
            example.kind,
            example.rank,
            example.purpose,
            example.activation,
            example.token,
            values,
            example.band,
            example.band_low,
            example.band_high,
        )

    def header(self) -> dict[str, Any]:
        """What was harvested and how, for the store's list of imports."""
        accumulator = self.accumulator
        pairs = accumulator.pairs
        return {
            "settings": asdict(self.settings),
            "texts": accumulator.statistics.n_texts,
            "positions": accumulator.statistics.n_positions,
            "tokens": accumulator.n_tokens,
            "skipped": accumulator.n_bad,
            "kept_texts": len(self.traces.plan.ordinals),
            "examples": len(self.kept.feature),
            "cofiring": "not counted: every feature is active everywhere"
            if pairs is None
            else f"counted at {len(pairs)} of {accumulator.statistics.n_positions} positions",
        }


def harvest(
    scorer: Scorer,
    paths: Sequence[str | Path],
    workspace: Workspace,
    settings: HarvestSettings | None = None,
    *,
    engine: Engine | None = None,
    checkpoint_seconds: float = 60.0,
    skip_bad: bool = False,
    reader: Reader | None = None,
) -> FinishedHarvest:
    """Run both phases, or what is left of them, and return what goes into the store.

    The caller holds `workspace.opened(...)` and removes the workspace once the store has everything. Raises
    RowError for a bad row (unless `skip_bad`: then they are listed on stderr), SarmError when the work that
    `workspace` holds is of another model, corpus or settings, and for settings whose tables no memory here holds.
    """
    settings = settings or HarvestSettings()
    checkpoint_seconds = checked_seconds(checkpoint_seconds)
    _check_memory(scorer.n_features, settings)
    named = tuple(str(path) for path in paths)
    engine = engine or run_here(scorer)
    reader = reader or Reader()
    identity = harvest_identity(scorer, named, settings, reader)
    accumulator = Accumulator(scorer.n_features, settings, count_pairs=not scorer.model.sae.every_feature)
    facts = _resumed(workspace, identity, accumulator)
    if facts["stage"] == "encode":
        _encode(workspace, accumulator, facts, settings, named, engine, checkpoint_seconds, skip_bad, reader)
        if not accumulator.statistics.n_texts:
            raise RowError("no row could be read", source=", ".join(named))
        facts = {**facts, "stage": "trace"}
        workspace.write(facts, accumulator.state())
    with bar_of(scorer.n_features, "choosing examples", " features") as bar:
        kept = select(accumulator, settings, bar.update)
    plan = plan_traces(kept, settings.chunk_texts)
    files = _trace(workspace, plan, named, engine, reader)
    return FinishedHarvest(
        scorer,
        named,
        accumulator,
        settings,
        kept,
        Traces(plan, files),
        _partners(workspace, accumulator, settings),
        _neighbours(workspace, scorer, settings),
    )


def harvest_identity(
    scorer: Scorer,
    paths: Sequence[str | Path],
    settings: HarvestSettings | None = None,
    reader: Reader | None = None,
) -> dict[str, Any]:
    """All that decides what a harvest finds, as JSON can hold it: equal ones give the same store. Raises SarmError."""
    return {
        "version": VERSION,
        "model": scorer.fingerprint,
        "dtype": str(scorer.dtype),
        "max_length": scorer.max_length,
        "settings": asdict(settings or HarvestSettings()),
        "corpus": input_identity(tuple(str(path) for path in paths)),
        **({"reading": reading} if (reading := (reader or Reader()).choices()) else {}),
    }


def _check_memory(n_features: int, settings: HarvestSettings) -> None:
    needed, there = Accumulator.kept_bytes(n_features, settings), _memory_bytes()
    if needed > there:
        raise SarmError(
            f"top {settings.top} and per-band {settings.per_band} of {n_features} features take {needed / 1e9:,.1f} GB "
            f"of memory, and this machine has {there / 1e9:,.1f} GB: choose smaller ones"
        )


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _resumed(workspace: Workspace, identity: dict[str, Any], accumulator: Accumulator) -> dict[str, Any]:
    found = workspace.read()
    if found is None:
        workspace.clear()
        return {"identity": identity, "stage": "encode"}
    facts, arrays = found
    before = facts.get("identity", {})
    differ = [key for key in identity if before.get(key) != identity[key]]
    if differ:
        raise SarmError(
            f"{workspace.folder} holds an unfinished harvest with another {' and '.join(differ)}: "
            "repeat its command with --resume, or delete the folder to start anew"
        )
    accumulator.restore(arrays)
    return facts


def _encode(
    workspace: Workspace,
    accumulator: Accumulator,
    facts: dict[str, Any],
    settings: HarvestSettings,
    paths: tuple[str, ...],
    engine: Engine,
    checkpoint_seconds: float,
    skip_bad: bool,
    reader: Reader,
) -> None:
    work = EncodeWork(paths, settings.positions, settings.chunk_texts, accumulator.next_chunk, reader)
    saved = time.monotonic()
    tokens_before, started = accumulator.n_tokens, time.monotonic()
    with bar_of(count_rows(paths), "encoding", " rows", accumulator.rows_done) as bar:
        for activity in engine(work):
            assert isinstance(activity, ChunkActivity)
            if activity.bad and not skip_bad and accumulator.next_chunk:
                workspace.write(facts, accumulator.state())  # so that --resume --skip-bad goes on from here
            _report_bad(activity.bad, accumulator.n_bad, skip_bad, bar.write)
            accumulator.update(activity)
            rate = (accumulator.n_tokens - tokens_before) / max(1e-9, time.monotonic() - started)
            bar.set_postfix_str(f"{rate:,.0f} tokens/s", refresh=False)
            bar.update(accumulator.rows_done - bar.n)
            if time.monotonic() - saved >= checkpoint_seconds:
                workspace.write(facts, accumulator.state())
                saved = time.monotonic()


def _report_bad(bad: Sequence[BadRow], n_before: int, skip_bad: bool, write: Callable[..., None]) -> None:
    for number, (source, row, reason) in enumerate(bad, start=n_before):
        error = RowError(reason, source=source, row=row or None)
        if not skip_bad:
            raise error
        if number < SHOWN_BAD:
            write(f"skipped: {error}", file=sys.stderr)
        elif number == SHOWN_BAD:
            write("skipped: more rows, which are only counted", file=sys.stderr)


def _trace(
    workspace: Workspace, plan: TracePlan, paths: tuple[str, ...], engine: Engine, reader: Reader
) -> list[Path]:
    files = [workspace.trace_file(number) for number in range(plan.n_parts)]
    done = tuple(number for number, file in enumerate(files) if file.exists())
    if len(done) < len(files):
        finished = len(done) * plan.chunk_texts
        with bar_of(len(plan.ordinals), "tracing kept texts", " texts", finished) as bar:
            for part in engine(TraceWork(paths, plan, done, reader.again())):
                assert isinstance(part, TracePart)
                write_part(files[part.number], part)
                bar.update(len(part.texts))
    return files


def _partners(workspace: Workspace, accumulator: Accumulator, settings: HarvestSettings) -> Partners | None:
    pairs = accumulator.pairs
    if pairs is None:
        return None

    def make() -> dict[str, np.ndarray]:
        with bar_of(len(accumulator.statistics.count), "counting pairs", " features") as bar:
            return pairs.partners(settings.partners, bar.update)._asdict()

    return Partners(**workspace.made("partners", make))


def _neighbours(
    workspace: Workspace, scorer: Scorer, settings: HarvestSettings
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    def make() -> dict[str, np.ndarray]:
        with bar_of(scorer.n_features, "comparing decoder columns", " features") as bar:
            ids, cosines = decoder_neighbours(scorer.model.sae, settings.neighbours, bar.update)
            return {"ids": ids, "cosines": cosines}

    made = workspace.made("neighbours", make)
    return made["ids"], made["cosines"]
