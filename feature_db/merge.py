"""Bringing histories together: events from a file or from another store of the same model, with a dry run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from feature_db.errors import RowError, StoreError
from feature_db.event_files import read_events
from feature_db.events import Event, events, insert_event
from feature_db.foreign_store import foreign_events
from feature_db.roles import People
from feature_db.store import Store

__all__ = ["MergeReport", "import_events", "merge_store"]


@dataclass(frozen=True)
class MergeReport:
    """What a merge changed or, after a dry run, would change."""

    dry_run: bool
    new: dict[str, int] = field(default_factory=dict)
    """Events added, by kind"""
    known: int = 0
    """Events that were here already"""
    annotators: dict[str, int] = field(default_factory=dict)
    """Events added, by annotator"""
    changed: dict[int, tuple[tuple[str, ...], tuple[str, ...]]] = field(default_factory=dict)
    """feature -> (standing labels before, after), where they differ"""


class _DryRun(Exception):
    pass


def import_events(store: Store, path: str | Path, by: str, *, dry_run: bool = False) -> MergeReport:
    """Add the events of a file (see `event_files`) that are not here yet; all or none.

    `by` must be an admin, as events come in under their authors' names. Raises PermissionRefused, or RowError
    naming file and line, also when an event differs from the one of the same uid here.
    """
    return _add(store, read_events(store, path), str(path), by, "import events", dry_run)


def merge_store(store: Store, other: str | Path, by: str, *, dry_run: bool = False) -> MergeReport:
    """Add the events of another store of the same model; both histories are kept, the other file is unchanged.

    Events only: roles, queues and lists stay each store's own. The other file is not trusted (`foreign_store`).
    Raises PermissionRefused, or StoreError when `other` is damaged, no store or not of this model.
    """
    if Path(other).resolve() == store.path.resolve():
        raise StoreError("a store cannot be merged with itself")
    People(store).require(by, "merge stores")
    return _add(store, foreign_events(store, other), str(other), by, "merge stores", dry_run)


def _add(
    store: Store, found: Iterable[tuple[int, Event]], source: str, by: str, action: str, dry_run: bool
) -> MergeReport:
    with store.write():
        People(store).require(by, action)
        added: list[Event] = []
        report: list[MergeReport] = []
        try:
            with store.write():
                places: dict[str, int] = {}
                known = 0
                for place, event in found:
                    if event.uid in places:
                        raise RowError(f"event {event.uid} is listed twice", source=source, row=place)
                    if _is_known(store, event, source, place):
                        known += 1
                    else:
                        places[event.uid] = place
                        added.append(event)
                _check_references(store, added, places, source)
                touched = {event.feature for event in added}
                before = {feature: _standing(store, feature) for feature in touched}
                for event in sorted(added, key=lambda e: (e.time, e.uid)):
                    insert_event(store, event)
                after = {feature: _standing(store, feature) for feature in touched}
                report.append(
                    MergeReport(
                        dry_run,
                        dict(Counter(event.kind for event in added)),
                        known,
                        dict(Counter(event.annotator for event in added)),
                        {f: (before[f], after[f]) for f in sorted(touched) if before[f] != after[f]},
                    )
                )
                if dry_run:
                    raise _DryRun
        except _DryRun:
            pass
        return report[0]


def _is_known(store: Store, event: Event, source: str, place: int) -> bool:
    here = events(store, uid=event.uid)
    if not here:
        return False
    # A file of standing labels lists an edit as a label; it is the same event.
    same = (here[0].feature, here[0].annotator, here[0].text, here[0].time)
    if same != (event.feature, event.annotator, event.text, event.time):
        raise RowError(
            f"event {event.uid} is here already with other content; was one of the files changed by hand?",
            source=source,
            row=place,
        )
    return True


def _check_references(store: Store, added: list[Event], places: dict[str, int], source: str) -> None:
    by_uid = {event.uid: event for event in added}

    def target(uid: str) -> Event | None:
        return by_uid.get(uid) or next(iter(events(store, uid=uid)), None)

    for event in added:
        for uid in _references(event):
            found = target(uid)
            if found is None or found.feature != event.feature:
                what = (
                    "is neither in this file nor in this store" if found is None else "is of another feature"
                )
                raise RowError(f"refers to event {uid}, which {what}", source=source, row=places[event.uid])
        if store.value("SELECT 1 FROM features WHERE id = ?", (event.feature,)) is None:
            raise RowError(
                f"feature {event.feature} was not harvested into this store",
                source=source,
                row=places[event.uid],
            )


def _references(event: Event) -> Iterator[str]:
    yield from (uid for uid in (event.about, event.supersedes) if uid is not None)


def _standing(store: Store, feature: int) -> tuple[str, ...]:
    return tuple(f"{event.annotator}: {event.text}" for event in events(store, "current_labels", feature))
