"""One watch a run, shared by all sessions: nobody reads or scores twice what another has."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import streamlit as st

from app.session.engine import Engine
from app.session.feature_title import marked_name
from app.session.visitors import read_only_server
from sarm_core.score.encoded import Progress
from sarm_core.steering import Steering
from sarm_core.watch.drift import Drift
from sarm_core.watch.watch import Watch

__all__ = ["Watched", "named", "watched"]


@dataclass
class Watched:
    """A watch and its last drift."""

    watch: Watch
    last: Drift | None = None
    _busy: threading.Lock = field(default_factory=threading.Lock)

    def refresh(self, progress: Progress, note: Callable[[str], object]) -> bool:
        """Score what is new; False where another session is at it. Raises what `Watch.refresh` raises."""
        if not self._busy.acquire(blocking=False):
            return False
        try:
            self.last = self.watch.refresh(progress, note=note)
        finally:
            self._busy.release()
        return True


def watched(engine: Engine, folder: Path, steering: Steering, window: int) -> Watched:
    """The watch of this run under this model and steering."""
    return _watched(str(folder), steering.to_json(), window, engine.fingerprint, engine)


@st.cache_resource(max_entries=8, show_spinner=False)
def _watched(folder: str, steering: str, window: int, fingerprint: str, _engine: Engine) -> Watched:
    return Watched(
        Watch(
            _engine.scorer,
            folder,
            steering=Steering.from_json(steering),
            window=window,
            skip_bad=True,
            use_cache=not read_only_server(),
        )
    )


def named(drift: Drift, engine: Engine) -> Drift:
    """The drift with the names that this person may read; how a strong answer begins is none for a sentence."""
    notes = engine.notes([int(i) for i in drift.features])
    names = {i: marked_name(note, 60) for i, note in notes.items() if "example" not in note.mark}
    return replace(drift, names={i: name for i, name in names.items() if name})
