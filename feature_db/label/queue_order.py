"""In which order a queue asks for features: what can be named first."""

from __future__ import annotations

from feature_db.features.catalogue import FeatureFilter
from feature_db.records import PAIRS_METHOD
from feature_db.store import Store

__all__ = ["NAMEABLE", "features_in_order"]

NAMEABLE = FeatureFilter(labelled=False, dead=False, min_density=0.001, max_density=0.05)
"""What a person may hope to name: below 0.1 % there are hardly texts to read, above 5 % rarely one meaning."""

LEAST_ACCURACY = 0.6
"""Balanced accuracy on unseen texts from which a suggestion that is not of pairs counts as nearly holding"""

# 2: told apart pairs on unseen prompts with an interval above chance; 1: nearly; 0: nobody has an idea yet.
_NAMEABLE = f"""
SELECT f.id FROM features AS f LEFT JOIN (
    SELECT feature, max(CASE
        WHEN method = '{PAIRS_METHOD}' AND json_extract(evidence, '$.low') > 0.5 THEN 2
        WHEN (1.0 * json_extract(evidence, '$.unseen.firing[0]') / json_extract(evidence, '$.unseen.firing[1]') + 1
            - 1.0 * json_extract(evidence, '$.unseen.silent[0]') / json_extract(evidence, '$.unseen.silent[1]')) / 2
            >= {LEAST_ACCURACY} THEN 1
        ELSE 0 END) AS tier
    FROM suggestions GROUP BY feature
) AS s ON s.feature = f.id
WHERE f.id IN (SELECT id FROM features WHERE {{where}})
ORDER BY coalesce(s.tier, 0) DESC, f.effect DESC, f.id LIMIT ?"""


def features_in_order(store: Store, sort: str, filters: FeatureFilter, limit: int) -> list[int]:
    """The first `limit` features that `filters` lets through, largest `sort` first (a column of the catalogue).

    "nameable" is no column: first those of which a name made of pairs holds on prompts it was not made from, then
    those of which another suggestion does better than chance on unseen texts, then the rest; each by |w| x mean z.
    Raises StoreError for an unknown sort.
    """
    if sort != "nameable":
        return [row.id for row in store.features_page(sort, filters=filters, limit=limit).rows]
    where, parameters = filters.where()
    return [row[0] for row in store.rows(_NAMEABLE.format(where=where), [*parameters, limit])]
