"""Whether events from elsewhere fit a store: known ones are the same here, new ones refer to what they may.

An event refers to earlier events of its feature only, so nothing can undo itself and no two can replace each other:

    draft                    stands only while nothing here is later (`drafts`)
    vote, flag, adjudicate   are about a label or an edit
    edit                     replaces a label or an edit of the same person
    vote                     replaces a vote of the same person on the same label
    adjudicate               replaces an adjudication
    undo                     takes back anything but an undo or a draft, of the same person
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from feature_db.errors import RowError
from feature_db.label.drafts import is_news
from feature_db.label.events import Event, events_named
from feature_db.label_values import folded
from feature_db.sqlite.connection import Connection

__all__ = ["Checked", "Incoming", "checked_against"]

_LABELS = ("label", "edit")
_REPLACES = {
    "edit": _LABELS,
    "vote": ("vote",),
    "adjudicate": ("adjudicate",),
    "undo": (*_LABELS, "vote", "skip", "flag", "adjudicate"),
}
"""What each kind may replace; the others replace nothing."""
_ABOUT = ("vote", "flag", "adjudicate")


@dataclass(frozen=True)
class Incoming:
    """Events from one file or store, each with the row it stands in."""

    rows: list[tuple[int, Event]]
    source: str
    standing_only: bool
    """A file of labels: an edit is listed as a label, and what an event replaced is left out."""


@dataclass(frozen=True)
class Checked:
    """Which of the events are new."""

    incoming: Incoming
    added: list[Event]
    known: int
    last: int
    """The latest event of the store when this was found out, by its `seq`"""

    def again(self, store: Connection) -> Checked:
        """The same, with what the store got since; only that is looked at. Raises RowError."""
        since = [row["uid"] for row in store.rows("SELECT uid FROM label_events WHERE seq > ?", (self.last,))]
        mine = {event.uid for event in self.added}.intersection(since)
        # Drafts are written over and have no place in the log.
        mine |= {event.uid for event in self.added if event.kind == "draft" and not is_news(store, event)}
        if not mine:
            return self
        here = events_named(store, mine)
        for place, event in self.incoming.rows:
            if event.uid in mine and event.uid in here:
                _check_same(here[event.uid], event, self.incoming, place)
        added = [event for event in self.added if event.uid not in mine]
        return replace(self, added=added, known=self.known + len(mine))


def checked_against(store: Connection, incoming: Incoming) -> Checked:
    """Check every event; raises RowError naming source and row of the first that does not fit."""
    last = store.value("SELECT coalesce(max(seq), 0) FROM label_events")
    harvested = {row[0] for row in store.rows("SELECT id FROM features")}
    by_uid: dict[str, Event] = {}
    for place, event in incoming.rows:
        if event.uid in by_uid:
            raise RowError(f"event {event.uid} is listed twice", source=incoming.source, row=place)
        by_uid[event.uid] = event
    here = events_named(store, {*by_uid, *(uid for event in by_uid.values() for uid in _references(event))})
    added = []
    for place, event in incoming.rows:
        if event.uid in here:
            _check_same(here[event.uid], event, incoming, place)
            continue
        if event.kind == "draft" and event.feature in harvested and not is_news(store, event):
            continue
        added.append(event)
        problem = None
        if event.feature not in harvested:
            problem = f"feature {event.feature} was not harvested into this store"
        for uid in _references(event):
            # What is here counts: a file cannot put another event in its place.
            problem = problem or _misfit(event, uid, here.get(uid) or by_uid.get(uid))
        if problem is not None:
            raise RowError(problem, source=incoming.source, row=place)
    return Checked(incoming, added, len(incoming.rows) - len(added), last)


def _check_same(here: Event, event: Event, incoming: Incoming, place: int) -> None:
    if incoming.standing_only:
        kind = "label" if here.kind == "edit" else here.kind
        about = here.about if event.about is not None else None
        here = replace(here, kind=kind, supersedes=None, about=about)
    if folded(here.annotator) == folded(event.annotator):
        here = replace(here, annotator=event.annotator)  # the same person, in a store where they are two
    differs = [name for name, value in vars(here).items() if value != getattr(event, name)]
    if not differs:
        return
    why = f"with other content ({', '.join(differs)}); was one of the files changed by hand?"
    if here.supersedes is None and not set(differs) - {"kind", "supersedes", "about"}:
        why = "from a file of standing labels; the history behind them cannot be added after them"
    raise RowError(f"event {event.uid} is here already {why}", source=incoming.source, row=place)


def _references(event: Event) -> Iterable[str]:
    return [uid for uid in (event.about, event.supersedes) if uid is not None]


def _misfit(event: Event, uid: str, found: Event | None) -> str | None:
    """Why `event` cannot refer to the event `uid`; None when it can."""
    if found is None:
        why = "is neither in this file nor in this store"
    elif found.feature != event.feature:
        why = "is of another feature"
    elif found.time >= event.time:
        why = "is not earlier"
    elif uid == event.about and event.kind not in _ABOUT:
        return f"{_named(event.kind)} is about no other event"
    elif uid == event.about and found.kind not in _LABELS:
        why = f"is {_named(found.kind)}, not a label"
    elif uid == event.supersedes and found.kind not in _REPLACES.get(event.kind, ()):
        return f"{_named(event.kind)} cannot replace {_named(found.kind)} (event {uid})"
    elif (
        uid == event.supersedes
        and event.kind != "adjudicate"
        and folded(found.annotator) != folded(event.annotator)
    ):
        why = f"is by {found.annotator}: {_named(event.kind)} is of one's own only"
    elif uid == event.supersedes and event.kind == "vote" and found.about != event.about:
        why = "is a vote on another label"
    else:
        return None
    return f"refers to event {uid}, which {why}"


def _named(kind: str) -> str:
    word = "adjudication" if kind == "adjudicate" else kind
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"
