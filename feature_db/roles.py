"""Who may do what. Every writing call of the labelling side asks here, so going past a page gains nothing.

    reader        reads, exports; keeps nothing: no label, list, data set, run, steering or link to own answers
    annotator     labels, votes, skips, flags, undoes own events, works on queues, keeps data sets
    adjudicator   also adjudicates, makes queues and closes them
    admin         also gives roles, edits categories and all lists, deletes data sets of others, imports other people's
                  events and merges stores

Names that differ in case only are one person, spelled as they were first. Without sign-in a name is whatever was typed:
roles then keep order, they do not prove identity.
"""

from __future__ import annotations

import unicodedata

from feature_db.errors import PermissionRefused, StoreError
from feature_db.label_values import folded, string
from feature_db.records import clean_text
from feature_db.sqlite.connection import Connection, microseconds

__all__ = ["ACTIONS", "EVERYONE", "ROLES", "People", "check_name"]

ROLES = ("reader", "annotator", "adjudicator", "admin")

ACTIONS = {
    "keep": "annotator",
    "label": "annotator",
    "vote": "annotator",
    "skip": "annotator",
    "flag": "annotator",
    "undo": "annotator",
    "draft": "annotator",
    "claim": "annotator",
    "adjudicate": "adjudicator",
    "make a queue": "adjudicator",
    "close a queue": "adjudicator",
    "give roles": "admin",
    "edit categories": "admin",
    "import events": "admin",
    "merge stores": "admin",
    "merge people": "admin",
}
"""The least role that may do each."""

EVERYONE = "*"
"""Stands for whoever has no role of their own; an annotator until an admin says otherwise."""


def check_name(name: str) -> str:
    """`name` in one canonical form. Raises StoreError for an empty, overlong or unprintable one."""
    name = unicodedata.normalize("NFC", string(name, "a name")).strip()
    if not 1 <= len(name) <= 100 or not name.isprintable():
        raise StoreError("a name has 1 to 100 printable characters")
    return name


class People:
    """People of a store and their roles."""

    def __init__(self, store: Connection):
        self.store = store

    def spelling(self, name: str) -> str:
        """`name` as this store spells it, whatever its case; as it is given where nobody is known by it."""
        key = folded(name.strip()) if isinstance(name, str) else ""
        known = (
            self.store.value("SELECT name FROM names WHERE folded = ?", (clean_text(key),)) if key else None
        )
        return name if known is None else str(known)

    def remember(self, name: str) -> None:
        """That this is how the person is spelled, unless they are known; call inside `store.write()`."""
        if name and name != EVERYONE:
            self.store.conn.execute(
                "INSERT OR IGNORE INTO names (folded, name) VALUES (?, ?)", (folded(name), name)
            )

    def role(self, name: str) -> str:
        """The role of `name`: their own, else that of everyone."""
        name = self.spelling(name)
        role = self.store.value(
            "SELECT role FROM people WHERE name IN (?, ?) ORDER BY name = ?", (name, EVERYONE, EVERYONE)
        )
        return "annotator" if role is None else str(role)

    def require(self, name: str, action: str) -> str:
        """The canonical `name`. Raises PermissionRefused when their role does not allow `action`."""
        name = self.spelling(check_name(name))
        if name == EVERYONE:
            raise PermissionRefused(f"{EVERYONE!r} is not a person; give a name")
        role = self.role(name)
        if ROLES.index(role) < ROLES.index(ACTIONS[action]):
            raise PermissionRefused(
                f"{name} is {_article(role)} here; to {action} takes {_article(ACTIONS[action])}; ask an admin"
            )
        return name

    def check_may_keep(self, name: str) -> None:
        """Raises PermissionRefused where `name`, "" for who gives none, is a reader."""
        if ROLES.index(self.role(name)) < ROLES.index(ACTIONS["keep"]):
            raise PermissionRefused(
                f"{name or 'who gives no name'} is a reader here, and readers keep nothing; ask an admin"
            )

    def all(self) -> dict[str, str]:
        """Everybody with a role of their own, by name."""
        return {row[0]: row[1] for row in self.store.rows("SELECT name, role FROM people ORDER BY name")}

    def become_first_admin(self, name: str) -> None:
        """Make `name` admin of a store that has none; of several who try at once, one succeeds.

        One statement, so that nothing can come between looking and writing. Raises PermissionRefused when there
        is an admin, and StoreError for what is no person's name.
        """
        name = self.spelling(check_name(name))
        if name == EVERYONE:
            raise StoreError(f"{EVERYONE!r} is not a person; give a name")
        with self.store.write() as conn:
            self.remember(name)
            made = conn.execute(
                "INSERT INTO people (name, role, added) SELECT ?, 'admin', ? "
                "WHERE NOT EXISTS (SELECT 1 FROM people WHERE role = 'admin') "
                "ON CONFLICT (name) DO UPDATE SET role = excluded.role RETURNING name",
                (name, microseconds()),
            ).fetchone()
        if made is None:
            raise PermissionRefused("this store has an admin already; ask them for a role")

    def set_role(self, by: str | None, name: str, role: str) -> None:
        """Give `name` a role. `by` must be an admin; None will do while the store has no admin.

        Raises PermissionRefused, or StoreError for an unknown role and for taking the last admin's role.
        """
        name = self.spelling(check_name(name))
        if role not in ROLES:
            raise StoreError(f"there is no role {role!r}: choose one of {', '.join(ROLES)}")
        with self.store.write() as conn:
            admins = {row[0] for row in self.store.rows("SELECT name FROM people WHERE role = 'admin'")}
            if by is None:
                if admins or role != "admin":
                    raise PermissionRefused("only an admin gives roles; name the first admin first")
            else:
                self.require(by, "give roles")
            if name == EVERYONE and ROLES.index(role) > ROLES.index("annotator"):
                raise StoreError("everyone can be reader or annotator, not more")
            if role != "admin" and admins == {name}:
                raise StoreError(f"{name} is the last admin; name another one first")
            self.remember(name)
            conn.execute(
                "INSERT INTO people (name, role, added) VALUES (?, ?, ?) "
                "ON CONFLICT (name) DO UPDATE SET role = excluded.role",
                (name, role, microseconds()),
            )


def _article(role: str) -> str:
    return f"{'an' if role[0] in 'aeiou' else 'a'} {role}"
