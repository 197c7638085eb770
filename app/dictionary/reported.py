"""The report of the dictionary in use, for the eyes of the person at the keyboard; what takes long is kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from app.session import session
from app.session.engine import Engine
from app.session.feature_title import marked_name
from feature_db import Store
from feature_db.features.evidence_kinds import EVIDENCE_KINDS, evidence_kinds
from feature_db.label.blindness import hidden_from, with_opinions
from sarm_core.dictionary.answers import conversations_of, in_store, other_on
from sarm_core.dictionary.beside import beside
from sarm_core.dictionary.directions import Near, near_pairs
from sarm_core.dictionary.look import Bounds, Known, densities, look
from sarm_core.dictionary.side import Side, check_comparable
from sarm_core.model.checkpoint import open_checkpoint
from sarm_core.score.encoded import Progress

if TYPE_CHECKING:
    from sarm_core.score.scorer import Scorer

__all__ = ["MOST", "compared", "other_kept", "report_of"]

MOST = 500
"""Answers that the page compares two dictionaries on; `sarm dictionary` takes more"""


def report_of(engine: Engine, person: str, bounds: Bounds, progress: Progress) -> dict[str, Any]:
    """The report on the answers that the model's store keeps encoded. Raises SarmError where it keeps none."""
    with engine.store() as store:
        _, z = in_store(store)
        known = _known(engine, store, person)
    side = Side.of_scorer(engine.scorer).on(z)
    kept, key = _near_pairs(), (engine.fingerprint, bounds.cosine)
    if key not in kept:
        kept[key] = near_pairs(side.decoder, bounds.cosine, progress)
        _drop_first(kept, 4)
    near = kept[key]
    return look(side, known, answers="those kept in this model's store", bounds=bounds, near=near)


def other_kept(engine: Engine, source: str) -> bool:
    """Whether the comparison with `source` is at hand."""
    return (engine.fingerprint, source) in _others()


def compared(engine: Engine, person: str, source: str, bounds: Bounds, progress: Progress) -> dict[str, Any]:
    """The dictionary in use beside that of `source`, on answers of the store; the other one is read once.

    Raises SarmError, before anything long, for another backbone or place, and PermissionRefused for who only looks.
    """
    with engine.store() as store:
        ids, z = in_store(store)
        known = _known(engine, store, person)
        conversations, places = conversations_of(store, ids, MOST)
    others = _others()
    key = (engine.fingerprint, source)
    if key not in others:
        from sarm_core.score.scorer import load_sarm

        session.check_may_write("comparing with another dictionary")
        check_comparable(engine.scorer.checkpoint, open_checkpoint(source))
        right: Scorer = load_sarm(source, device=engine.choice.device, dtype=engine.choice.dtype)
        others[key] = other_on(engine.scorer, right, conversations, progress=progress)
        _drop_first(others, 2)
    return beside(Side.of_scorer(engine.scorer).on(z[places]), others[key], known, bounds=bounds)


def _known(engine: Engine, store: Store, person: str) -> Known:
    def names(features: Sequence[int]) -> dict[int, str]:
        return {i: marked_name(note) for i, note in engine.notes(features).items()}

    features = range(engine.scorer.n_features)
    said = {row[0] for row in store.rows("SELECT DISTINCT feature FROM current_labels")}
    hidden = hidden_from(store, person, said | with_opinions(store, features))
    return Known(evidence_kinds(store, hidden=hidden), EVIDENCE_KINDS, names, *densities(store))


@st.cache_resource(show_spinner=False)
def _near_pairs() -> dict[tuple[str, float], Near]:
    """Pairs of near directions, by model and bound. Its own cache: a cached function may not move a progress bar."""
    return {}


@st.cache_resource(show_spinner=False)
def _others() -> dict[tuple[str, str], Side]:
    """Other dictionaries on the answers of a store, by the model in use and where they came from."""
    return {}


def _drop_first(kept: dict[Any, Any], most: int) -> None:
    while len(kept) > most:
        kept.pop(next(iter(kept)), None)
