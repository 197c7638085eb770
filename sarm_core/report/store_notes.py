"""Names and examples of features from a store that is only read. The store is known to no other part of the report."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from sarm_core.errors import SarmError
from sarm_core.harvest.store_protocol import NoteStore, Title
from sarm_core.report.evidence import FeatureNote

__all__ = ["notes_in_store", "notes_of"]

TEXTS = 3
_TEMPLATE = re.compile(r"<\|[^|<>]*\|>|</?[a-z_]+>")
TOKENS_BEFORE, TOKENS_AFTER = 32, 10


def notes_in_store(store: NoteStore, features: Sequence[int], fingerprint: str) -> dict[int, FeatureNote]:
    """What a store knows about `features`. Raises SarmError when it holds the features of another model."""
    model = store.model
    if model.fingerprint != fingerprint:
        raise SarmError(
            f"{store.path}: holds features of {model.name!r} (fingerprint {model.fingerprint[:12]}), the "
            f"evaluation is of another model ({fingerprint[:12]})"
        )
    return notes_of(store, features)


def notes_of(
    store: NoteStore, features: Sequence[int], titles: Mapping[int, Title] | None = None
) -> dict[int, FeatureNote]:
    """Name, density and three excerpts around the peak of each feature. Raises what the store raises.

    `titles` replaces the store's own, where not everyone may read every label yet.
    """
    wanted = list(dict.fromkeys(features))
    titles = store.titles(wanted) if titles is None else titles
    densities = store.densities_of(wanted)
    notes = {}
    for feature in wanted:
        title = titles.get(feature)
        notes[feature] = FeatureNote(
            title.text if title else "",
            title.mark if title else "",
            densities.get(feature),
            _texts(store, feature),
        )
    return notes


def _texts(store: NoteStore, feature: int) -> tuple[str, ...]:
    """The ends of the texts it fires on most: what stands before the token where it peaks, and a little after."""
    found = []
    for example in store.examples(feature, "top", TEXTS):
        tokens, peak = example.text.tokens, example.peak_position
        if not tokens or peak is None:
            continue
        start, stop = max(0, peak - TOKENS_BEFORE), min(len(tokens), peak + 1 + TOKENS_AFTER)
        # A chat template's marks are no part of what was written.
        text = (
            "".join(t for t in tokens[start:stop] if not _TEMPLATE.fullmatch(t)).replace("\ufffd", "").strip()
        )
        found.append(f"{'… ' if start else ''}{text}{' …' if stop < len(tokens) else ''}")
    return tuple(found)
