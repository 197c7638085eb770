"""Which category the people who labelled a feature put it in."""

from __future__ import annotations

from collections.abc import Iterable

from feature_db.sqlite.connection import Connection

__all__ = ["DISAGREED", "label_categories"]

DISAGREED = ""
"""In place of a category where current labels name several and nobody settled it."""


def label_categories(store: Connection, features: Iterable[int]) -> dict[int, str]:
    """Category of each of `features` that has one: the adjudicated one, else what all its current labels say.

    DISAGREED where the labels differ. Labels without a category say nothing. Ascending by feature.
    """
    wanted = (str([int(feature) for feature in features]),)
    among = "category IS NOT NULL AND feature IN (SELECT value FROM json_each(?))"
    found = {
        row["feature"]: row["category"] if row["n"] == 1 else DISAGREED
        for row in store.rows(
            "SELECT feature, min(category) AS category, count(DISTINCT category) AS n FROM current_labels "
            f"WHERE {among} GROUP BY feature",
            wanted,
        )
    }
    for row in store.rows(f"SELECT feature, category FROM current_adjudications WHERE {among}", wanted):
        found[row["feature"]] = row["category"]
    return dict(sorted(found.items()))
