"""What each feature's name rests on: people, pairs of answers, another method, an example of its own, or nothing."""

from __future__ import annotations

import json
from collections.abc import Collection

from feature_db.features.standing import standings
from feature_db.records import LABEL_METHOD
from feature_db.sqlite.connection import Connection

__all__ = ["EVIDENCE_KINDS", "NAMED", "evidence_kinds"]

EVIDENCE_KINDS = {
    "settled": "settled by an adjudicator",
    "labels": "several labels that agree",
    "label": "one label",
    "pairs": "names that hold on pairs",
    "suggested": "other suggestions",
    "example": "examples only",
    "none": "no name",
}
"""From the strongest evidence to none, with what to call it."""
NAMED = ("settled", "labels", "label")
"""Kinds of names that people gave"""


def evidence_kinds(store: Connection, *, hidden: Collection[int] = ()) -> dict[int, str]:
    """The strongest kind of evidence of each feature's name; a feature that is not there has "none".

    A label that makes no name (disputed, without a verdict that there is a pattern) counts as none, and so do the
    labels of `hidden` features, here or from another store. A suggestion holds on pairs when the interval of its test
    on pairs of answers lies above a half; what several features would be called alike is no name.
    """
    kinds = {
        row[0]: "example"
        for row in store.rows(
            "SELECT DISTINCT feature FROM examples WHERE kind = 'top' AND purpose = 'label' AND activation > 0"
        )
    }
    unseen = set(hidden)
    for feature, opinion, holds in store.rows(
        "SELECT feature, method = ?, json_type(evidence, '$.pairs') = 'integer' "
        "AND json_type(evidence, '$.low') = 'real' AND json_extract(evidence, '$.low') > 0.5 "
        "AND json_type(evidence, '$.holds') IS NOT 'false' FROM suggestions "
        "WHERE json_valid(evidence) AND NOT coalesce(json_extract(evidence, '$.shared_by'), 0) > 1",
        (LABEL_METHOD,),
    ):
        if opinion and feature in unseen:
            continue
        if holds or kinds.get(feature) != "pairs":
            kinds[feature] = "pairs" if holds else "suggested"
    labelled = store.rows(
        "SELECT feature FROM current_labels UNION SELECT feature FROM current_adjudications "
        "EXCEPT SELECT value FROM json_each(?)",
        (json.dumps(sorted(unseen)),),
    )
    for feature, standing in standings(store, [row[0] for row in labelled]).items():
        if standing.name:
            alone = "label" if standing.note == "1 label" else "labels"
            kinds[feature] = "settled" if standing.note == "settled" else alone
    return kinds
