"""What one person works on now, and the acts that end it: submit, skip, flag, undo, back."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from app.draw.plain_text import plain
from app.label.label_fields import Fields, acted, fields_of, fitted
from app.session import session
from app.session.engine import Engine
from app.session.who import Me
from feature_db import StoreError
from feature_db.label.events import events
from feature_db.label.label_tests import LabelTests
from feature_db.label.labels import Labels
from feature_db.label.queues import Queues

__all__ = ["REFUSED", "Item", "Work", "take_asked"]

LAST = "label_last"
"""State's key: (model, person, feature) of the label sent last."""

REFUSED = "label_refused"
"""State's key: why the form was not sent, said beside Submit until the next act"""

LOOKS_SECONDS = 180
"""How long a feature is held for somebody who has typed nothing yet; the first key holds it for the whole lease"""

ENDS_FORM = ("label", "edit", "skip")
"""Events that put the form away, and whose undo fills it again"""


@dataclass(frozen=True)
class Item:
    """A feature to label; with `assignment` it is lent by a queue, else it was asked for by its number."""

    feature: int
    assignment: int | None = None


def take_asked(engine: Engine, me: Me) -> None:
    """Follow a link that asks for one feature (?take=7): lend it from the queue that waits for it, else open it.

    Call before the choice of a queue is drawn. Where others hold every place it says so, and what the queue lends
    comes instead.
    """
    asked = st.query_params.get("take")
    if asked is None or not me.may("label"):
        return
    del st.query_params["take"]

    def take() -> None:
        with engine.store() as store:
            try:
                feature = store.check_feature(int(asked))
            except ValueError:
                raise StoreError(f"a feature is a number from 0 to {store.model.n_features - 1}") from None
            store.feature(feature)
            lent = Queues(store, me.name).take(feature)
        st.session_state.pop("label_lent", None)
        if lent is None:
            st.query_params["feature"] = str(feature)
        else:
            st.query_params.pop("feature", None)
            st.session_state["label_queue"] = lent.queue

    session.guarded(take)


class Work:
    """Labelling by one person in one queue (None: features by number only).

    A feature asked for by number stands in the address, so that a reload comes back to it; what a queue lends
    comes back because `claim` gives the same feature until it is finished.
    """

    def __init__(self, engine: Engine, me: Me, queue: int | None):
        self.engine, self.me, self.queue = engine, me, queue

    def item(self) -> Item | None:
        """The feature at hand, or None when nothing is left. Raises StoreError."""
        asked = st.query_params.get("feature")
        with self.engine.store() as store:
            if asked is not None:
                try:
                    feature = store.check_feature(int(asked))
                except ValueError:
                    raise StoreError(
                        f"a feature is a number from 0 to {store.model.n_features - 1}"
                    ) from None
                store.feature(feature)
                return Item(feature)
            if self.queue is None:
                return None
            claimed = Queues(store, self.me.name).claim(self.queue, LOOKS_SECONDS)
        before = st.session_state.get("label_lent")
        who = (self.engine.fingerprint, self.me.name, self.queue)
        now = None if claimed is None else (*who, claimed.feature)
        st.session_state["label_lent"] = now
        if before and before[:-1] == who and before != now:
            # Not finished by this session (that clears it): the lease ran out and somebody took the place.
            session.say(
                f"The time for feature {before[-1]} ran out and it went to somebody else. Your draft is kept: it is "
                f"there again under [feature {before[-1]}](label?feature={before[-1]}).",
                "warning",
            )
        return None if claimed is None else Item(claimed.feature, claimed.id)

    def required(self, item: Item) -> tuple[str, ...]:
        """What has to be filled besides the text, as whoever made the queue said."""
        if self.queue is None or item.assignment is None:
            return ()
        with self.engine.store() as store:
            return Queues(store, self.me.name).queue(self.queue).required

    def last(self) -> int | None:
        """The feature this person labelled last in this session, of the model in use."""
        model, name, feature = st.session_state.get(LAST) or ("", "", None)
        return feature if (model, name) == (self.engine.fingerprint, self.me.name) else None

    # -- callbacks ---------------------------------------------------------------------------------------

    def submit(self, item: Item, fields: Fields, goes_on: bool = True) -> None:
        """Send the label; the next feature comes with the next run."""
        acted()
        if st.session_state.get("label_shown") != item:
            return  # the key was pressed twice: the first press finished this feature
        values = fields.values()
        if not (values["text"] or "").strip():
            st.session_state[REFUSED] = "Write what the feature means first, or skip it with a reason."
            return
        if missing := [name for name in self.required(item) if values.get(name) in (None, "")]:
            st.session_state[REFUSED] = f"This queue asks for more: {' and '.join(missing)}."
            return

        def send() -> bool:
            with self.engine.store() as store:
                check = LabelTests(store, self.me.name).score(item.feature, values["text"])
                if item.assignment is not None:
                    Queues(store, self.me.name).submit(item.assignment, check=check, **values)
                else:
                    Labels(store, self.me.name).label(item.feature, check=check, **values)
            return True

        fields.close()
        if not session.guarded(send):
            fields.reopen()
            return
        st.session_state[LAST] = (self.engine.fingerprint, self.me.name, item.feature)
        fields.forget()
        self._leave(item, goes_on)

    def skip(self, item: Item, fields: Fields, reason: str) -> None:
        """Pass over, with a reason; an undo gives back what was typed."""
        acted()
        if st.session_state.get("label_shown") != item:
            return
        fields.save_unsaved()

        def do() -> bool:
            with self.engine.store() as store:
                if item.assignment is not None:
                    Queues(store, self.me.name).skip(item.assignment, reason)
                else:
                    Labels(store, self.me.name).skip(item.feature, reason)
            return True

        fields.close()
        if not session.guarded(do):
            fields.reopen()
            return
        fields.forget()
        self._leave(item, True)

    def flag(self, item: Item, reason: str) -> None:
        """Ask others to look; the feature stays at hand."""

        def add() -> None:
            with self.engine.store() as store:
                Labels(store, self.me.name).flag(item.feature, reason)
            session.say(f"Flagged: {plain(reason)}. Others can filter for it.", "success")

        session.guarded(add)

    def undo(self, item: Item | None) -> None:
        """Take back the last act and return to its feature, with what was typed in the form again.

        What was typed there since and not sent stays in the form instead: the words taken back are said. The feature
        is lent again where a queue has a place for it; else it is opened by its number, and the one at hand stays
        lent.
        """
        acted()
        if item is not None:
            Fields(self.engine, self.me.name, item.feature, item.assignment).save_unsaved()

        def take_back() -> None:
            not_lent, was, typed_since = "", {}, False
            # One transaction, so that nobody is lent the place that the undo frees.
            with self.engine.store() as store, store.write():
                labels, queues = Labels(store, self.me.name), Queues(store, self.me.name)
                uid = labels.undo()
                event = events(store, uid=uid)[0]
                feature = event.feature
                if event.kind in ENDS_FORM:
                    was = fitted(fields_of(event))
                    typed_since = self._unsent(labels, feature)
                    if not typed_since and any(was.values()):
                        labels.draft(feature, was)
                lent = None
                if event.kind in ("label", "skip"):
                    try:
                        lent = queues.take(feature, first=self.queue)
                    except StoreError as error:
                        not_lent = str(error)
                held = None if item is None else item.assignment
                if lent is not None and held is not None and held != lent.id:
                    queues.release(held)
            st.session_state.pop("label_lent", None)
            if event.kind in ENDS_FORM:
                Fields(self.engine, self.me.name, feature).forget()
            if lent is None:
                st.query_params["feature"] = str(feature)
            else:
                st.query_params.pop("feature", None)
                st.session_state["label_queue"] = lent.queue
            session.say(f"Taken back: your {event.kind} of feature {feature}.", "success")
            if typed_since:
                words = was["text"] or was["note"]
                session.say(
                    "What you typed since and did not send is still in the form."
                    + (f" Taken back was: “{plain(words)}”" if words else ""),
                    "info",
                )
            if not_lent:
                session.say(
                    f"It is open by its number, without a place in a queue: {plain(not_lent)}.", "warning"
                )

        session.guarded(take_back)

    def back(self, item: Item | None) -> None:
        """To the feature finished before this one; its label is edited there."""
        assert self.queue is not None
        acted()
        with self.engine.store() as store:
            finished = list(Queues(store, self.me.name).finished(self.queue))
        place = finished.index(item.feature) + 1 if item is not None and item.feature in finished else 0
        if place < len(finished):
            st.query_params["feature"] = str(finished[place])
        else:
            session.say("There is nothing before this one in this queue.", "info")

    def forward(self) -> None:
        """To what the queue lends."""
        acted()
        st.query_params.pop("feature", None)

    def _unsent(self, labels: Labels, feature: int) -> bool:
        """Whether this person's draft has words that no event of theirs has: an undo before this one left its own."""
        draft = labels.last_draft(feature)
        if draft is None or not any(draft.values()):
            return False
        own = [event for event in labels.history(feature) if event.annotator == self.me.name]
        sent = [fitted(fields_of(event)) for event in own if event.kind in ENDS_FORM]
        return fitted(draft) not in sent

    def _leave(self, item: Item, goes_on: bool) -> None:
        st.session_state.pop("label_shown", None)
        st.session_state.pop("label_lent", None)
        if goes_on and self.queue is not None:
            st.query_params.pop("feature", None)
        else:
            st.query_params["feature"] = str(item.feature)
