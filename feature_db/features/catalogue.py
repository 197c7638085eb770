"""Reading features: one, a sorted and filtered page of many, or all of them as arrays for a scatter."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from feature_db.errors import StoreError
from feature_db.features.search import quote_query
from feature_db.features.standing import Standing, standings
from feature_db.records import LABEL_METHOD, PAIRS_METHOD, FeatureRecord
from feature_db.sqlite.blobs import unpack_array, unpack_sparse
from feature_db.sqlite.connection import Connection

__all__ = ["SORTS", "Catalogue", "FeatureFilter", "FeatureRow", "FeatureTitle", "FeatureView", "FeaturesPage"]

SORTS = ("id", "head_weight", "abs_weight", "effect", "density", "mean", "max", "n_labels")
"""Columns a table of features can be sorted by; "effect" is |w| x mean z over all positions."""

_ROW_COLUMNS = "id, head_weight, firing_count, denominator, density, mean, max, effect, n_labels"
EXAMPLE_WORDS, EXAMPLE_LETTERS = 7, 60


@dataclass(frozen=True)
class FeatureFilter:
    """Which features to list; every condition that is set must hold. Bounds include their ends."""

    ids: Sequence[int] | None = None
    labelled: bool | None = None
    min_density: float | None = None
    max_density: float | None = None
    """Hides dense features, and keeps those whose density is unknown."""
    min_abs_weight: float | None = None
    min_effect: float | None = None
    min_firing_count: int | None = None
    """Hides features whose count is unknown, too."""
    dead: bool | None = None
    """True for features that fired nowhere, False for all others. One whose density is unknown is not known to be
    dead; a density may be known without counts."""
    weight_sign: int | None = None
    """+1 or -1"""
    flagged: bool | None = None
    suggested: bool | None = None
    disputed: bool | None = None
    """At least two people whose categories or verdicts differ (`agreement.disagreements`), and nobody settled it."""
    list_id: int | None = None
    query: str | None = None
    """Words in the text a feature was settled on, else in its current labels, or in a suggestion."""

    def where(self) -> tuple[str, list[Any]]:
        """The SQL condition on `features` and its parameters."""
        conditions: list[str] = []
        parameters: list[Any] = []

        def add(condition: str, *values: Any) -> None:
            conditions.append(condition)
            parameters.extend(values)

        for value, condition in (
            (self.min_density, "density >= ?"),
            (self.max_density, "coalesce(density, 0) <= ?"),
            (self.min_abs_weight, "abs_weight >= ?"),
            (self.min_effect, "effect >= ?"),
            (self.min_firing_count, "firing_count >= ?"),
            (self.list_id, "id IN (SELECT feature FROM list_items WHERE list = ?)"),
        ):
            if value is not None:
                add(condition, value)
        if self.ids is not None:
            marks = ", ".join(str(int(feature)) for feature in self.ids)
            add(f"id IN ({marks})")
        if self.dead is not None:
            add("density = 0" if self.dead else "density IS NOT 0")
        if self.labelled is not None:
            add("n_labels > 0" if self.labelled else "n_labels = 0")
        if self.weight_sign is not None:
            add("head_weight > 0" if self.weight_sign > 0 else "head_weight < 0")
        for wanted, table in (
            (self.flagged, "SELECT feature FROM current_flags"),
            (self.suggested, "SELECT feature FROM suggestions"),
            (self.disputed, _DISPUTED),
        ):
            if wanted is not None:
                add(f"id {'' if wanted else 'NOT '}IN ({table})")
        if self.query is not None:
            match = quote_query(self.query)
            if match is None:
                add("0")
            else:
                add(f"id IN ({_MATCHING})", match, match)
        return (" AND ".join(conditions) or "1"), parameters


_DIFFER = "(min(category) <> max(category) OR min(verdict) <> max(verdict))"
# People differ, not labels: of somebody who has several after a merge the latest counts, as in `standing_ratings`.
# Only where labels differ and somebody has several are they looked at one by one.
_DISPUTED = f"""
SELECT feature FROM current_labels AS l GROUP BY feature
HAVING {_DIFFER} AND (count(*) = count(DISTINCT annotator) OR (
    SELECT {_DIFFER} FROM (
        SELECT category, verdict, row_number() OVER (PARTITION BY annotator ORDER BY time DESC, uid DESC) AS place
        FROM current_labels WHERE feature = l.feature
    ) WHERE place = 1
))
EXCEPT SELECT feature FROM current_adjudications"""
_MATCHING = (
    "SELECT feature FROM labels_fts WHERE labels_fts MATCH ? UNION ALL "
    "SELECT feature FROM suggestions WHERE id IN "
    "(SELECT rowid FROM suggestions_fts WHERE suggestions_fts MATCH ?)"
)
# NULL where a count is missing or 0.
_ACCURACY = (
    "coalesce(json_extract(evidence, '$.auc'), "
    "(1.0 * json_extract(evidence, '$.unseen.firing[0]') / json_extract(evidence, '$.unseen.firing[1]') + 1"
    " - 1.0 * json_extract(evidence, '$.unseen.silent[0]') / json_extract(evidence, '$.unseen.silent[1]')) / 2)"
)


@dataclass(frozen=True)
class FeatureRow:
    """One row of the table of features."""

    id: int
    head_weight: float | None
    firing_count: int | None
    denominator: int | None
    density: float | None
    mean: float | None
    max: float | None
    effect: float | None
    n_labels: int
    labels: tuple[str, ...] = ()
    """Current labels, oldest first."""
    settled: str | None = None
    """The text an adjudicator settled on; what the feature is called, whatever its labels say."""
    standing: Standing | None = None
    """What the labels and the settling come to; None where nobody said anything."""
    suggestion: str | None = None
    """The first suggestion; shown only as such."""
    example: str | None = None
    """Of a feature without one: how the answer begins in which it is strongest."""
    suggestion_accuracy: float | None = None
    """Balanced accuracy of that suggestion on texts it was not made from, 0 to 1; None where it was not tried."""


@dataclass(frozen=True)
class FeaturesPage:
    """One page, and how many features the filter lets through in all."""

    rows: list[FeatureRow]
    total: int


@dataclass(frozen=True)
class FeatureView:
    """Everything the page of one feature shows except its examples and label history."""

    record: FeatureRecord
    effect: float | None
    n_labels: int
    weight_rank: int | None
    """1 for the largest |w| of the dictionary."""
    suggestions: list[dict[str, Any]] = field(default_factory=list)
    labels: list[dict[str, Any]] = field(default_factory=list)
    neighbour_names: dict[int, str] = field(default_factory=dict)
    """`Catalogue.names` of each neighbour and co-firing feature."""


@dataclass(frozen=True)
class FeatureTitle:
    """What a feature is called, and what has to be said beside it."""

    text: str
    """"" where people labelled it without making a name, and no program suggested one."""
    suggested: bool
    """By a program, not by a person."""
    doubt: str = ""
    example: bool = False
    """No name: how the answer begins in which it is strongest."""
    """What weakens the labels: "1 label", or why they make no name (`standing.Standing.doubt`)."""

    @property
    def said(self) -> bool:
        """Whether people's labels had a say in it."""
        return bool(self.doubt) or not (self.suggested or self.example)

    @property
    def mark(self) -> str:
        """The words that stand beside the name wherever it is shown; "" for a name that holds."""
        origin = "example" if self.example else "suggested" if self.suggested else ""
        return ", ".join(word for word in (origin, self.doubt) if word)


class Catalogue(Connection):
    """Reading features."""

    def feature(self, feature: int) -> FeatureView:
        """One feature with its statistics. Raises StoreError when the dictionary or the store lacks it."""
        feature = self.check_feature(feature)
        row = self.row(
            f"SELECT {_ROW_COLUMNS}, abs_weight, histogram_edges, histogram_counts, neighbours, "
            "cofiring_features, cofiring_counts, cofiring_of FROM features LEFT JOIN feature_details ON feature = id "
            "WHERE id = ?",
            (feature,),
        )
        if row is None:
            raise StoreError(f"feature {feature} was not harvested into this store")
        rank = None
        if row["abs_weight"] is not None:
            rank = 1 + self.value("SELECT count(*) FROM features WHERE abs_weight > ?", (row["abs_weight"],))
        record = _record(row)
        related = {i for i, _ in record.neighbours} | {i for i, _ in record.cofiring}
        return FeatureView(
            record,
            row["effect"],
            row["n_labels"],
            rank,
            [
                dict(found)
                for found in self.rows(
                    "SELECT id, method, text, evidence FROM suggestions WHERE feature = ? "
                    "ORDER BY method, id",
                    (feature,),
                )
            ],
            [
                dict(found)
                for found in self.rows(
                    "SELECT uid, annotator, text, category, verdict, confidence, note, time "
                    "FROM current_labels WHERE feature = ? ORDER BY time, uid",
                    (feature,),
                )
            ],
            self.names(related),
        )

    def features_page(
        self,
        sort: str = "effect",
        descending: bool = True,
        filters: FeatureFilter | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> FeaturesPage:
        """A page of features, sorted and filtered in SQL. Raises StoreError for an unknown sort column.

        Ties go by id in the same direction; features without the number come last in both.
        """
        if sort not in SORTS:
            raise StoreError(f"cannot sort by {sort!r}: choose one of {', '.join(SORTS)}")
        if limit < 0 or offset < 0:
            raise StoreError("limit and offset must not be negative")
        where, parameters = (filters or FeatureFilter()).where()
        # SQLite takes NULL for the smallest of all.
        order = f"{sort} {'DESC' if descending else 'ASC NULLS LAST'}"
        if sort != "id":
            order += f", id {'DESC' if descending else 'ASC'}"
        with self.snapshot():
            total = self.value(f"SELECT count(*) FROM features WHERE {where}", parameters)
            rows = self.rows(
                f"SELECT {_ROW_COLUMNS} FROM features WHERE {where} ORDER BY {order} LIMIT ? OFFSET ?",
                [*parameters, limit, offset],
            )
            ids = [row["id"] for row in rows]
            labels = self._labels_of(ids)
            settled = self._settled_of(ids)
            standing = standings(self, ids)
            suggested = self.first_suggestions(ids)
            examples = self._examples_of([i for i in ids if i not in suggested])
        return FeaturesPage(
            [
                FeatureRow(
                    **dict(row),
                    labels=labels.get(row["id"], ()),
                    settled=settled.get(row["id"]),
                    standing=standing.get(row["id"]),
                    suggestion=suggested.get(row["id"], (None, None))[0],
                    suggestion_accuracy=suggested.get(row["id"], (None, None))[1],
                    example=examples.get(row["id"]),
                )
                for row in rows
            ],
            total,
        )

    def records(self) -> list[FeatureRecord]:
        """Every feature of the store with all its statistics, by id; for exports."""
        return [
            _record(row)
            for row in self.conn.execute(
                "SELECT * FROM features LEFT JOIN feature_details ON feature = id ORDER BY id"
            )
        ]

    def densities(self) -> dict[str, npt.NDArray[np.generic]]:
        """All features as columns for a scatter: int64 "id", "n_labels"; float64 "head_weight", "density",
        "mean", "max", "effect" (nan where unknown); each [features in the store]."""
        names = ("id", "n_labels", "head_weight", "density", "mean", "max", "effect")
        cursor = self.conn.cursor()
        cursor.row_factory = None  # plain tuples: half the time of rows with names
        rows = cursor.execute(f"SELECT {', '.join(names)} FROM features ORDER BY id").fetchall()
        table = np.array(rows, dtype=np.float64).reshape(-1, len(names))  # NULL becomes nan
        return {
            name: table[:, place].astype(np.int64 if place < 2 else np.float64)
            for place, name in enumerate(names)
        }

    def head(self) -> npt.NDArray[np.float32]:
        """Head weights as stored, float32 [M]; nan where the store has none."""
        head = np.full(self.model.n_features, np.nan, dtype=np.float32)
        for feature, weight in self.conn.execute("SELECT id, head_weight FROM features"):
            head[feature] = np.nan if weight is None else weight
        return head

    def titles(self, features: Sequence[int] | set[int]) -> dict[int, FeatureTitle]:
        """What to call each feature that has a name, a suggestion, an example or a label.

        The name its labels make (`standings`: what was settled, else the latest label where its verdict says that there
        is a pattern and nobody disagrees), else its first suggestion, else how the answer begins in which it is
        strongest, else "", with what stands beside it.
        """
        ids = [int(feature) for feature in features]
        titles = self.unsaid_titles(ids)
        for i, standing in standings(self, ids).items():
            if standing.name or i not in titles:
                titles[i] = FeatureTitle(standing.name, False, standing.doubt)
            else:
                titles[i] = replace(titles[i], doubt=standing.doubt)
        return titles

    def unsaid_titles(self, features: Sequence[int], *, opinions: bool = True) -> dict[int, FeatureTitle]:
        """`titles` as if nobody had labelled anything; without `opinions` not even in another store."""
        titles = {
            i: FeatureTitle(text, True)
            for i, (text, _) in self.first_suggestions(features, opinions=opinions).items()
        }
        unnamed = [i for i in features if i not in titles]
        return titles | {
            i: FeatureTitle(text, False, example=True) for i, text in self._examples_of(unnamed).items()
        }

    def names(self, features: Sequence[int] | set[int]) -> dict[int, str]:
        """`titles` as one text each, with its mark."""
        return {
            i: f"{title.text} ({title.mark})".lstrip() if title.mark else title.text
            for i, title in self.titles(features).items()
        }

    def densities_of(self, features: Sequence[int] | set[int]) -> dict[int, float]:
        """Density of each of `features` that the store knows it of."""
        rows = self.rows(
            "SELECT id, density FROM features WHERE density IS NOT NULL "
            "AND id IN (SELECT value FROM json_each(?))",
            (str([int(feature) for feature in features]),),
        )
        return {row["id"]: row["density"] for row in rows}

    def _labels_of(self, ids: Sequence[int]) -> dict[int, tuple[str, ...]]:
        found: dict[int, tuple[str, ...]] = {}
        for row in self.rows(
            "SELECT feature, text FROM current_labels WHERE feature IN (SELECT value FROM json_each(?)) "
            "ORDER BY time, uid",
            (str(list(ids)),),
        ):
            found[row["feature"]] = (*found.get(row["feature"], ()), row["text"])
        return found

    def _settled_of(self, ids: Sequence[int]) -> dict[int, str]:
        rows = self.rows(
            "SELECT feature, text FROM current_adjudications "
            "WHERE text <> '' AND feature IN (SELECT value FROM json_each(?))",
            (str(list(ids)),),
        )
        return {row["feature"]: row["text"] for row in rows}

    def _examples_of(self, ids: Sequence[int]) -> dict[int, str]:
        """The first words of the answer in which each feature is strongest, of the texts kept for labelling."""
        rows = self.rows(
            "SELECT feature, messages, max(activation) FROM examples JOIN texts ON texts.id = text "
            "WHERE feature IN (SELECT value FROM json_each(?)) AND kind = 'top' AND purpose = 'label' GROUP BY feature",
            (str(list(ids)),),
        )
        found = {}
        for row in rows:
            turns = json.loads(row["messages"])
            words = str(turns[-1].get("content") or "").split()[:EXAMPLE_WORDS] if turns else []
            if words:
                found[row["feature"]] = f"“{' '.join(words)[:EXAMPLE_LETTERS]} …”"
        return found

    def first_suggestions(
        self, features: Sequence[int], *, opinions: bool = True
    ) -> dict[int, tuple[str, float | None]]:
        """The first suggestion of each feature that names no other, and its balanced accuracy on unseen texts.

        Labels of another store come first, then names made of pairs, then what was suggested first; last what says of
        itself that it does not hold. Without `opinions` the first that is no label of another store. What several
        features would be called alike is left out.
        """
        rows = self.rows(
            f"SELECT feature, text, {_ACCURACY} AS accuracy FROM suggestions "
            "WHERE feature IN (SELECT value FROM json_each(?)) AND (? OR method <> ?) "
            "AND NOT coalesce(json_extract(evidence, '$.shared_by'), 0) > 1 "
            "ORDER BY method = ?, method = ?, json_type(evidence, '$.holds') IS NOT 'false', id DESC",
            (str(list(features)), opinions, LABEL_METHOD, LABEL_METHOD, PAIRS_METHOD),
        )
        return {
            row["feature"]: (
                row["text"],
                row["accuracy"] if isinstance(row["accuracy"], float) and 0 <= row["accuracy"] <= 1 else None,
            )
            for row in rows
        }


def _record(row: sqlite3.Row) -> FeatureRecord:
    edges = counts = None
    if row["histogram_edges"] is not None:
        edges = unpack_array(row["histogram_edges"], "<f8")
        counts = unpack_array(row["histogram_counts"], "<i8")
    neighbours: list[tuple[int, float]] = []
    if row["neighbours"] is not None:
        ids, cosines = unpack_sparse(row["neighbours"])
        neighbours = list(zip(ids.tolist(), cosines.tolist(), strict=True))
    cofiring: list[tuple[int, int]] = []
    if row["cofiring_features"] is not None:
        with_ids = unpack_array(row["cofiring_features"], "<i4").tolist()
        cofiring = list(zip(with_ids, unpack_array(row["cofiring_counts"], "<i8").tolist(), strict=True))
    return FeatureRecord(
        row["id"],
        row["head_weight"],
        row["firing_count"],
        row["denominator"],
        row["density"],
        row["mean"],
        row["max"],
        edges,
        counts,
        neighbours,
        cofiring,
        row["cofiring_of"],
    )
