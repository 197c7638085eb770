"""Runs: what was found, evaluated, learned and proposed, with how it was made, its figures and what it decided."""

from __future__ import annotations

import hashlib
import json
import secrets
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from feature_db.errors import PermissionRefused, StoreError
from feature_db.records import clean_text
from feature_db.roles import People
from feature_db.sqlite.connection import Connection, microseconds

__all__ = ["KINDS", "Decided", "Run", "RunRecord", "Runs"]

KINDS = ("find", "evaluation", "learned", "proposal")
_LETTERS = "23456789abcdefghjkmnpqrstuvwxyz"
_DTYPE = np.dtype([("key", "<i8"), ("unit", "<i4"), ("before", "<f4"), ("after", "<f4")])


@dataclass(frozen=True)
class Decided:
    """What an evaluation decided, [n] each: `keys` int64 names the two answers of a decision (64 bits of a hash, so the
    same in every run), `units` its prompt, `before` and `after` the credit without and with the steering (1 right)."""

    keys: npt.NDArray[np.int64]
    units: npt.NDArray[np.int32]
    before: npt.NDArray[np.float32]
    after: npt.NDArray[np.float32]

    def to_bytes(self) -> bytes:
        """For the store, ordered by key."""
        table = np.empty(len(self.keys), dtype=_DTYPE)
        for name, values in zip(
            _DTYPE.names or (), (self.keys, self.units, self.before, self.after), strict=True
        ):
            table[name] = values
        return zlib.compress(table[np.argsort(table["key"], kind="stable")].tobytes())

    @classmethod
    def from_bytes(cls, data: bytes) -> Decided:
        """What `to_bytes` gave."""
        table = np.frombuffer(zlib.decompress(data), dtype=_DTYPE)
        return cls(*(table[name].copy() for name in _DTYPE.names or ()))


@dataclass(frozen=True)
class RunRecord:
    """A run as it goes into the store.

    `data` says in words what it was made on; `recipe` is how a page makes it again, `steering` the steering under which
    (JSON, "{}" for none), `figures` its numbers by name, `result` what is shown of it again. `files` are uploads that
    the recipe needs, as (name, content).
    """

    kind: str
    title: str
    data: str
    recipe: Mapping[str, Any]
    figures: Mapping[str, float | int | str | None]
    result: Mapping[str, Any]
    steering: str = "{}"
    decided: Decided | None = None
    files: Sequence[tuple[str, bytes]] = ()


@dataclass(frozen=True)
class Run:
    """A run that is kept (see `RunRecord`); `saved_as` names the steering version that is the same, "" for none."""

    uid: str
    kind: str
    title: str
    data: str
    recipe: Mapping[str, Any]
    steering: str
    figures: Mapping[str, Any]
    author: str
    created: int
    saved_as: str = ""
    result: Mapping[str, Any] = field(default_factory=dict)


class Runs:
    """Keeps runs in a store. A run is never changed; one made alike, with the same figures, is the same run."""

    def __init__(self, store: Connection):
        self.store = store

    def keep(self, of: RunRecord, by: str = "") -> str:
        """Keep a run; the uid by which a link calls it. One made alike, with the same figures, is that run.

        Raises StoreError for an unknown kind.
        """
        if of.kind not in KINDS:
            raise StoreError(f"there is no kind of run {of.kind!r}: use one of {', '.join(KINDS)}")
        files = [(clean_text(name), hashlib.sha256(data).hexdigest(), data) for name, data in of.files]
        mark = hashlib.sha256(
            json.dumps(
                [of.kind, of.recipe, json.loads(of.steering), of.figures, [digest for _, digest, _ in files]],
                sort_keys=True,
            ).encode()
        ).hexdigest()
        with self.store.write() as conn:
            known = self.store.value("SELECT uid FROM runs WHERE mark = ?", (mark,))
            if known is not None:
                return str(known)
            people = People(self.store)
            by = people.spelling(clean_text(by))
            people.check_may_keep(by)
            people.remember(by)
            uid = "".join(secrets.choice(_LETTERS) for _ in range(10))
            number = conn.execute(
                "INSERT INTO runs (uid, mark, kind, title, data, recipe, steering, figures, result, decisions, author, "
                "created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
                (
                    uid,
                    mark,
                    of.kind,
                    clean_text(of.title)[:300],
                    clean_text(of.data)[:300],
                    *(_json(part) for part in (of.recipe, json.loads(of.steering), of.figures, of.result)),
                    None if of.decided is None else of.decided.to_bytes(),
                    by,
                    microseconds(),
                ),
            ).fetchone()[0]
            for place, (name, digest, data) in enumerate(files):
                conn.execute(
                    "INSERT OR IGNORE INTO run_contents (hash, body) VALUES (?, ?)",
                    (digest, zlib.compress(data)),
                )
                conn.execute(
                    "INSERT INTO run_files (run, place, name, hash) VALUES (?, ?, ?, ?)",
                    (number, place, name, digest),
                )
        return uid

    def all(self, kind: str = "", *, limit: int = 100, offset: int = 0) -> list[Run]:
        """Runs without their results, the latest first; of one kind, or of any."""
        found = self.store.rows(
            f"{_SELECT} WHERE :kind IN ('', kind) ORDER BY created DESC, id DESC LIMIT :limit OFFSET :offset",
            {"kind": kind, "limit": limit, "offset": offset},
        )
        saved = self._saved()
        return [_run(row, saved) for row in found]

    def count(self, kind: str = "") -> int:
        """How many there are."""
        return int(self.store.value("SELECT count(*) FROM runs WHERE :kind IN ('', kind)", {"kind": kind}))

    def get(self, uid: str) -> Run:
        """One run with its result. Raises StoreError when it is not, or no longer, there."""
        row = self.store.row(
            f"{_SELECT.replace('FROM', ', result FROM')} WHERE uid = ?", (clean_text(uid)[:100],)
        )
        if row is None:
            raise StoreError(
                f"the run {clean_text(uid)[:20]!r} is not in this store: it was deleted, or is another store's"
            )
        return _run(row, self._saved())

    def decided(self, uid: str) -> Decided | None:
        """What an evaluation decided; None for a run of another kind."""
        data = self.store.value("SELECT decisions FROM runs WHERE uid = ?", (uid,))
        return None if data is None else Decided.from_bytes(data)

    def files(self, uid: str) -> list[tuple[str, bytes]]:
        """The uploads a run was made from, as (name, content)."""
        found = self.store.rows(
            "SELECT name, body FROM run_files JOIN run_contents USING (hash) JOIN runs ON runs.id = run "
            "WHERE uid = ? ORDER BY place",
            (uid,),
        )
        return [(row[0], zlib.decompress(row[1])) for row in found]

    def may_delete(self, of: Run, by: str) -> bool:
        """Whether `by` ("" for who gives no name) may delete it: who made it may, and an admin."""
        people = People(self.store)
        name = people.spelling(clean_text(by))
        if self.store.looks_only or people.role(name) == "reader":
            return False
        return of.author == name or (name != "" and people.role(name) == "admin")

    def delete(self, uid: str, by: str) -> None:
        """Remove a run, and its uploads where no other run needs them. Raises PermissionRefused, StoreError."""
        with self.store.write() as conn:
            found = self.get(uid)
            if not self.may_delete(found, by):
                raise PermissionRefused(
                    f"this is a run of {found.author or 'who gave no name'}: they or an admin delete it"
                )
            conn.execute("DELETE FROM runs WHERE uid = ?", (uid,))
            conn.execute("DELETE FROM run_contents WHERE hash NOT IN (SELECT hash FROM run_files)")

    def _saved(self) -> dict[str, str]:
        """Names of steering versions by what they say."""
        rows = self.store.rows("SELECT name, version, body FROM steerings ORDER BY created")
        return {_same(json.loads(row["body"])): f"{row['name']}, version {row['version']}" for row in rows}


_SELECT = "SELECT uid, kind, title, data, recipe, steering, figures, author, created FROM runs"


def _run(row: Any, saved: Mapping[str, str]) -> Run:
    values = dict(row)
    for name in ("recipe", "figures", "result"):
        if name in values:
            values[name] = json.loads(values[name])
    return Run(**values, saved_as=saved.get(_same(json.loads(values["steering"])), ""))


def _same(body: Any) -> str:
    return json.dumps(body, sort_keys=True)


def _json(value: Any) -> str:
    return clean_text(json.dumps(value, ensure_ascii=False, allow_nan=False))
