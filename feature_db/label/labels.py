"""Labelling: every act is an event that is added; what is current is a view of the events."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from feature_db.errors import StoreError
from feature_db.label.assignments import follow_events
from feature_db.label.blindness import hidden_from
from feature_db.label.drafts import save_draft
from feature_db.label.events import Event, events, insert_event
from feature_db.label_values import (
    LONGEST_TEXT,
    label_text,
    note_text,
    possible_confidence,
    possible_verdict,
    reason_text,
    string,
)
from feature_db.records import clean_text
from feature_db.roles import People
from feature_db.sqlite.connection import Connection, microseconds

__all__ = ["CheckScore", "Labels", "categories", "set_categories"]


@dataclass(frozen=True)
class CheckScore:
    """How a label did on unseen texts: which ones the person said would fire, and which did."""

    texts: Sequence[str]
    """Hashes of the texts"""
    said: Sequence[bool]
    fires: Sequence[bool]
    attempt: int = 1
    """Which of all tests of this feature by this person it was, from 1."""
    attempts: Sequence[tuple[str, int, int]] = ()
    """All of them in order: wording, texts judged rightly, texts"""

    @property
    def correct(self) -> int:
        """Texts judged rightly."""
        return sum(a == b for a, b in zip(self.said, self.fires, strict=True))

    def as_data(self) -> dict[str, Any]:
        """As an event keeps it."""
        data = {
            "texts": list(self.texts),
            "said": [bool(x) for x in self.said],
            "fires": [bool(x) for x in self.fires],
            "correct": self.correct,
        }
        if self.attempts:
            tried = [{"text": text, "correct": correct, "of": of} for text, correct, of in self.attempts]
            data |= {"attempt": self.attempt, "attempts": tried}
        return data


def categories(store: Connection) -> list[str]:
    """Categories to choose from, in order."""
    return [row[0] for row in store.rows("SELECT name FROM categories ORDER BY position, name")]


def set_categories(store: Connection, by: str, names: Sequence[str]) -> None:
    """Replace the list to choose from; labels keep the categories they have. Raises PermissionRefused."""
    cleaned = list(dict.fromkeys(string(name, "a category").strip() for name in names))
    if not cleaned or not all(1 <= len(name) <= 60 for name in cleaned):
        raise StoreError("give at least one category of 1 to 60 characters")
    with store.write() as conn:
        People(store).require(by, "edit categories")
        conn.execute("DELETE FROM categories")
        conn.executemany(
            "INSERT INTO categories (name, position) VALUES (?, ?)",
            [(name, place) for place, name in enumerate(cleaned)],
        )


class Labels:
    """Labelling in the name of one person. Each method checks that person's role when it is called."""

    def __init__(self, store: Connection, annotator: str):
        self.store = store
        self.annotator = People(store).spelling(annotator)

    # -- acts --------------------------------------------------------------------------------------------

    def label(
        self,
        feature: int,
        text: str,
        *,
        category: str | None = None,
        verdict: int | None = None,
        confidence: float | None = None,
        note: str = "",
        evidence: Sequence[str] = (),
        check: CheckScore | None = None,
        from_suggestion: Mapping[str, str] | None = None,
        bulk: str | None = None,
    ) -> str:
        """Label a feature; returns the event's uid. A person's second label on a feature edits their first.

        After a merge they may have several: the new one edits the latest and takes the others back.
        `verdict` is 1 to 5 (monosemanticity), `confidence` 0 to 1, `evidence` hashes of texts, `from_suggestion`
        "method" and "text" of the suggestion that the text began as: kept with whether it was changed, as a label
        that repeats a suggestion is no independent opinion of it. `bulk` is the batch it was accepted in (`bulk.py`).
        Counts in every queue that has the feature, whether it was lent, skipped or asked for by its number.
        Raises PermissionRefused, or StoreError for what does not hold.
        """
        text = label_text(text)
        data: dict[str, Any] = {}
        if evidence:
            data["evidence"] = [string(text_hash, "the hash of a text") for text_hash in evidence]
        if check is not None:
            data["check"] = check.as_data()
        if from_suggestion is not None:
            if not isinstance(from_suggestion, Mapping):
                raise StoreError("from_suggestion has a method and a text")
            method, began = (clean_text(str(from_suggestion.get(name, ""))) for name in ("method", "text"))
            data["from_suggestion"] = {
                "method": method[:200],
                "text": began[:LONGEST_TEXT],
                "changed": " ".join(began.split()) != " ".join(text.split()),
            }
        if bulk is not None:
            data["bulk"] = string(bulk, "a batch")
        with self.store.write():
            annotator = self._may("label")
            feature = self._feature(feature)
            own = events(self.store, "current_labels", feature, annotator)
            # Before the new one, which is thereby their latest act and the one that an undo takes back.
            self._take_back_all_but_last(own)
            uid = self._add(
                "edit" if own else "label",
                feature,
                text=text,
                category=self._category(category, own),
                verdict=possible_verdict(verdict),
                confidence=possible_confidence(confidence),
                note=note_text(note),
                data=data,
                supersedes=own[-1].uid if own else None,
            )
            follow_events(self.store, [(feature, annotator)])
            return uid

    def vote(self, label: str, agree: bool, reason: str = "") -> str:
        """Vote on somebody else's current label; a second vote replaces the first. Votes never hide a label.

        A vote against one says why.
        """
        with self.store.write():
            annotator = self._may("vote")
            target = self._current_label(label)
            if target.annotator == annotator:
                raise StoreError("you cannot vote on your own label; edit it instead")
            own = [
                e for e in events(self.store, "current_votes", target.feature, annotator) if e.about == label
            ]
            return self._add(
                "vote",
                target.feature,
                verdict=1 if agree else -1,
                note=note_text(reason) if agree else reason_text(reason, "a vote against a label"),
                about=label,
                supersedes=own[-1].uid if own else None,
            )

    def skip(self, feature: int, reason: str) -> str:
        """Pass a feature over, with the reason; no queue offers it to this person again.

        It ends their draft, whose fields are kept as the event's data: who takes the skip back can have them again.
        """
        with self.store.write():
            annotator = self._may("skip")
            drafts = events(self.store, "current_drafts", self._feature(feature), annotator)
            data = drafts[-1].data if drafts and any(drafts[-1].data.values()) else {}
            uid = self._add("skip", feature, note=reason_text(reason, "a skip"), data=data)
            follow_events(self.store, [(self._feature(feature), annotator)])
            return uid

    def flag(self, feature: int, reason: str, label: str | None = None) -> str:
        """Ask others to look at a feature, or at one of its labels, and say why."""
        with self.store.write():
            self._may("flag")
            if label is not None and self._current_label(label).feature != feature:
                raise StoreError("that label is of another feature")
            return self._add("flag", feature, note=reason_text(reason, "a flag"), about=label)

    def adjudicate(
        self,
        feature: int,
        *,
        label: str | None = None,
        text: str | None = None,
        category: str | None = None,
        verdict: int | None = None,
        note: str = "",
    ) -> str:
        """Settle a feature: choose a current label by uid, or give a text. The labels stay as they are."""
        with self.store.write():
            self._may("adjudicate")
            if (label is None) == (text is None):
                raise StoreError("adjudicate by choosing a label or by giving a text, not both")
            before = events(self.store, "current_adjudications", self._feature(feature))
            if label is not None:
                chosen = self._current_label(label)
                if chosen.feature != feature:
                    raise StoreError("that label is of another feature")
                text, verdict = chosen.text, chosen.verdict if verdict is None else verdict
                category = chosen.category if category is None else category
            return self._add(
                "adjudicate",
                feature,
                text=label_text("" if text is None else text),
                category=self._category(category, events(self.store, "current_labels", feature)),
                verdict=possible_verdict(verdict),
                note=note_text(note),
                about=label,
                supersedes=before[-1].uid if before else None,
            )

    def undo(self, uid: str | None = None) -> str:
        """Take back one of your own events, the latest by default; returns the uid of what was undone.

        Undoing an edit brings the former label back. An undo is final: to redo, do the thing again.
        """
        with self.store.write():
            annotator = self._may("undo")
            event = self._undoable(annotator, uid)
            self._add("undo", event.feature, supersedes=event.uid)
            if event.kind in ("label", "edit", "skip"):
                follow_events(self.store, [(event.feature, annotator)])
            return event.uid

    def draft(self, feature: int, fields: Mapping[str, Any]) -> None:
        """Keep what was typed so far, in the place of this person's draft of before; `label` and `skip` end it."""
        with self.store.write():
            annotator = self._may("draft")
            save_draft(self.store, self._harvested(feature), annotator, fields)

    # -- reading -----------------------------------------------------------------------------------------

    def current(self, feature: int) -> list[Event]:
        """Labels that stand, by time, whoever made them."""
        return events(self.store, "current_labels", self._feature(feature))

    def visible(self, feature: int) -> list[Event]:
        """Labels this person may see while labelling: all once their own is in, none of others' before."""
        standing = self.current(feature)
        return standing if any(event.annotator == self.annotator for event in standing) else []

    def hidden(self, feature: int) -> str | None:
        """Why this person must not read the labels of a feature yet (see `blindness`), or None."""
        feature = self._feature(feature)
        return hidden_from(self.store, self.annotator, [feature]).get(feature)

    def votes(self, label: str) -> list[Event]:
        """Votes that stand on one label."""
        return self._about("current_votes", label)

    def adjudication(self, feature: int) -> Event | None:
        """What an adjudicator settled on last."""
        found = events(self.store, "current_adjudications", self._feature(feature))
        return found[-1] if found else None

    def flags(self, feature: int | None = None) -> list[Event]:
        """Flags that were not taken back."""
        return events(self.store, "current_flags", feature)

    def last_draft(self, feature: int) -> dict[str, Any] | None:
        """This person's draft that nothing was submitted after."""
        found = events(self.store, "current_drafts", self._feature(feature), self.annotator)
        return found[-1].data if found else None

    def drafts(self) -> list[Event]:
        """This person's drafts of all features that nothing was submitted after, latest first; empty ones left out."""
        found = events(self.store, "current_drafts", annotator=self.annotator)
        return [event for event in reversed(found) if any(event.data.values())]

    def own(self, limit: int) -> list[Event]:
        """This person's labels that stand, latest first."""
        rows = self.store.rows(
            "SELECT uid FROM current_labels WHERE annotator = ? ORDER BY time DESC, uid DESC LIMIT ?",
            (self.annotator, limit),
        )
        return [events(self.store, uid=row["uid"])[0] for row in rows]

    def history(self, feature: int) -> list[Event]:
        """Everything that ever happened to a feature."""
        return events(self.store, feature=self._feature(feature))

    # -- rules -------------------------------------------------------------------------------------------

    def _may(self, action: str) -> str:
        return People(self.store).require(self.annotator, action)

    def _feature(self, feature: int) -> int:
        return self.store.check_feature(feature)

    def _harvested(self, feature: int) -> int:
        feature = self._feature(feature)
        if self.store.value("SELECT 1 FROM features WHERE id = ?", (feature,)) is None:
            raise StoreError(f"feature {feature} was not harvested into this store")
        return feature

    def _add(self, kind: str, feature: int, **fields: Any) -> str:
        feature = self._harvested(feature)
        annotator = People(self.store).require(self.annotator, "label")
        # A clock that was set back must not put an event before what it follows.
        last = self.store.value(
            "SELECT max((SELECT coalesce(max(time), 0) FROM label_events WHERE feature = :feature), "
            "(SELECT coalesce(max(time), 0) FROM label_events WHERE annotator = :annotator), (SELECT coalesce("
            "max(time), 0) FROM drafts WHERE feature = :feature AND annotator = :annotator))",
            {"feature": feature, "annotator": annotator},
        )
        event = Event(uuid.uuid4().hex, feature, annotator, kind, max(microseconds(), last + 1), **fields)
        insert_event(self.store, event)
        return event.uid

    def _take_back_all_but_last(self, own: Sequence[Event]) -> None:
        # Again and again, as what an edit had replaced stands once the edit is taken back.
        while others := own[:-1]:
            for event in others:
                self._add("undo", event.feature, supersedes=event.uid)
            own = events(self.store, "current_labels", own[-1].feature, own[-1].annotator)

    def _current_label(self, uid: str) -> Event:
        found = events(self.store, "current_labels", uid=string(uid, "the uid of a label"))
        if not found:
            raise StoreError("that label no longer stands: it was edited or undone meanwhile")
        return found[0]

    def _about(self, view: str, label: str) -> list[Event]:
        feature = self.store.value(
            "SELECT feature FROM label_events WHERE uid = ?", (string(label, "the uid of a label"),)
        )
        if feature is None:
            return []
        return [event for event in events(self.store, view, feature) if event.about == label]

    def _undoable(self, annotator: str, uid: str | None) -> Event:
        if uid is None:
            uid = self.store.value(
                "SELECT uid FROM label_events AS e WHERE annotator = ? AND kind NOT IN ('undo', 'draft') "
                "AND NOT EXISTS (SELECT 1 FROM label_events AS u WHERE u.supersedes = e.uid AND u.kind = 'undo') "
                "ORDER BY time DESC LIMIT 1",
                (annotator,),
            )
            if uid is None:
                raise StoreError("there is nothing of yours to undo")
        found = events(self.store, uid=string(uid, "the uid of an event"))
        if not found or found[0].annotator != annotator:
            raise StoreError("you can undo your own events only")
        event = found[0]
        if event.kind in ("undo", "draft"):
            raise StoreError(f"a {event.kind} cannot be undone; do the thing again instead")
        for row in self.store.rows(
            "SELECT kind FROM label_events AS n WHERE supersedes = ? AND NOT EXISTS "
            "(SELECT 1 FROM label_events AS u WHERE u.supersedes = n.uid AND u.kind = 'undo')",
            (event.uid,),
        ):
            if row["kind"] == "undo":
                raise StoreError("that was undone already")
            raise StoreError(f"a later {row['kind']} replaced it; undo that one first")
        return event

    def _category(self, category: str | None, standing: Sequence[Event]) -> str | None:
        if category is None:
            return None
        category = string(category, "a category")
        known = {*categories(self.store), *(event.category for event in standing)}
        if category not in known:
            raise StoreError(f"there is no category {category[:60]!r}")
        return category
