"""Who only looks: a reader by role, or everybody where the server is for looking only. They keep nothing.

Enforced where things are written: the store they are lent takes no write (`Connection.only_look`), answers they have
scored are not kept on disk, and what writes beside the store asks `check_may_write`.
"""

from __future__ import annotations

import os

from app.session.person import whoever
from feature_db import PermissionRefused, Store
from feature_db.roles import ROLES, People

__all__ = ["READ_ONLY", "lent", "looks_only", "read_only_server", "refuse_on_read_only_server"]

READ_ONLY = "SARM_READ_ONLY"
"""Environment variable: anything but "" and "0" makes everybody a visitor of this server, whatever their role"""


def read_only_server() -> bool:
    """Whether nobody may keep anything through this server."""
    return os.environ.get(READ_ONLY, "").strip() not in ("", "0")


def looks_only(store: Store) -> bool:
    """Whether the person at the keyboard, with a name or without, only looks."""
    return read_only_server() or People(store).role(whoever()) == ROLES[0]


def lent(store: Store) -> Store:
    """The store as the person at the keyboard may use it."""
    if looks_only(store):
        store.only_look()
    return store


def refuse_on_read_only_server(what: str) -> None:
    """Raises PermissionRefused where the server is for looking only."""
    if read_only_server():
        raise PermissionRefused(f"this server is for looking only: {what} is not done here")
