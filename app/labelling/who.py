"""Who labels: the signed-in person where sign-in is configured, else the name typed in the sidebar."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from app.engine import Engine
from app.person import person
from app.plain_text import plain
from feature_db import StoreError
from feature_db.roles import ACTIONS, ROLES, People, check_name

__all__ = ["Me", "identify"]


@dataclass(frozen=True)
class Me:
    """The person at the keyboard; `name` is "" while unknown."""

    name: str
    role: str
    proven: bool
    """By sign-in; a typed name proves nothing."""
    admins: bool
    """Whether the store has an admin who could give roles."""

    def may(self, action: str) -> bool:
        """Whether to offer an action. The store checks again when it is done."""
        return bool(self.name) and ROLES.index(self.role) >= ROLES.index(ACTIONS[action])


def identify(engine: Engine) -> Me:
    """Draw the name box or the sign-in state in the sidebar; call once a run."""
    proven = "is_logged_in" in st.user
    name = _signed_in() if proven else person()
    with engine.store() as store:
        people = People(store)
        role = people.role(name) if name else "reader"
        admins = "admin" in people.all().values()
    with st.sidebar:
        if name:
            st.caption(f"Role: {role}" + (f" · signed in as {plain(name)}" if proven else ""))
        if proven and name:
            st.button("Sign out", on_click=st.logout, key="sign_out")
        elif not proven:
            st.caption("Sign-in is not configured: a typed name is no proof of identity.")
    return Me(name, role, proven, admins)


def _signed_in() -> str:
    if not st.user.get("is_logged_in"):
        st.sidebar.button("Sign in", on_click=st.login, type="primary", key="sign_in")
        return ""
    # The address first: display names are chosen freely and may be somebody else's.
    for claim in ("email", "preferred_username", "sub"):
        if st.user.get(claim) and not (claim == "email" and st.user.get("email_verified") is False):
            try:
                return check_name(str(st.user[claim]))
            except StoreError as error:
                st.sidebar.error(str(error))
    return ""
