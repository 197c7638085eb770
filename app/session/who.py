"""Who labels, and what their role in this store allows."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from app.session.engine import Engine
from app.session.person import person, sign_in_configured
from feature_db.roles import ACTIONS, ROLES, People

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
    looks_only: bool = False
    """Nothing they do is kept."""

    def may(self, action: str) -> bool:
        """Whether to offer an action. The store checks again when it is done."""
        return (
            bool(self.name) and not self.looks_only and ROLES.index(self.role) >= ROLES.index(ACTIONS[action])
        )


def identify(engine: Engine) -> Me:
    """Draw the name box or the sign-in state in the sidebar, with the role; call once a run, instead of `person`."""
    name, proven = person(), sign_in_configured()
    with engine.store() as store:
        people = People(store)
        name = people.spelling(name)
        role = people.role(name) if name else "reader"
        admins = "admin" in people.all().values()
        looks = store.looks_only
    with st.sidebar:
        if looks:
            st.info(
                "You are a visitor: move sliders and look at everything; nothing is kept.",
                icon=":material/visibility:",
            )
        if name:
            st.caption(f"Role: {role}")
        if not proven:
            st.caption("Sign-in is not configured: a typed name is no proof of identity.")
    return Me(name, role, proven, admins, looks)
