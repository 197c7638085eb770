"""Accepting many suggested names at once: those whose interval holds, marked as accepted so, and taken back at once."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from feature_db.errors import StoreError
from feature_db.features.standing import LEAST_VERDICT
from feature_db.label.labels import Labels
from feature_db.records import PAIRS_METHOD
from feature_db.store import Store

__all__ = ["BulkNames", "HoldingName"]

_HOLDING = f"""
SELECT s.feature, s.method, s.text, json_extract(s.evidence, '$.auc') AS auc, json_extract(s.evidence, '$.low') AS low,
    json_extract(s.evidence, '$.high') AS high, json_extract(s.evidence, '$.pairs') AS pairs, f.effect
FROM suggestions AS s JOIN features AS f ON f.id = s.feature
WHERE s.method = '{PAIRS_METHOD}' AND f.n_labels = 0 AND json_extract(s.evidence, '$.low') > 0.5
AND json_extract(s.evidence, '$.alike') IS NULL AND coalesce(json_extract(s.evidence, '$.shared_by'), 1) <= 1
AND NOT EXISTS (SELECT 1 FROM current_adjudications AS a WHERE a.feature = s.feature)
ORDER BY low DESC, f.effect DESC, s.feature
"""
_ACCEPTED = """
SELECT json_extract(data, '$.bulk') AS batch, count(*) AS names, max(time) AS time FROM current_labels
WHERE annotator = ? AND json_extract(data, '$.bulk') IS NOT NULL GROUP BY 1 ORDER BY time DESC
"""


@dataclass(frozen=True)
class HoldingName:
    """A suggested name that tells answers apart on prompts it was not made from."""

    feature: int
    method: str
    text: str
    auc: float
    """Share of pairs of answers to one prompt in which it tells which has more of the feature"""
    low: float
    high: float
    """Its interval"""
    pairs: int
    effect: float | None
    """|w| x mean z"""


class BulkNames:
    """Suggested names, accepted by one person."""

    def __init__(self, store: Store, annotator: str):
        self.store = store
        self.labels = Labels(store, annotator)

    def offered(self) -> list[HoldingName]:
        """Names of features without a label whose interval is above chance, surest first.

        Not those that say of two features the same: nobody could tell by them which is which.
        """
        return [HoldingName(**dict(row)) for row in self.store.rows(_HOLDING)]

    def accept(self, features: Sequence[int], verdict: int = LEAST_VERDICT) -> str:
        """Label each of `features` with its name in one transaction; returns the batch, for `take_back`.

        Each label carries the batch, method and interval, and takes no part in agreement: it repeats a suggestion.
        Raises PermissionRefused, or StoreError where one is not offered any more.
        """
        batch = uuid.uuid4().hex
        with self.store.write():
            offered = {name.feature: name for name in self.offered()}
            if gone := [feature for feature in features if feature not in offered]:
                raise StoreError(
                    f"feature {gone[0]} has a label by now, or its name does not hold any more; look again"
                )
            for feature in features:
                name = offered[feature]
                self.labels.label(
                    feature,
                    name.text,
                    verdict=verdict,
                    note=f"accepted with others: {name.method}, right in {name.auc:.0%} "
                    f"[{name.low:.0%}, {name.high:.0%}] of {name.pairs:,} pairs",
                    from_suggestion={"method": name.method, "text": name.text},
                    bulk=batch,
                )
        return batch

    def batches(self) -> list[tuple[str, int, int]]:
        """Batches of this person that stand, latest first: batch, names that stand, when (microseconds, UTC)."""
        rows = self.store.rows(_ACCEPTED, (self.labels.annotator,))
        return [(row["batch"], row["names"], row["time"]) for row in rows]

    def take_back(self, batch: str) -> int:
        """Undo what still stands of a batch, in one transaction; returns how many. What was edited since stays."""
        with self.store.write():
            uids = [
                row["uid"]
                for row in self.store.rows(
                    "SELECT uid FROM current_labels WHERE annotator = ? AND kind = 'label' "
                    "AND json_extract(data, '$.bulk') = ? ORDER BY time DESC",
                    (self.labels.annotator, batch),
                )
            ]
            for uid in uids:
                self.labels.undo(uid)
        return len(uids)
