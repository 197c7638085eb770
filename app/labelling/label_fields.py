"""The fields of the form for one feature and one person, in the session's state, and their draft in the store."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import streamlit as st

from app import session
from app.engine import Engine
from feature_db.labels import Labels
from feature_db.queues import Queues

__all__ = ["Fields"]

NAMES = ("text", "category", "verdict", "confidence", "note", "evidence")
EMPTY: dict[str, Any] = {
    "text": "",
    "category": None,
    "verdict": None,
    "confidence": None,
    "note": "",
    "evidence": [],
}


class Fields:
    """Form fields of (feature, person). Keys carry both, so that nothing typed moves to another feature."""

    def __init__(self, engine: Engine, name: str, feature: int, assignment: int | None = None):
        self.engine, self.name, self.feature, self.assignment = engine, name, feature, assignment
        self._stem = f"label_{feature}_{zlib.crc32(name.encode()):08x}"

    def key(self, field: str) -> str:
        """The state's key of a field."""
        return f"{self._stem}_{field}"

    def seed(self) -> str | None:
        """Fill the fields of a form that is opened: from the draft, else from this person's label.

        Returns which of the two it was ("draft", "label"), or None.
        """
        if self.key("text") in st.session_state:
            return st.session_state.get(self.key("from"))
        with self.engine.store() as store:
            labels = Labels(store, self.name)
            draft = labels.last_draft(self.feature)
            own = [event for event in labels.current(self.feature) if event.annotator == self.name]
        found: Mapping[str, Any] = {}
        source = None
        if draft is not None:
            found, source = draft, "draft"
        elif own:
            last = own[-1]
            found = {**{n: getattr(last, n) for n in NAMES[:-1]}, "evidence": last.data.get("evidence", [])}
            source = "label"
        for name in NAMES:
            value = found.get(name, EMPTY[name])
            st.session_state[self.key(name)] = list(value) if isinstance(value, list) else value
        st.session_state[self.key("from")] = source
        return source

    def values(self) -> dict[str, Any]:
        """What the form holds now."""
        return {name: st.session_state.get(self.key(name), EMPTY[name]) for name in NAMES}

    def put(self, field: str, value: Any) -> None:
        """Callback: set a field and keep the draft."""
        st.session_state[self.key(field)] = value
        self.save_draft()

    def save_draft(self, text: str | None = None) -> None:
        """Callback: keep what is there, with `text` as the browser has it where it is newer. Renews the lease."""
        values = self.values() | ({} if text is None else {"text": text})

        def keep() -> None:
            with self.engine.store() as store:
                Labels(store, self.name).draft(self.feature, values)
                if self.assignment is not None:
                    Queues(store, self.name).renew(self.assignment)

        session.guarded(keep)

    def forget(self) -> None:
        """Drop the fields: the form was sent."""
        for name in (*NAMES, "from"):
            st.session_state.pop(self.key(name), None)
