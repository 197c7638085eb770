"""Labels of one feature that say different things, by meaning: what differs though verdicts and categories agree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_db.label.counts import settled_features, standing_texts
from feature_db.sqlite.connection import Connection
from sarm_core.search import piece_vectors

__all__ = ["ALIKE", "Wording", "differing_wordings"]

ALIKE = 0.4
"""Cosine below which two wordings count as different. Of the same thing in other words it is mostly above, of different
things below; both ways there are errors ("formal tone" and "informal tone" are alike to it), so people look."""


@dataclass(frozen=True)
class Wording:
    """A feature of which two people's labels say different things."""

    feature: int
    values: dict[str, str]
    """annotator -> text of their label that stands"""
    adjudicated: bool
    similarity: float | None
    """Of the two least alike, cosine; None where one has no word that is known"""


def differing_wordings(store: Connection) -> list[Wording]:
    """Features whose labels' wordings are not alike: not settled ones first, then the least alike.

    Of a person who has several labels after a merge the latest counts. Only spelling apart (case, spaces) is alike.
    """
    several = {
        feature: texts
        for feature, texts in standing_texts(store).items()
        if len({" ".join(text.casefold().split()) for text in texts.values()}) > 1
    }
    if not several:
        return []
    settled = settled_features(store)
    listed = sorted({text for texts in several.values() for text in texts.values()})
    vectors = dict(zip(listed, piece_vectors().embed(listed), strict=True))
    found = []
    for feature, texts in several.items():
        of = np.array([vectors[text] for text in texts.values()])
        known = bool(np.all(np.abs(of).sum(axis=1) > 0))
        least = float((of @ of.T).min()) if known else None
        if least is None or least < ALIKE:
            found.append(Wording(feature, texts, feature in settled, least))
    return sorted(
        found, key=lambda w: (w.adjudicated, -1.0 if w.similarity is None else w.similarity, w.feature)
    )
