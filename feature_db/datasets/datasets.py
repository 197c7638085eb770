"""The data sets of a store: kept once, listed, renamed, deleted."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from feature_db.errors import PermissionRefused, StoreError
from feature_db.records import clean_text
from feature_db.roles import ACTIONS, ROLES, People
from feature_db.sqlite.connection import Connection, microseconds

__all__ = ["LISTED", "DataSet", "DataSets", "ItemRecord"]

LISTED = 300
"""Characters of a prompt that are listed, and in which words are looked for"""
ADDRESS = 12
"""Hex digits of the hash by which a data set is called"""


@dataclass(frozen=True)
class ItemRecord:
    """One prompt with its answers, as it goes into the store.

    `unit` is equal for equal prompts, `labels` counts the orders between two answers that are stated, `length` is the
    mean of the answers' characters and `longer` how many more the better ones have. `rows` are what it was read from:
    (number of the file, row number, row).
    """

    id: str
    prompt: str
    unit: int
    answers: int
    labels: int
    length: int
    longer: float | None = None
    subset: str = ""
    own: Mapping[str, str | int | float] = field(default_factory=dict)
    rows: Sequence[tuple[int, int, Mapping[str, Any]]] = ()


@dataclass(frozen=True)
class DataSet:
    """A data set that is kept.

    `hash` is the sha256 of what it holds and how it is read, `reading` the choices of its reader, `said` as what it was
    read, `files` the name, sha256 and bytes of each file, `columns` what its rows have beside. `scored_by` says with
    what the margins were made, "" where there are none.
    """

    id: int
    hash: str
    name: str
    reading: Mapping[str, Any]
    said: tuple[str, ...]
    files: tuple[Mapping[str, Any], ...]
    columns: tuple[str, ...]
    n_items: int
    n_answers: int
    n_labels: int
    owner: str
    added: int
    scored_by: str

    @property
    def address(self) -> str:
        """What links call it: the same for the same content, in every store."""
        return self.hash[:ADDRESS]


class DataSets:
    """Keeps data sets in a store. What is in one is read and scored through `feature_db.datasets.items.Items`."""

    def __init__(self, store: Connection):
        self.store = store

    def all(self) -> list[DataSet]:
        """Every data set, the latest first."""
        return [_data_set(row) for row in self.store.rows(f"{_SELECT} ORDER BY added DESC, id DESC")]

    def get(self, address: str) -> DataSet:
        """The data set that a link calls `address`. Raises StoreError when it is not, or no longer, there."""
        address = clean_text(address)
        found = self.store.row(f"{_SELECT} WHERE substr(hash, 1, {ADDRESS}) = ?", (address,))
        if found is None:
            raise StoreError(
                f"the data set {address[:ADDRESS]!r} is not in this store: it was deleted, or is another store's; "
                "bring its file again"
            )
        return _data_set(found)

    def with_hash(self, hash: str) -> DataSet | None:
        """The data set with this content, if it is kept already."""
        found = self.store.row(f"{_SELECT} WHERE hash = ?", (hash,))
        return None if found is None else _data_set(found)

    def add(
        self,
        name: str,
        hash: str,
        items: Iterable[ItemRecord],
        *,
        columns: Iterable[str] = (),
        reading: Mapping[str, Any] | None = None,
        said: Iterable[str] = (),
        files: Iterable[Mapping[str, Any]] = (),
        by: str = "",
    ) -> tuple[DataSet, bool]:
        """Keep a data set, whole or not at all: (it, whether it is new). The same content is the same data set.

        `columns` and `said` may be lists that grow while `items` are read. Raises StoreError for a data set without
        items, PermissionRefused for who may only read, and whatever `items` raises.
        """
        name = _name(name)
        with self.store.write() as conn:
            by = self._keeper(by)
            known = self.with_hash(hash)
            if known is not None:
                return known, False
            number = conn.execute(
                "INSERT INTO datasets (hash, name, reading, said, files, columns, n_items, n_answers, n_labels, owner, "
                "added) VALUES (?, ?, ?, '[]', ?, '[]', 0, 0, 0, ?, ?) RETURNING id",
                (hash, name, _json(dict(reading or {})), _json(list(files)), by, microseconds()),
            ).fetchone()[0]
            self._insert_items(number, items)
            conn.execute(
                "UPDATE datasets SET said = ?, columns = ?, (n_items, n_answers, n_labels) = ("
                "SELECT count(*), ifnull(sum(answers), 0), ifnull(sum(labels), 0) FROM dataset_items "
                "WHERE dataset = datasets.id"
                ") WHERE id = ?",
                (_json(list(said)), _json(list(columns)), number),
            )
            self._fill_values(number, columns)
            made = self.with_hash(hash)
            if made is None or not made.n_items:
                raise StoreError(f"{name}: holds no answers, so there is nothing to keep")
        return made, True

    def _insert_items(self, number: int, items: Iterable[ItemRecord]) -> None:
        conn = self.store.conn
        kept: list[tuple[Any, ...]] = []
        rows: list[tuple[Any, ...]] = []
        values: list[tuple[Any, ...]] = []

        def flush() -> None:
            conn.executemany(
                "INSERT INTO dataset_items (dataset, number, id, prompt, unit, subset, answers, labels, length, "
                "longer, own, verdict, shortest, shorter) VALUES "
                "(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, iif(?8 = 0, 'unlabelled', 'unscored'), -?9, -?10)",
                kept,
            )
            conn.executemany(
                "INSERT INTO dataset_rows (dataset, item, file, row, body) VALUES (?, ?, ?, ?, ?)", rows
            )
            conn.executemany(
                "INSERT INTO dataset_values (dataset, name, value, item) VALUES (?, ?, ?, ?)", values
            )
            for batch in (kept, rows, values):
                batch.clear()

        for place, item in enumerate(items):
            prompt = clean_text(" ".join(item.prompt[: 4 * LISTED].split()))[:LISTED]
            own = {clean_text(key): clean_value(value) for key, value in item.own.items()}
            kept.append(
                (number, place, clean_text(item.id), prompt, item.unit, clean_text(item.subset), item.answers,
                 item.labels, item.length, item.longer, _json(own))
            )  # fmt: skip
            rows += [(number, place, file, row, _json(dict(body))) for file, row, body in item.rows]
            values += [(number, key, value, place) for key, value in own.items()]
            if len(kept) >= _BATCH:
                flush()
        flush()

    def _fill_values(self, number: int, columns: Iterable[str]) -> None:
        """Every item has some value of every column, so that sorting by one leaves none out."""
        for column in columns:
            self.store.conn.execute(
                "INSERT INTO dataset_values (dataset, name, value, item) "
                "SELECT :number, :name, '', i.number FROM dataset_items AS i WHERE i.dataset = :number AND NOT EXISTS ("
                "SELECT 1 FROM json_each(i.own) WHERE key = :name)",
                {"number": number, "name": clean_text(column)},
            )

    def rename(self, address: str, name: str, by: str) -> None:
        """Call it otherwise. Raises PermissionRefused unless `by` may change it, StoreError."""
        name = _name(name)
        with self.store.write() as conn:
            found = self._require_change(address, by)
            conn.execute("UPDATE datasets SET name = ? WHERE id = ?", (name, found.id))

    def delete(self, address: str, by: str) -> None:
        """Remove it with its rows and scores. Raises PermissionRefused unless `by` may change it, StoreError."""
        with self.store.write() as conn:
            conn.execute("DELETE FROM datasets WHERE id = ?", (self._require_change(address, by).id,))

    def may_change(self, of: DataSet, by: str) -> bool:
        """Whether `by` ("" for who gives no name) may rename and delete it: who brought it may, and an admin."""
        people = People(self.store)
        name = people.spelling(clean_text(by))
        return self.may_keep(name) and (of.owner == name or (name != "" and people.role(name) == "admin"))

    def may_keep(self, by: str) -> bool:
        """Whether `by` may bring data sets."""
        role = People(self.store).role(clean_text(by))
        return not self.store.looks_only and ROLES.index(role) >= ROLES.index(ACTIONS["keep"])

    def _require_change(self, address: str, by: str) -> DataSet:
        found = self.get(address)
        if not self.may_change(found, by):
            raise PermissionRefused(
                f"this is the data set of {found.owner or 'who gave no name'}: they or an admin change it"
            )
        return found

    def _keeper(self, by: str) -> str:
        people = People(self.store)
        by = people.spelling(clean_text(by))
        people.check_may_keep(by)
        people.remember(by)
        return by


_BATCH = 1000
_SELECT = (
    "SELECT id, hash, name, reading, said, files, columns, n_items, n_answers, n_labels, owner, added, scored_by "
    "FROM datasets"
)


def clean_value(value: str | int | float) -> str | int | float:
    """A value of a column of one's own, as it is kept: whole numbers too large for SQLite as text."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) and abs(value) >= 2**63 else value


def _data_set(row: Any) -> DataSet:
    values = dict(row)
    loaded = {key: json.loads(values[key]) for key in ("reading", "said", "files", "columns")}
    lists = {key: tuple(loaded[key]) for key in ("said", "files", "columns")}
    return DataSet(**{**values, **loaded, **lists})


def _json(value: Any) -> str:
    return clean_text(json.dumps(value, ensure_ascii=False, allow_nan=False))


def _name(name: str) -> str:
    name = " ".join(clean_text(name).split())[:200]
    if not name:
        raise StoreError("a data set needs a name")
    return name
