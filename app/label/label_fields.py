"""The fields of the form for one feature and one person, in the session's state, and their draft in the store."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import streamlit as st

from app.components.draft_watch import Box, box_item, whose
from app.session import session
from app.session.engine import Engine
from feature_db.label.events import Event
from feature_db.label.labels import Labels
from feature_db.label.queues import Queues
from feature_db.label_values import LONGEST_TEXT

__all__ = ["ACTS", "Fields", "acted", "fields_of", "fitted"]

NAMES = ("text", "category", "verdict", "confidence", "note", "evidence", "from_suggestion")
IN_DATA = ("evidence", "from_suggestion")
"""Those that an event keeps in its data"""
SENT = "label_forms_sent"
"""State's key: the forms of this session that were sent, skipped or undone"""
ACTS = "label_acts"
"""State's key: how many acts that change what the form holds are done; the browser waits for the next"""
EMPTY: dict[str, Any] = {
    "text": "",
    "category": None,
    "verdict": None,
    "confidence": None,
    "note": "",
    "evidence": [],
    "from_suggestion": None,
}

LONGEST = {"text": LONGEST_TEXT, "note": 2_000}
"""Characters the boxes hold; Streamlit refuses to draw a longer value."""


def _fitting(name: str, value: Any) -> Any:
    """`value` if the form's box can show it, else an empty one: drafts and labels may come from any file."""
    fits = {
        "text": isinstance(value, str),
        "category": isinstance(value, str),
        "verdict": not isinstance(value, bool) and value in (1, 2, 3, 4, 5),
        "confidence": isinstance(value, (int, float)) and 0 <= value <= 1,
        "note": isinstance(value, str),
        "evidence": isinstance(value, list) and all(isinstance(item, str) for item in value),
        "from_suggestion": isinstance(value, dict)
        and all(isinstance(value.get(n), str) for n in ("method", "text")),
    }[name]
    if not fits:
        return list(EMPTY[name]) if isinstance(EMPTY[name], list) else EMPTY[name]
    if name in ("text", "note"):
        return value[: LONGEST[name]]
    return list(dict.fromkeys(value)) if name == "evidence" else value


def acted() -> None:
    """Say that an act is done: the form may be typed in again."""
    st.session_state[ACTS] = st.session_state.get(ACTS, 0) + 1


def fitted(fields: Mapping[str, Any]) -> dict[str, Any]:
    """`fields` as the form shows them."""
    return {name: _fitting(name, fields.get(name)) for name in NAMES}


def fields_of(sent: Event) -> dict[str, Any]:
    """What the form held when this label was sent or this skip put it away."""
    if sent.kind == "skip":
        return sent.data
    return {name: sent.data.get(name) if name in IN_DATA else getattr(sent, name) for name in NAMES}


class Fields:
    """Form fields of (model, feature, person). Keys carry all three, so that nothing typed moves elsewhere."""

    def __init__(self, engine: Engine, name: str, feature: int, assignment: int | None = None):
        self.engine, self.name, self.feature, self.assignment = engine, name, feature, assignment
        self._stem = f"label_{engine.fingerprint[:8]}_{feature}_{whose(name)}"
        self.form = st.session_state.get(self.key("form"), "")
        """Which filling of the form this is: what was sent is over, whatever is told of it later"""

    def key(self, field: str) -> str:
        """The state's key of a field."""
        return f"{self._stem}_{field}"

    def seed(self) -> str | None:
        """Fill the fields of a form that is opened: from the draft, else from this person's label.

        Returns which of the two it was ("draft", "label"; "browser" after `found`), or None.
        """
        if self._open():
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
            found = fields_of(last)
            source = "label"
        held = fitted(found)
        self.form = st.session_state[self.key("form")] = uuid.uuid4().hex
        for name, value in held.items():
            st.session_state[self.key(name)] = value
        st.session_state[self.key("from")] = source
        # To compare with what was typed.
        st.session_state[self.key("kept")] = held
        return source

    def values(self) -> dict[str, Any]:
        """What the form holds now."""
        held = {name: st.session_state.get(self.key(name), EMPTY[name]) for name in NAMES}
        return held | {name: held[name] or "" for name in LONGEST}

    def put(self, field: str, value: Any) -> None:
        """Callback: set a field and keep the draft."""
        st.session_state[self.key(field)] = value
        self.save_draft()

    def use(self, method: str, text: str) -> None:
        """Callback: put a suggestion into the text box, after what was typed there already, and keep the draft."""
        acted()
        typed = (st.session_state.get(self.key("text")) or "").strip()
        wanted = text if typed in ("", text.strip()) else f"{typed}; {text}"
        if len(wanted) > LONGEST_TEXT:
            session.say("The suggestion does not fit into the box beside what is there.", "warning")
            return
        st.session_state[self.key("from_suggestion")] = {"method": method, "text": text}
        self.put("text", wanted)

    def save_draft(self, typed: Mapping[str, str] | None = None) -> None:
        """Callback: keep what is there, with what the browser has of its boxes (`boxes`) where that is newer.

        Renews the lease.
        """
        if self.form in st.session_state.get(SENT, ()) or (typed is None and not self._open()):
            return  # the button that was pressed on leaving a box came first, and put the form away
        newer = typed or {}
        values = self.values() | {n: newer[self.key(n)] for n in LONGEST if self.key(n) in newer}

        def keep() -> None:
            with self.engine.store() as store:
                Labels(store, self.name).draft(self.feature, values)
                st.session_state[self.key("kept")] = values
                if self.assignment is not None:
                    Queues(store, self.name).renew(self.assignment)

        session.guarded(keep)

    def save_unsaved(self) -> None:
        """Keep what the form holds and did not report yet, before it is put away."""
        if self._open() and self.values() != st.session_state.get(self.key("kept")):
            self.save_draft()

    def boxes(self) -> list[Box]:
        """The text boxes, for the browser to watch."""
        kept = st.session_state.get(self.key("kept")) or {}
        return [
            Box(
                self.key(name),
                box_item(self.engine.fingerprint, self.name, f"label:{self.feature}:{name}"),
                kept.get(name, ""),
                most,
            )
            for name, most in LONGEST.items()
        ]

    def found(self, texts: Mapping[str, str]) -> None:
        """Callback: the browser kept texts that never arrived, and the page was loaded anew since."""
        st.session_state.update(texts)
        st.session_state[self.key("from")] = "browser"
        st.session_state[self.key("redraw")] = True
        self.save_draft()

    def redraw(self) -> bool:
        """Whether the page has to be drawn again, as `found` filled a box."""
        return bool(st.session_state.pop(self.key("redraw"), False))

    def close(self) -> None:
        """Before it is sent: what the browser still tells of this filling of the form makes no draft.

        Streamlit may break a callback off at any use of the session's state, so this comes first.
        """
        st.session_state.setdefault(SENT, set()).add(self.form)

    def reopen(self) -> None:
        """It could not be sent."""
        st.session_state.get(SENT, set()).discard(self.form)

    def forget(self) -> None:
        """Drop the fields: the form was sent."""
        self.close()
        for name in (*NAMES, "from", "kept", "form"):
            st.session_state.pop(self.key(name), None)

    def _open(self) -> bool:
        return self.key("text") in st.session_state
