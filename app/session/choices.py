"""How a person likes things shown: kept under their name in the store, and for the session where they give none."""

from __future__ import annotations

from collections.abc import Collection

import streamlit as st

from app.session.engine import Engine
from app.session.who import Me

__all__ = ["choose", "chosen"]


def chosen(engine: Engine, me: Me, name: str, among: Collection[str]) -> str | None:
    """What this person chose last under `name`: in this session, else ever; None where it is none of `among`."""
    held: dict[str, str] = st.session_state.get("choices", {})
    value = held.get(name)
    if value is None and me.name:
        with engine.store() as store:
            value = store.choice(me.name, name)
    return value if value is not None and value in among else None


def choose(engine: Engine, me: Me, name: str, value: str) -> None:
    """Keep a choice. Somebody without a name, or who keeps nothing here, has it until the session ends."""
    st.session_state["choices"] = {**st.session_state.get("choices", {}), name: value}
    if me.may("keep"):
        with engine.store() as store:
            store.choose(me.name, name, value)
