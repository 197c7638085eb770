"""What people keep: lists, bookmarks, how they like things shown, steering versions, sessions a link can reopen."""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from feature_db.errors import PermissionRefused, StoreError
from feature_db.records import clean_text
from feature_db.roles import People
from feature_db.sqlite.connection import Connection, microseconds

__all__ = ["BOOKMARKS", "FeatureList", "SavedWork", "SteeringVersion"]

BOOKMARKS = "Bookmarks"
"""The list that a bookmark button fills; one an owner."""

_ID_LETTERS = "23456789abcdefghjkmnpqrstuvwxyzABCDEFGHJKMNPQRSTUVWXYZ"
_ID_LENGTH = 10
_LARGEST_BODY = 5_000_000


@dataclass(frozen=True)
class FeatureList:
    """A named list of features."""

    id: int
    name: str
    owner: str
    size: int


@dataclass(frozen=True)
class SteeringVersion:
    """One saved version of a named steering; `body` is the JSON text of a steering file."""

    name: str
    version: int
    body: str
    note: str
    author: str
    created: int


class SavedWork(Connection):
    """Lists, choices, steerings, sessions."""

    # -- lists -------------------------------------------------------------------------------------------

    def make_list(self, name: str, owner: str = "") -> int:
        """The id of the owner's list `name`, made if need be."""
        name = _list_name(name)
        with self.write() as conn:
            owner = self._person(owner)
            People(self).check_may_keep(owner)
            People(self).remember(owner)
            conn.execute(
                "INSERT OR IGNORE INTO lists (name, owner, created) VALUES (?, ?, ?)",
                (name, owner, microseconds()),
            )
            return int(self.value("SELECT id FROM lists WHERE name = ? AND owner = ?", (name, owner)))

    def _person(self, name: str) -> str:
        """`name` as the store spells it."""
        return People(self).spelling(clean_text(name))

    def lists(self, owner: str | None = None) -> list[FeatureList]:
        """All lists, or one owner's, by name."""
        rows = self.rows(
            "SELECT id, name, owner, (SELECT count(*) FROM list_items WHERE list = lists.id) AS size "
            "FROM lists WHERE :owner IS NULL OR owner = :owner ORDER BY name, owner",
            {"owner": None if owner is None else self._person(owner)},
        )
        return [FeatureList(*row) for row in rows]

    def may_change_list(self, list_id: int, by: str) -> bool:
        """Whether `by` ("" for who gives no name) may change a list: its owner may, and an admin."""
        owner = self.value("SELECT owner FROM lists WHERE id = ?", (list_id,))
        return owner == self._person(by) or (
            owner is not None and by != "" and People(self).role(by) == "admin"
        )

    def _require_change(self, list_id: int, by: str) -> None:
        """Inside a transaction: what is asked here is still true when the list is changed."""
        People(self).check_may_keep(self._person(by))
        if self.may_change_list(list_id, by):
            return
        owner = self.value("SELECT owner FROM lists WHERE id = ?", (list_id,))
        if owner is None:
            raise StoreError(f"there is no list {list_id}")
        raise PermissionRefused(
            f"this is the list of {owner or 'who gives no name'}: they or an admin change it"
        )

    def add_to_list(self, list_id: int, feature: int, note: str = "", *, by: str) -> None:
        """Put a feature on a list; putting it there again changes its note.

        Raises PermissionRefused unless `by` is the list's owner or an admin, as do the other changes of a list.
        """
        feature = self.check_feature(feature)
        with self.write() as conn:
            self._require_change(list_id, by)
            if self.value("SELECT 1 FROM features WHERE id = ?", (feature,)) is None:
                raise StoreError(f"feature {feature} was not harvested into this store")
            conn.execute(
                "INSERT INTO list_items (list, feature, note, added) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (list, feature) DO UPDATE SET note = excluded.note",
                (list_id, feature, clean_text(note), microseconds()),
            )

    def remove_from_list(self, list_id: int, feature: int, *, by: str) -> None:
        """Take a feature off a list; nothing happens when it is not on it."""
        with self.write() as conn:
            self._require_change(list_id, by)
            conn.execute("DELETE FROM list_items WHERE list = ? AND feature = ?", (list_id, feature))

    def rename_list(self, list_id: int, name: str, by: str) -> None:
        """Give a list another name, which its owner has no list of. Bookmarks keep theirs."""
        name = _list_name(name)
        with self.write() as conn:
            self._require_change(list_id, by)
            before = self.value("SELECT name FROM lists WHERE id = ?", (list_id,))
            if before != name and BOOKMARKS in (before, name):
                raise StoreError(
                    f"{BOOKMARKS!r} is the list that the bookmark button fills; choose another name"
                )
            try:
                conn.execute("UPDATE lists SET name = ? WHERE id = ?", (name, list_id))
            except sqlite3.IntegrityError:
                raise StoreError(f"there is a list {name!r} already; choose another name") from None

    def delete_list(self, list_id: int, by: str) -> None:
        """Delete a list, not its features."""
        with self.write() as conn:
            self._require_change(list_id, by)
            conn.execute("DELETE FROM lists WHERE id = ?", (list_id,))

    def list_items(self, list_id: int) -> list[tuple[int, str]]:
        """(feature, note), in the order they were added."""
        rows = self.rows(
            "SELECT feature, note FROM list_items WHERE list = ? ORDER BY added, feature", (list_id,)
        )
        return [(row["feature"], row["note"]) for row in rows]

    def bookmark(self, feature: int, owner: str, on: bool = True) -> None:
        """Add a feature to the owner's bookmarks, or take it off."""
        bookmarks = self.make_list(BOOKMARKS, owner)
        if on:
            self.add_to_list(bookmarks, feature, by=owner)
        else:
            self.remove_from_list(bookmarks, feature, by=owner)

    def bookmarks(self, owner: str) -> list[int]:
        """Features the owner bookmarked, oldest first."""
        rows = self.rows(
            "SELECT feature FROM list_items JOIN lists ON lists.id = list WHERE name = ? AND owner = ? "
            "ORDER BY added, feature",
            (BOOKMARKS, self._person(owner)),
        )
        return [row["feature"] for row in rows]

    # -- choices -----------------------------------------------------------------------------------------

    def choose(self, person: str, name: str, value: str) -> None:
        """Keep how a person likes something shown. Raises PermissionRefused for readers and for nobody."""
        with self.write() as conn:
            person = self._person(person)
            if not person:
                raise PermissionRefused("give a name first: a choice is kept for a person")
            People(self).check_may_keep(person)
            People(self).remember(person)
            conn.execute(
                "INSERT INTO choices (person, name, value) VALUES (?, ?, ?) "
                "ON CONFLICT (person, name) DO UPDATE SET value = excluded.value",
                (person, clean_text(name), clean_text(value)),
            )

    def choice(self, person: str, name: str) -> str | None:
        """What the person chose last under this name; None where they never did."""
        value = self.value(
            "SELECT value FROM choices WHERE person = ? AND name = ?", (self._person(person), name)
        )
        return None if value is None else str(value)

    # -- steerings ---------------------------------------------------------------------------------------

    def save_steering(self, name: str, body: str, *, note: str = "", author: str = "") -> int:
        """Keep the JSON text of a steering as the next version (1, 2, ...) of `name`; returns it."""
        name = clean_text(name).strip()
        if not name:
            raise StoreError("a saved steering needs a name")
        _as_json(body, "the steering")
        with self.write() as conn:
            People(self).check_may_keep(self._person(author))
            version = conn.execute(
                "INSERT INTO steerings (name, version, body, note, author, created) VALUES "
                "(:name, 1 + (SELECT coalesce(max(version), 0) FROM steerings WHERE name = :name), "
                ":body, :note, :author, :created) RETURNING version",
                {
                    "name": name,
                    "body": body,
                    "note": clean_text(note),
                    "author": self._person(author),
                    "created": microseconds(),
                },
            ).fetchone()[0]
        return int(version)

    def keep_steering(self, name: str, body: str, *, note: str = "", author: str = "") -> tuple[int, bool]:
        """`save_steering`, unless the newest version of `name` is the same already: (version, whether it is new).

        The same is what is the same JSON, whatever its spacing and order of keys.
        """
        wanted = _as_json(body, "the steering")
        with self.write():
            newest = self.row(
                "SELECT version, body FROM steerings WHERE name = ? ORDER BY version DESC LIMIT 1",
                (clean_text(name).strip(),),
            )
            if newest is not None and json.loads(newest["body"]) == wanted:
                return int(newest["version"]), False
            return self.save_steering(name, body, note=note, author=author), True

    def steerings(self, name: str | None = None) -> list[SteeringVersion]:
        """The latest version of each steering by name, or every version of `name`, newest first."""
        rows = self.rows(
            "SELECT name, version, body, note, author, created FROM steerings AS s WHERE name = :name OR "
            "(:name IS NULL AND version = (SELECT max(version) FROM steerings WHERE name = s.name)) "
            "ORDER BY name, version DESC",
            {"name": name},
        )
        return [SteeringVersion(*row) for row in rows]

    def steering(self, name: str, version: int | None = None) -> SteeringVersion:
        """One version, the latest by default. Raises StoreError."""
        for found in self.steerings(name):
            if version in (None, found.version):
                return found
        raise StoreError(f"there is no saved steering {name!r}" + (f" version {version}" if version else ""))

    # -- sessions ----------------------------------------------------------------------------------------

    def save_session(self, body: Mapping[str, Any], kind: str = "comparison") -> str:
        """Keep what a page shows; returns a short id for its link. Raises StoreError when it is too large."""
        text = _session_text(body)
        with self.write() as conn:
            while True:
                session = "".join(secrets.choice(_ID_LETTERS) for _ in range(_ID_LENGTH))
                try:
                    conn.execute(
                        "INSERT INTO sessions (id, kind, body, created) VALUES (?, ?, ?, ?)",
                        (session, kind, text, microseconds()),
                    )
                except sqlite3.IntegrityError:
                    continue
                return session

    def restore_session(self, session: str, body: Mapping[str, Any], kind: str = "comparison") -> bool:
        """Keep a body under an id that another store gave it, so that a link from there opens here.

        False, with nothing changed, where the id is no id or stands for something else here. Raises StoreError as
        `save_session`.
        """
        text = _session_text(body)
        if len(session) != _ID_LENGTH or not set(session) <= set(_ID_LETTERS):
            return False
        with self.write() as conn:
            conn.execute(
                "INSERT OR IGNORE INTO sessions (id, kind, body, created) VALUES (?, ?, ?, ?)",
                (session, kind, text, microseconds()),
            )
            row = self.row("SELECT kind, body FROM sessions WHERE id = ?", (session,))
        return row is not None and row["kind"] == kind and json.loads(row["body"]) == json.loads(text)

    def open_session(self, session: str, kind: str = "comparison") -> dict[str, Any]:
        """What `save_session` kept. Raises StoreError when no such session is in this store."""
        body = self.value("SELECT body FROM sessions WHERE id = ? AND kind = ?", (clean_text(session), kind))
        if body is None:
            raise StoreError(
                "this link's session is not in this store; it may belong to another model's store"
            )
        opened: dict[str, Any] = json.loads(body)
        return opened


def _session_text(body: Mapping[str, Any]) -> str:
    text = clean_text(json.dumps(dict(body), ensure_ascii=False, allow_nan=False))
    if len(text) > _LARGEST_BODY:
        raise StoreError("this comparison is too large for a link: keep fewer or shorter answers")
    return text


def _list_name(name: str) -> str:
    name = clean_text(name).strip()
    if not 1 <= len(name) <= 100:
        raise StoreError("a list needs a name, of at most 100 characters")
    return name


def _as_json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{what} is not valid JSON ({error})") from None
