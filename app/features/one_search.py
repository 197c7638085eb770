"""One search in one list: what a feature is called, what it tells of an answer, and the texts it fires in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from app.features.meaning_search import WEAK, search_by_meaning
from app.features.table import frame
from app.features.text_search import text_ranking
from feature_db import FeatureFilter, Store
from feature_db.features.names import Names
from feature_db.features.text_search import features_by_texts
from feature_db.label.blindness import hidden_from, rows_for
from sarm_core.find.by_trait import Meant, TraitIndex

__all__ = ["KINDS", "FeatureMatch", "OneSearch", "match_frame", "search_everything"]

KINDS = {
    "label": "a person's label",
    "answers": "what its answers are like",
    "suggestion": "a suggested name",
    "meaning": "a name like it",
    "texts": "the texts it fires in",
}
"""Why a feature is in the list, in the list's order."""
MOST = 200
"""Of each kind"""
TOLD = 0.6
"""Share of pairs that a feature has to tell right to be listed for what its answers are like"""


@dataclass(frozen=True)
class FeatureMatch:
    """A feature that was found, and the first reason for it in the order of KINDS."""

    feature: int
    kind: str
    why: str


@dataclass(frozen=True)
class OneSearch:
    """What was found, best first, and as which traits of answers the words were read."""

    matches: tuple[FeatureMatch, ...]
    read_as: tuple[str, ...] = ()


def search_everything(
    store: Store,
    query: str,
    filters: FeatureFilter,
    name: str,
    index: TraitIndex | None,
    progress: Callable[[int, int], None] | None = None,
) -> OneSearch:
    """Features that `filters` (without words) lets through, each once, for the eyes of `name`.

    First those that people call so; then those that tell answers of this kind from others to the same prompt, surest
    first; then suggestions with the words, names that mean something like it, and features that fire in texts with the
    words. Labels that `name` must not read yet are not looked in. Raises SarmError, StoreError.
    """
    names = Names(store)
    allowed = set(names.features(filters).tolist())
    found: dict[int, FeatureMatch] = {}

    def take(kind: str, hits: Sequence[tuple[int, str]]) -> None:
        n = 0
        for feature, why in hits:
            if feature in allowed and feature not in found and n < MOST:
                found[feature] = FeatureMatch(feature, kind, why)
                n += 1

    labelled, suggested = names.with_words(query)
    labelled -= hidden_from(store, name, labelled).keys() if labelled else set()
    take("label", [(i, "") for i in _by_effect(store, labelled)])
    meant = index.meant(query) if index is not None else []
    if index is not None and meant:
        told = [hit for hit in index.features(meant, limit=len(allowed)) if hit.share >= TOLD]
        take(
            "answers",
            [
                (
                    hit.feature,
                    f"higher in answers “{hit.words}”: {100 * hit.share:.0f} % of {hit.pairs:,} pairs",
                )
                for hit in told
            ],
        )
    take("suggestion", [(i, "") for i in _by_effect(store, suggested)])
    near = search_by_meaning(store, query, filters, name, progress).matches
    take("meaning", [(match.feature, f"“{match.text}”") for match in near if match.similarity >= WEAK])
    ranking = text_ranking(store, query).within(store, filters)
    fires, _ = features_by_texts(store, query, ranking=ranking, limit=MOST)
    take(
        "texts",
        [(hit.feature, f"{hit.n_texts:,} of its {hit.n_kept:,} texts: {hit.excerpt}") for hit in fires],
    )
    return OneSearch(tuple(found.values()), _words(meant))


def match_frame(store: Store, matches: Sequence[FeatureMatch], name: str) -> pd.DataFrame:
    """`table.frame` of these matches in their order, for the eyes of `name`, with what each was found by."""
    found = {match.feature: match for match in matches}
    rows = store.features_page(filters=FeatureFilter(ids=list(found)), limit=len(found)).rows
    place = {feature: number for number, feature in enumerate(found)}
    rows = sorted(rows, key=lambda row: place[row.id])
    shown = frame(rows_for(store, name, rows))
    ordered = [found[row.id] for row in rows]
    shown.insert(3, "found_by", [KINDS[match.kind] for match in ordered])
    shown.insert(4, "why", [match.why for match in ordered])
    return shown


def _words(meant: Sequence[Meant]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.words for each in meant))


def _by_effect(store: Store, features: set[int]) -> list[int]:
    """The same features, with most influence on the reward first."""
    if not features:
        return []
    order = store.integers("SELECT id FROM features ORDER BY effect DESC, id DESC")
    return order[np.isin(order, list(features))].tolist()
