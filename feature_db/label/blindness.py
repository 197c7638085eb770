"""Blind until submitted: whose labels a person must not read yet, and what features are called without them.

The rule. What others said of a feature is hidden from a person without a standing label on it

    "lease"   while a queue lends it to them,
    "draft"   while they have a draft of it that nothing was submitted after,
    "queue"   while a queue still wants labels of it, and they are one of those it asks: an annotator.

A closed queue neither lends nor asks. Labels that came from another store as suggestions are others' labels too.

Adjudicators and admins run the queues and settle what differs, so of them only the first two are asked; readers
cannot label, so nothing is hidden from them. Nobody (the name "") has the role of everyone: taking one's name off
shows no more. A skip does not lift the rule, as who skipped may come back and label.

It is a rule for the pages, kept here so that all of them keep the same one. It guards against forming an opinion
after reading somebody else's, not against a person who wants to read: the file, an export and another typed name
hold everything. That a feature has labels, and how many, is no opinion and is shown to everybody.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace

from feature_db.features.catalogue import Catalogue, FeatureRow, FeatureTitle
from feature_db.records import LABEL_METHOD
from feature_db.roles import EVERYONE, People
from feature_db.sqlite.connection import Connection, microseconds

__all__ = ["hidden_from", "rows_for", "titles_for", "with_opinions"]

# CROSS JOIN and the plus signs keep SQLite on the indexes by feature: by annotator or over a queue's open places it
# would read everything a busy person did, or a whole queue, for each feature (192 labelled features and 21 queues of
# 4,608 took 306 ms instead of 4).
_HIDDEN = """
SELECT f.id AS feature, CASE
    WHEN EXISTS (
        SELECT 1 FROM queues AS q CROSS JOIN assignments AS a ON a.queue = q.id AND a.feature = f.id
        WHERE q.closed IS NULL AND a.annotator = :name AND a.state = 'leased' AND a.expires > :now
    ) THEN 'lease'
    WHEN EXISTS (SELECT 1 FROM current_drafts AS d WHERE d.feature = f.id AND +d.annotator = :name) THEN 'draft'
    WHEN :asked AND EXISTS (
        SELECT 1 FROM queues AS q CROSS JOIN queue_items AS i ON i.queue = q.id AND i.feature = f.id
        WHERE q.closed IS NULL AND +i.done < i.wanted
    ) THEN 'queue'
END AS why
FROM features AS f
WHERE f.id IN (SELECT value FROM json_each(:features))
AND NOT EXISTS (SELECT 1 FROM current_labels AS l WHERE l.feature = f.id AND +l.annotator = :name)
"""


def hidden_from(store: Connection, name: str, features: Iterable[int]) -> dict[int, str]:
    """Those of `features` whose labels `name` ("" for nobody) must not read yet, each with the reason.

    Reasons are "lease", "draft" and "queue"; see the module. Cost: a few index look-ups a feature and queue.
    """
    name = People(store).spelling(name)
    role = People(store).role(name or EVERYONE)
    if role == "reader":
        return {}
    rows = store.rows(
        _HIDDEN,
        {
            "name": name,
            "now": microseconds(),
            "asked": role == "annotator",
            "features": json.dumps([int(feature) for feature in features]),
        },
    )
    return {row["feature"]: row["why"] for row in rows if row["why"] is not None}


def titles_for(store: Catalogue, name: str, features: Iterable[int]) -> dict[int, FeatureTitle]:
    """`Catalogue.titles` for the eyes of `name`: a hidden label counts as none, so a suggestion takes its place.

    Lists and charts use this, so that a name seen in passing does not undo what a page hides. Only features with
    a label are asked about: where nobody labelled, it costs no more than the titles.
    """
    titles = store.titles({int(feature) for feature in features})
    labelled = {feature for feature, title in titles.items() if title.said}
    hidden = list(_hidden_opinions(store, name, titles, labelled))
    for feature in hidden:
        del titles[feature]
    return titles | (store.unsaid_titles(hidden, opinions=False) if hidden else {})


def rows_for(store: Catalogue, name: str, rows: Sequence[FeatureRow]) -> list[FeatureRow]:
    """Rows of a page of features for the eyes of `name`, as `titles_for`; how many labels there are stays."""
    labelled = {row.id for row in rows if row.labels or row.settled}
    hidden = list(_hidden_opinions(store, name, [row.id for row in rows], labelled))
    suggested = store.first_suggestions(hidden, opinions=False) if hidden else {}

    titles = store.unsaid_titles(hidden, opinions=False) if hidden else {}

    def blind(row: FeatureRow) -> FeatureRow:
        text, accuracy = suggested.get(row.id, (None, None))
        title = titles.get(row.id)
        return replace(
            row,
            labels=(),
            settled=None,
            standing=None,
            suggestion=text,
            suggestion_accuracy=accuracy,
            example=title.text if title is not None and title.example else None,
        )

    return [blind(row) if row.id in hidden else row for row in rows]


def with_opinions(store: Connection, features: Iterable[int]) -> set[int]:
    """Those of `features` with a suggestion that is a person's label from another store."""
    rows = store.rows(
        "SELECT feature FROM suggestions WHERE method = ? AND feature IN (SELECT value FROM json_each(?))",
        (LABEL_METHOD, json.dumps([int(feature) for feature in features])),
    )
    return {row["feature"] for row in rows}


def _hidden_opinions(
    store: Connection, name: str, features: Iterable[int], labelled: set[int]
) -> dict[int, str]:
    """`hidden_from` of the features that have something to hide: those `labelled` here or in another store."""
    asked = labelled | with_opinions(store, features)
    return hidden_from(store, name, asked) if asked else {}
