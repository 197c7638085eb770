"""What is in a data set: pages of a slice, its counts, its rows, and the scores of its items."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from feature_db.datasets.datasets import DataSet, DataSets
from feature_db.datasets.slices import SORTS, VERDICTS, Slice
from feature_db.errors import StoreError
from feature_db.sqlite.connection import Connection

__all__ = ["Counts", "Credit", "Item", "ItemScore", "Items", "KeptRow"]


@dataclass(frozen=True)
class Item:
    """One prompt of a data set as a table shows it; `number` counts from 0 as the data set stands.

    Of `labels` stated orders the model agrees with `won` and finds `tied` equal; `margin` is the mean lead of the
    better answers. All three are None before it was scored. `verdict` is one of
    `slices.VERDICTS`.
    """

    number: int
    id: str
    prompt: str
    subset: str
    answers: int
    labels: int
    length: int
    longer: float | None
    own: Mapping[str, Any]
    won: int | None
    tied: int | None
    margin: float | None
    verdict: str


class KeptRow(NamedTuple):
    """A row as its file held it: `file` and `row` number count from 0 and 1."""

    item: int
    file: int
    row: int
    body: dict[str, Any]


class ItemScore(NamedTuple):
    """What the model makes of the labels of an item (see `Item`)."""

    number: int
    won: int
    tied: int
    margin: float | None


@dataclass(frozen=True)
class Counts:
    """How many items of a slice there are, how many `answers` and `labels` they have, and how many of them are of each
    verdict; `labels_won` and `labels_tied` count orders, of `labels_scored`."""

    items: int
    labels: int
    labels_scored: int
    labels_won: int
    labels_tied: int
    verdicts: Mapping[str, int]


class Credit(NamedTuple):
    """`prompts` prompts have `items` scored items each, which together agree with `won` of them (shares of orders)."""

    won: float
    items: int
    prompts: int


class Items:
    """The items of one data set. Raises StoreError when it was deleted meanwhile."""

    def __init__(self, store: Connection, address: str):
        self.store = store
        self.of: DataSet = DataSets(store).get(address)

    # -- a slice -----------------------------------------------------------------------------------------

    def page(self, of: Slice, *, limit: int = 50, offset: int = 0) -> list[Item]:
        """Items of the slice in its order, `limit` from the one numbered `offset` on."""
        where, values = of.condition(self.of.id)
        values |= {"limit": limit, "offset": offset}
        source, order = self._order(of, values)
        # Their numbers first, which the index of the sort holds: of the items before them nothing is read.
        numbers = [
            row[0]
            for row in self.store.rows(
                f"SELECT i.number FROM {source} WHERE {where} ORDER BY {order} LIMIT :limit OFFSET :offset",
                values,
            )
        ]
        found = self.store.rows(
            f"SELECT {_COLUMNS} FROM dataset_items AS i WHERE i.dataset = ? AND i.number IN "
            f"({', '.join('?' * len(numbers))})",
            (self.of.id, *numbers),
        )
        by_number = {row["number"]: _item(row) for row in found}
        return [by_number[number] for number in numbers if number in by_number]

    def _order(self, of: Slice, values: dict[str, Any]) -> tuple[str, str]:
        """What to select from, and the order. Raises StoreError for a sort that there is not."""
        if (own := of.own_sort) is not None:
            column, descending = own
            if column not in self.of.columns:
                raise StoreError(f"{self.of.name}: has no column {column!r} to sort by")
            values["own"] = column
            down = " DESC" if descending else ""
            source = (
                "dataset_values AS v CROSS JOIN dataset_items AS i "
                "ON v.dataset = :dataset AND v.name = :own AND i.dataset = v.dataset AND i.number = v.item"
            )
            return source, f"v.value{down}, v.item{down}"
        if of.sort not in SORTS:
            raise StoreError(f"there is no sort {of.sort!r}: use one of {', '.join(SORTS)}")
        return "dataset_items AS i", "i.number" if of.sort == "file" else f"i.{of.sort} DESC, i.number"

    def count(self, of: Slice) -> int:
        """How many items are in the slice."""
        where, values = of.condition(self.of.id)
        return int(self.store.value(f"SELECT count(*) FROM dataset_items AS i WHERE {where}", values))

    def counts(self, of: Slice) -> Counts:
        """What there is in the slice (see `Counts`)."""
        where, values = of.condition(self.of.id)
        found = self.store.rows(
            "SELECT verdict, count(*), sum(labels), total(won), total(tied) FROM dataset_items AS i "
            f"WHERE {where} GROUP BY verdict",
            values,
        )
        scored = [row for row in found if row[0] not in ("unscored", "unlabelled")]
        return Counts(
            items=sum(row[1] for row in found),
            labels=sum(row[2] for row in found),
            labels_scored=sum(row[2] for row in scored),
            labels_won=int(sum(row[3] for row in scored)),
            labels_tied=int(sum(row[4] for row in scored)),
            verdicts={kind: next((row[1] for row in found if row[0] == kind), 0) for kind in VERDICTS},
        )

    def credits(self, of: Slice) -> list[Credit]:
        """The scored items of the slice by prompt, alike prompts together: what an interval over prompts needs.

        The orders of one item weigh one together.
        """
        where, values = of.condition(self.of.id)
        found = self.store.rows(
            "SELECT credit, items, count(*) FROM (SELECT total(1.0 * won / labels) AS credit, count(*) AS items "
            f"FROM dataset_items AS i WHERE {where} AND verdict IN ('agrees', 'disagrees', 'ties') GROUP BY unit) "
            "GROUP BY credit, items",
            values,
        )
        return [Credit(*row) for row in found]

    def subsets(self, limit: int = 200) -> list[tuple[str, int]]:
        """(Subset, items), the largest first, at most `limit`; "" where an item has none."""
        found = self.store.rows(
            "SELECT subset, count(*) AS n FROM dataset_items WHERE dataset = ? GROUP BY subset ORDER BY n DESC, subset "
            "LIMIT ?",
            (self.of.id, limit),
        )
        return [(row[0], row[1]) for row in found]

    def values(self, column: str, limit: int = 100) -> list[tuple[Any, int]]:
        """(Value, items) of a column of one's own, the most frequent first; "" where an item has none."""
        found = self.store.rows(
            "SELECT value, count(*) AS n FROM dataset_values WHERE dataset = ? AND name = ? GROUP BY value "
            "ORDER BY n DESC, value LIMIT ?",
            (self.of.id, column, limit),
        )
        return [(row[0], row[1]) for row in found]

    # -- one item ----------------------------------------------------------------------------------------

    def item(self, number: int) -> Item:
        """One item. Raises StoreError when there is none with this number."""
        row = self.store.row(
            f"SELECT {_COLUMNS} FROM dataset_items AS i WHERE i.dataset = ? AND i.number = ?",
            (self.of.id, number),
        )
        if row is None:
            raise StoreError(f"{self.of.name}: has no item {number + 1}, but {self.of.n_items:,}")
        return _item(row)

    def place(self, of: Slice, number: int) -> int | None:
        """How many items of the slice stand before one, in its order; None when it is not in the slice."""
        where, values = of.condition(self.of.id)
        values["number"] = number
        source, order = self._order(of, values)
        found = self.store.value(
            f"SELECT place FROM (SELECT i.number AS number, row_number() OVER (ORDER BY {order}) - 1 AS place "
            f"FROM {source} WHERE {where}) WHERE number = :number",
            values,
        )
        return None if found is None else int(found)

    def rows_of(self, number: int) -> list[KeptRow]:
        """The rows that an item was read from, as their files held them."""
        found = self.store.rows(f"{_ROWS} AND item = ? ORDER BY item, rowid", (self.of.id, number))
        return [_row(row) for row in found]

    def rows(self, of: Slice) -> Iterator[KeptRow]:
        """Every row of the slice's items, as the data set stands: what another page reads as a file."""
        where, values = of.condition(self.of.id)
        if of.is_all:
            found = self.store.conn.execute(f"{_ROWS} ORDER BY item, rowid", (self.of.id,))
        else:
            found = self.store.conn.execute(
                "SELECT item, file, row, body FROM dataset_rows WHERE dataset = :dataset AND item IN ("
                f"SELECT i.number FROM dataset_items AS i WHERE {where}) ORDER BY item, rowid",
                values,
            )
        for row in found:
            yield _row(row)

    # -- scores ------------------------------------------------------------------------------------------

    def to_score(self, scored_by: str, limit: int) -> list[int]:
        """The next items with labels that `scored_by` has not scored, at most `limit`."""
        other = "" if scored_by == self._scored_by() else " OR labels > 0"
        found = self.store.rows(
            f"SELECT number FROM dataset_items WHERE dataset = ? AND (verdict = 'unscored'{other}) "
            "ORDER BY number LIMIT ?",
            (self.of.id, limit),
        )
        return [row[0] for row in found]

    def n_to_score(self, scored_by: str) -> int:
        """How many items `scored_by` has yet to score."""
        other = "" if scored_by == self._scored_by() else " OR labels > 0"
        return int(
            self.store.value(
                f"SELECT count(*) FROM dataset_items WHERE dataset = ? AND (verdict = 'unscored'{other})",
                (self.of.id,),
            )
        )

    def keep_scores(self, scored_by: str, scores: Iterable[ItemScore]) -> None:
        """Keep what `scored_by` (weights, precision, tokenizer) made of some items; what another made is forgotten.

        Raises StoreError when the data set was deleted meanwhile.
        """
        with self.store.write() as conn:
            now = DataSets(self.store).get(self.of.address)
            if now.scored_by != scored_by:
                conn.execute(
                    "UPDATE dataset_items SET won = NULL, tied = NULL, margin = NULL, worst = NULL, close = NULL, "
                    "verdict = 'unscored' WHERE dataset = ? AND won IS NOT NULL",
                    (now.id,),
                )
                conn.execute("UPDATE datasets SET scored_by = ? WHERE id = ?", (scored_by, now.id))
            conn.executemany(
                "UPDATE dataset_items SET won = ?1, tied = ?2, margin = ?3, worst = -?3, close = -abs(?3), "
                "verdict = CASE WHEN 2 * ?1 + ?2 > labels THEN 'agrees' WHEN 2 * ?1 + ?2 = labels THEN 'ties' "
                "ELSE 'disagrees' END "
                "WHERE dataset = ?4 AND number = ?5",
                [(score.won, score.tied, score.margin, now.id, score.number) for score in scores],
            )

    def _scored_by(self) -> str:
        return str(self.store.value("SELECT scored_by FROM datasets WHERE id = ?", (self.of.id,)) or "")


_COLUMNS = (
    "i.number, i.id, i.prompt, i.subset, i.answers, i.labels, i.length, i.longer, i.own, i.won, i.tied, i.margin, "
    "i.verdict"
)
_ROWS = "SELECT item, file, row, body FROM dataset_rows WHERE dataset = ?"


def _item(row: Any) -> Item:
    return Item(**{**dict(row), "own": json.loads(row["own"])})


def _row(row: Any) -> KeptRow:
    return KeptRow(row[0], row[1], row[2], json.loads(row[3]))
