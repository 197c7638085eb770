"""Progress while answers are encoded: how far, how fast, how long still."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from sarm_core.score.encoded import Progress

__all__ = ["NotKept", "encoding_bar", "only_kept", "progress_text"]


class NotKept(Exception):
    """The model would have to read something."""


def only_kept(_done: int, _total: int) -> None:
    """Progress for who takes what is encoded and nothing else. Raises NotKept before the model runs."""
    raise NotKept


STOPPED = """<style>
.sarm-stopped, .stApp[data-test-script-state=notRunning] .st-key-encoding [data-testid=stProgress] { display: none }
.stApp[data-test-script-state=notRunning] .sarm-stopped { display: block }
</style>
<p class="sarm-stopped" role="status">Stopped. What was encoded is kept: start it again to go on from there.</p>"""


@contextmanager
def encoding_bar(place: DeltaGenerator, unit: str = "tokens") -> Iterator[Progress]:
    """A bar for `encode_once`, or for what counts in another `unit`; gone when the block ends.

    `place` is an `st.empty()` that the page draws in EVERY run: an element that comes and goes would move
    the ones after it, and tabs that move fall back to the first. Streamlit's own Stop button interrupts
    the work, and what was encoded until then is kept on disk. Nothing can be drawn after a Stop, so the words
    for it are there from the start, and the browser shows them once no script runs.
    """
    with place.container(key="encoding"):
        st.html(STOPPED)
        bar = st.progress(0.0, text="Reading …")
    started = time.perf_counter()

    def progress(done: int, total: int) -> None:
        bar.progress(
            min(1.0, done / max(total, 1)),
            text=progress_text(done, total, time.perf_counter() - started, unit),
        )

    try:
        yield progress
    finally:
        place.empty()


def progress_text(done: int, total: int, seconds: float, unit: str = "tokens") -> str:
    """Units done and in all, the rate, and the time left at that rate."""
    rate = done / seconds if seconds > 0 else 0.0
    text = f"Encoding: {done:,} of {total:,} {unit}"
    if rate > 0:
        left = (total - done) / rate
        ahead = f"{left / 60:.0f} min" if left >= 90 else f"{left:.0f} s"
        text += f", {rate:,.0f} {unit}/s, about {ahead} left. Stop keeps what is done."
    return text
