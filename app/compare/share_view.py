"""Sharing a comparison: a page with live sliders to send, and the file that another installation opens."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import streamlit as st

from app.session import session
from app.session.comparison import Comparison
from app.session.engine import Engine
from sarm_core.provenance import model_facts
from sarm_core.score.scored import Scored
from sarm_core.share.page import shared_page
from sarm_core.share.shared import Shared, SharedAnswer, SharedFeature

__all__ = ["share_files", "shared_of"]

KEPT = "shared_files"
"""State's key: what was made last, with what it was made of."""
MANY = 60_000
"""Activations from which files are made only when they are asked for: until then their size is estimated"""
BYTES_EACH = 19
"""Of an activation in the file, feature number and value"""


def share_files(current: Engine, now: Comparison, scored: Scored) -> None:
    """Two buttons that give files, each with its size."""
    shared = shared_of(current, now, scored)
    many = scored.matrix.csr.nnz > MANY
    page, file = _offered(shared, many)
    st.caption(
        "One page with the answers, live sliders and which features decide. It opens by a double click, without this "
        "app and without a network, and can be sent by mail."
    )
    st.download_button(
        f"Page with live sliders ({page[1]})",
        page[0],
        file_name="comparison.html",
        mime="text/html",
        icon=":material/web:",
        key="share_page",
        type="primary",
        on_click="ignore",
    )
    texts = st.checkbox("Texts only: whoever opens it scores them anew", key="share_texts")
    if texts:
        file = _made(shared.without_scores().to_json)
    st.download_button(
        f"File for another installation ({file[1]})",
        file[0],
        file_name="comparison.json",
        mime="application/json",
        icon=":material/database:",
        help="Upload on this page opens it, and so it does the page with live sliders.",
        key="share_file",
        on_click="ignore",
    )


def shared_of(current: Engine, now: Comparison, scored: Scored) -> Shared:
    """What is on the page, with names as the person at the keyboard may read them."""
    held = session.steering()
    pair = (st.session_state.get("left"), st.session_state.get("right"))
    made = Shared(
        now.prompt,
        tuple(SharedAnswer(answer.text, answer.note, answer.extra) for answer in now.answers),
        model_facts(current.scorer),
        matrix=scored.matrix,
        n_cut=tuple(scored.n_cut),
        steering=held.current,
        panel=tuple(held.panel),
        compared=_two(pair, len(now.answers)),
        origin=now.origin,
        tools=now.tools,
        made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        link=str(st.session_state.get("comparison_saved", "")),
    )
    notes = current.notes(made.named)
    return made.with_features(
        {i: SharedFeature(note.name, note.mark, note.density) for i, note in notes.items()}
    )


def _two(pair: tuple[Any, Any], n: int) -> tuple[int, int] | None:
    left, right = pair
    fits = isinstance(left, int) and isinstance(right, int) and 0 <= left < n and 0 <= right < n
    return (left, right) if fits and left != right else None


Offer = tuple[str | Callable[[], str], str]
"""A file, or what makes it, and its size in words."""


def _offered(shared: Shared, many: bool) -> tuple[Offer, Offer]:
    """Page and file; made once for what does not change."""
    if many:
        assert shared.matrix is not None
        about = shared.matrix.csr.nnz * BYTES_EACH
        return (lambda: shared_page(shared), _size(about, "about ")), (shared.to_json, _size(about, "about "))
    # Without the matrix, which the texts and the model's fingerprint decide.
    made_of = (
        shared.prompt,
        shared.answers,
        shared.fingerprint,
        shared.steering,
        shared.panel,
        shared.compared,
    )
    of = repr((*made_of, shared.features, shared.made, shared.link))
    kept = st.session_state.get(KEPT)
    if kept is None or kept[0] != of:
        kept = of, (_made(lambda: shared_page(shared)), _made(shared.to_json))
        st.session_state[KEPT] = kept
    offers: tuple[Offer, Offer] = kept[1]
    return offers


def _made(make: Callable[[], str]) -> Offer:
    text = make()
    return text, _size(len(text.encode()))


def _size(size: float, before: str = "") -> str:
    return f"{before}{size / 1e6:.1f} MB" if size >= 1e6 else f"{before}{max(1, round(size / 1e3))} KB"
