"""The model the app runs on: loaded once a process, shared by all sessions, reading each answer once."""

from __future__ import annotations

import lzma
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from shutil import copyfileobj
from typing import TYPE_CHECKING

import streamlit as st

from app.session.person import whoever
from app.session.visitors import lent
from feature_db import ModelRecord, Store, StoreError
from feature_db.label.blindness import titles_for
from sarm_core.demo import STORE
from sarm_core.errors import SarmError
from sarm_core.files import whole_file
from sarm_core.harvest.store_protocol import model_facts
from sarm_core.score.encoded import encode_once, is_encoded
from sarm_core.score.kept_sarm import KeptSarm, load_or_kept
from sarm_core.score.scored import LateSequences, Scored, TokenTrace
from sarm_core.text.rows import Conversation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sarm_core.score.scorer import Scorer

__all__ = ["Choice", "Engine", "FeatureNote", "data_folder", "default_choice", "load_engine"]

CACHED_SCORES = 64
CACHED_TRACES = 256
WARM_AFTER_S = 0.5
"""After the first page was drawn: what it shows has the processor first"""


@dataclass(frozen=True)
class Choice:
    """Which checkpoint to run, and where: the key of the cached engine."""

    source: str = "demo"
    device: str = "auto"
    dtype: str = "auto"


@dataclass(frozen=True)
class FeatureNote:
    """What the store knows about a feature, for charts and tables; None where it knows nothing."""

    name: str = ""
    mark: str = ""
    """Words that stand beside the name: "suggested", "1 label", "disputed"; "" for a name that holds."""
    density: float | None = None


@dataclass
class Engine:
    """A loaded scorer with a bounded cache of scored conversations, and the path of its store."""

    choice: Choice
    scorer: Scorer
    """It may be one that loads its weights when it has to read (`KeptSarm`)"""
    store_path: Path
    _seconds_to_load: float | None = None
    tokens_per_second: float | None = None
    _scores: OrderedDict[str, Scored] = field(default_factory=OrderedDict)
    _traces: OrderedDict[tuple[Conversation, int], TokenTrace] = field(default_factory=OrderedDict)
    _typed: set[str] = field(default_factory=set)
    """Keys of what `score_edit` gave"""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _warming: threading.Timer | None = None

    @property
    def fingerprint(self) -> str:
        """sha256 of the model (see `Scorer.fingerprint`)."""
        return self.scorer.fingerprint

    @property
    def seconds_to_load(self) -> float | None:
        """What it took to load the weights; None while they are not."""
        kept = self._kept
        return self._seconds_to_load if kept is None else kept.seconds_to_load

    @property
    def is_loaded(self) -> bool:
        """Whether the weights are in memory."""
        return self._kept is None or self._kept.is_loaded

    @property
    def is_stale(self) -> bool:
        """Whether the weights turned out to be others than what is kept of the model said."""
        return self._kept is not None and self._kept.stale

    @property
    def _kept(self) -> KeptSarm | None:
        return self.scorer if isinstance(self.scorer, KeptSarm) else None

    def load_for(self, conversations: Sequence[Conversation]) -> None:
        """Load the weights where these were not all read before. Raises CheckpointError."""
        kept = self._kept
        if kept is not None and not kept.is_loaded and not is_encoded(self.scorer, conversations):
            kept.load()

    def warm(self) -> None:
        """Load the weights behind, once, so that the first new text finds them."""
        kept = self._kept
        if kept is None or self._warming is not None:
            return
        self._warming = threading.Timer(WARM_AFTER_S, _load_quietly, (kept,))
        self._warming.daemon = True
        self._warming.start()

    def cached(self, key: str) -> Scored | None:
        """What `score` gave for this key before, if it is still kept."""
        with self._lock:
            found = self._scores.get(key)
            if found is not None:
                self._scores.move_to_end(key)
            return found

    def score(
        self,
        key: str,
        conversations: Sequence[Conversation],
        progress: Callable[[int, int], None] | None = None,
        note: Callable[[str], object] | None = None,
    ) -> Scored:
        """Scores of `conversations`, at hand under the content hash `key`, or on disk, or by the model.

        `progress` is called when the model has to read some of them, `note` with what was odd about the disk. Raises
        RowError.
        """
        found = self.cached(key)
        if found is not None and key not in self._typed:
            return found
        started = time.perf_counter()
        encoded = encode_once(self.scorer, conversations, progress=progress)
        seconds = time.perf_counter() - started
        sequences = LateSequences(encoded.n_cut.tolist(), lambda: self.scorer.tokens(conversations))
        scored = Scored(encoded.matrix, sequences)
        if note is not None:
            for line in encoded.notes:
                note(line)
        if encoded.tokens_read:
            self.tokens_per_second = encoded.tokens_read / max(seconds, 1e-9)
        self._keep(key, scored)
        self._typed.discard(key)
        return scored

    def score_edit(self, key: str, before: Scored, index: int, conversation: Conversation) -> Scored:
        """Scores of `before` with another answer at `index` (at its end: one more), at hand under `key`.

        For a text that is being typed: it is read from where it differs from the one before it, and nothing is kept on
        disk; `score` reads it anew, once it is left alone. Raises RowError, SarmError.
        """
        found = self.cached(key)
        if found is not None:
            return found
        (sequence,) = self.scorer.tokens([conversation])
        row = self.scorer.encode_edit(sequence.input_ids)
        rows = [before.matrix.select(range(index)), row, before.matrix.select(range(index + 1, len(before)))]
        matrix = type(row).concatenate([part for part in rows if len(part)])
        sequences = (*before.sequences[:index], sequence, *before.sequences[index + 1 :])
        scored = Scored(matrix, sequences)
        self._typed.add(key)
        self._keep(key, scored)
        return scored

    def _keep(self, key: str, scored: Scored) -> None:
        with self._lock:
            self._scores[key] = scored
            self._scores.move_to_end(key)
            while len(self._scores) > CACHED_SCORES:
                self._typed.discard(self._scores.popitem(last=False)[0])

    def traced(self, conversation: Conversation, feature: int) -> bool:
        """Whether `trace` still has the answer at hand."""
        with self._lock:
            return (conversation, feature) in self._traces

    def trace(self, conversation: Conversation, feature: int) -> TokenTrace:
        """Activations of one feature at every token; the last few are kept. Raises RowError, SarmError."""
        key = (conversation, feature)
        with self._lock:
            found = self._traces.get(key)
            if found is not None:
                self._traces.move_to_end(key)
                return found
        made = self.scorer.trace(conversation, (feature,))
        with self._lock:
            self._traces[key] = made
            while len(self._traces) > CACHED_TRACES:
                self._traces.popitem(last=False)
        return made

    @contextmanager
    def store(self) -> Iterator[Store]:
        """The model's store, opened for this thread; made anew when its file was taken away. Who only looks
        (`app.session.visitors`) gets one that takes no write. Raises StoreError."""
        if not self.store_path.is_file():
            _prepared_store(self.choice, self.scorer)
        with Store.open(self.store_path, self.fingerprint) as store:
            yield lent(store)

    def notes(self, features: Sequence[int]) -> dict[int, FeatureNote]:
        """Name and density of each feature; an empty note where the store has none.

        For the eyes of the person at the keyboard: a label they must not read yet (`feature_db.label.blindness`) counts
        as none, so the chart or table says what it says of an unlabelled feature, a suggestion if there is one.
        Putting "hidden" in its place would need a word in every chart and tell no more.
        """
        wanted = {int(i) for i in features}
        with self.store() as store:
            titles = titles_for(store, whoever(), wanted)
            densities = store.densities_of(wanted)
        notes = {}
        for i in wanted:
            title = titles.get(i)
            notes[i] = FeatureNote(title.text if title else "", title.mark if title else "", densities.get(i))
        return notes


def data_folder() -> Path:
    """Where stores live: $SARM_DATA, else $XDG_DATA_HOME/sarm-explorer, else ~/.local/share/sarm-explorer."""
    stated = os.environ.get("SARM_DATA")
    if stated:
        return Path(stated)
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "sarm-explorer"


def default_choice() -> Choice:
    """The model a new session starts with: $SARM_MODEL, $SARM_DEVICE, $SARM_DTYPE, else the embedded one."""
    return Choice(
        os.environ.get("SARM_MODEL", "demo"),
        os.environ.get("SARM_DEVICE", "auto"),
        os.environ.get("SARM_DTYPE", "auto"),
    )


@st.cache_resource(max_entries=2, show_spinner=False)
def load_engine(choice: Choice) -> Engine:
    """The engine for a choice, made once a process. Raises CheckpointError, SarmError, StoreError."""
    started = time.perf_counter()
    scorer = load_or_kept(choice.source, device=choice.device, dtype=choice.dtype)
    seconds = time.perf_counter() - started
    return Engine(choice, scorer, _prepared_store(choice, scorer), seconds)


def _load_quietly(kept: KeptSarm) -> None:
    """What goes wrong here is said to the first person who needs the weights: loading is tried again then."""
    with suppress(SarmError, OSError, MemoryError):
        kept.load()


def _prepared_store(choice: Choice, scorer: Scorer) -> Path:
    """The store of this model, made (or copied, for the embedded model) when it is not there yet."""
    folder = data_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise StoreError(f"{folder}: cannot be made ({reason}); set SARM_DATA to another folder") from None
    path = folder / f"{scorer.fingerprint[:16]}.db"
    if not path.exists() and choice.source == "demo" and STORE.exists():
        _unpack(STORE, path)
    try:
        Store.open(path, create=ModelRecord(**vars(model_facts(scorer.facts)))).close()
    except StoreError as error:
        raise StoreError(f"{error}; or set SARM_DATA to another folder") from None
    return path


def _unpack(packed: Path, path: Path) -> None:
    """Unpack the harvested store that ships, whole or not at all; a store that is there first is kept."""
    remedy = "set SARM_DATA to another folder"
    try:
        with (
            lzma.open(packed) as source,
            whole_file(path, binary=True, keep_first=True, remedy=remedy) as target,
        ):
            copyfileobj(source, target)
    except SarmError as error:
        raise StoreError(str(error)) from None
    except (OSError, lzma.LZMAError) as error:
        raise StoreError(f"{path}: cannot be unpacked ({error}); {remedy}") from None
