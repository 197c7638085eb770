"""Label events and current labels as files: JSONL or CSV, by the file's suffix.

A file of events holds the whole history and imports again without loss, drafts included. A file of labels holds
what stands now, labels and what adjudicators settled on; imported elsewhere, each row becomes an event with its own
uid, author and time, so that features are called there what they are called here. Import the
one or the other: a history that arrives after its own standing labels cannot know what they had replaced.
"""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from feature_db.errors import RowError, StoreError
from feature_db.exchange.foreign import (
    csv_cell,
    csv_text,
    finite,
    json_rows,
    whole,
    written_beside,
)
from feature_db.exchange.format import Report
from feature_db.exchange.spreadsheet import opened_csv
from feature_db.label.events import EVENT_KINDS, Event, events
from feature_db.label_values import LONGEST_NOTE, LONGEST_TEXT
from feature_db.records import clean_text
from feature_db.roles import check_name
from feature_db.sqlite.connection import Connection, microseconds

__all__ = [
    "EVENTS",
    "LABELS",
    "STANDING_KINDS",
    "checked_event",
    "export_events",
    "export_labels",
    "holds_labels",
    "read_events",
]

EVENTS, LABELS = "sarm-label-events/1", "sarm-labels/1"
STANDING_KINDS = ("label", "adjudicate")
"""What a file of labels holds; an edit stands there as the label it made."""
_COLUMNS = tuple(field.name for field in fields(Event))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST = (datetime(1, 1, 2, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_AHEAD = timedelta(days=1) // timedelta(microseconds=1)
DEEPEST = 20
"""Levels of an event's data; this program's own has three."""
_SHEET_DATE = re.compile(r"[\d.]+|\d{1,4}[./-]\d{1,2}[./-]\d{1,4}([ T].*)?")
"""A day number, or a date without its zone or in the order of some country"""
_UID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def export_events(store: Connection, path: str | Path) -> Report:
    """Write every event of the store, and the drafts that stand, in order of time."""
    with store.snapshot():
        listed = sorted(events(store) + events(store, "current_drafts"), key=lambda e: (e.time, e.uid))
    _write(store, path, EVENTS, listed)
    return Report({"events": len(listed)})


def export_labels(store: Connection, path: str | Path) -> Report:
    """Write the labels that stand, and the adjudication of each settled feature."""
    with store.snapshot():
        labels = events(store, "current_labels")
        settled = events(store, "current_adjudications")
    listed = {event.uid for event in labels}
    standing = [replace(event, kind="label", supersedes=None) for event in labels]
    # The label it chose may have been edited since; what was chosen stands in its own columns.
    standing += [
        replace(event, about=event.about if event.about in listed else None, supersedes=None)
        for event in settled
    ]
    _write(store, path, LABELS, standing)
    return Report({"labels": len(labels)} | ({"adjudications": len(settled)} if settled else {}))


def _write(store: Connection, path: str | Path, format: str, listed: list[Event]) -> None:
    path = Path(path)
    header = {"format": format, "fingerprint": store.model.fingerprint, "model": store.model.name}
    with written_beside(path) as beside, open(beside, "w", encoding="utf-8", newline="") as file:
        if _suffix(path) == ".jsonl":
            file.write(json.dumps(header, ensure_ascii=False) + "\n")
            for event in listed:
                file.write(json.dumps(_row(event), ensure_ascii=False) + "\n")
        else:
            writer = csv.writer(file)
            writer.writerow([*header, *_COLUMNS])
            for event in listed:
                row = {**header, **_row(event)}
                row["data"] = json.dumps(event.data, ensure_ascii=False)
                writer.writerow([csv_cell(value) for value in row.values()])


def _row(event: Event) -> dict[str, Any]:
    row = {name: getattr(event, name) for name in _COLUMNS}
    row["time"] = (_EPOCH + timedelta(microseconds=event.time)).isoformat()
    return row


def _suffix(path: Path) -> str:
    if path.suffix not in (".jsonl", ".csv"):
        raise StoreError(f"{path}: events are written and read as .jsonl or .csv")
    return path.suffix


def read_events(store: Connection, path: str | Path) -> Iterator[tuple[int, Event]]:
    """(line, event) of a file of events or labels. Raises RowError naming file and line.

    Raises StoreError when the file is of another model or of another kind.
    """
    path = Path(path)
    rows = _jsonl(path) if _suffix(path) == ".jsonl" else _csv(path)
    header: dict[str, Any] | None = None
    for line, found, row in rows:
        if found != header:
            _check_header(store, path, found)
            header = found
        if row is not None:
            try:
                event = checked_event(store, row, _time(row.get("time")))
                if header["format"] == LABELS and event.kind not in STANDING_KINDS:
                    raise RowError(f"a file of labels holds {' and '.join(STANDING_KINDS)}, not {event.kind}")
                yield line, event
            except RowError as error:
                raise error.at(path, line) from None
            except StoreError as error:
                raise RowError(str(error), source=path, row=line) from None
    if header is None and path.suffix == ".jsonl":
        raise StoreError(f"{path}: is empty; it should begin with a line naming its format")


def holds_labels(path: str | Path) -> bool:
    """Whether a file that `read_events` took is one of standing labels."""
    path = Path(path)
    rows = _jsonl(path) if _suffix(path) == ".jsonl" else _csv(path)
    return any(header.get("format") == LABELS for _, header, _ in itertools.islice(rows, 1))


def _check_header(store: Connection, path: Path, header: dict[str, Any]) -> None:
    if header.get("format") not in (EVENTS, LABELS):
        raise StoreError(f"{path}: is neither {EVENTS} nor {LABELS}; was it exported by this program?")
    if header.get("fingerprint") != store.model.fingerprint:
        name = str(header.get("model"))[:60]
        raise StoreError(f"{path}: holds labels of another model ({name!r}); they mean nothing for this one")


def _jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any], dict[str, Any] | None]]:
    rows = json_rows(path)
    line, header = next(rows, (0, None))
    if header is None:
        return
    yield line, header, None
    for line, row in rows:
        yield line, header, row


def _csv(path: Path) -> Iterator[tuple[int, dict[str, Any], dict[str, Any] | None]]:
    with opened_csv(path) as sheet:
        missing = {"format", "fingerprint", *_COLUMNS} - set(sheet.reader.fieldnames or ())
        if missing:
            raise StoreError(f"{path}: has no column named {', '.join(sorted(missing))}")
        for cells in sheet.reader:
            row: dict[str, Any] = {
                name: csv_text(cell)
                for name, cell in cells.items()
                if name is not None and isinstance(cell, str) and cell != ""
            }
            if not row:
                continue  # spreadsheets leave lines of nothing but separators at the end
            try:
                row["data"] = json.loads(row.get("data", "{}"))
                for name in ("verdict", "confidence"):
                    if name in row:
                        row[name] = float(sheet.number(row[name]))
            except (ValueError, RecursionError) as error:
                raise RowError(str(error)[:200], source=path, row=sheet.line) from None
            yield sheet.line, {k: row.get(k) for k in ("format", "fingerprint", "model")}, row


def checked_event(store: Connection, row: dict[str, Any], time: Any) -> Event:
    """`row` (columns by name, `data` as an object) as an event that this store can hold, at `time` (microseconds).

    Raises RowError, or StoreError for a feature or name that cannot be.
    """
    kind, data = row.get("kind"), {} if row.get("data") is None else row["data"]
    if kind not in EVENT_KINDS:
        raise RowError(f"kind must be one of {', '.join(EVENT_KINDS)}, not {str(kind)[:40]!r}")
    if not isinstance(data, dict):
        raise RowError("data must be an object")
    if _deeper(data, DEEPEST):
        raise RowError(f"data is nested more than {DEEPEST} deep")
    try:
        data = json.loads(clean_text(json.dumps(data, ensure_ascii=False, allow_nan=False)))
    except ValueError:
        raise RowError("data holds a number that is not finite or too long") from None
    verdict, confidence = row.get("verdict"), row.get("confidence")
    low, high = (-1, 1) if kind == "vote" else (1, 5)
    event = Event(
        _uid(row.get("uid"), "uid"),
        store.check_feature(whole(row.get("feature"), "feature", 0, store.model.n_features - 1)),
        check_name(_string(row, "annotator") or ""),
        kind,
        _possible(time),
        _string(row, "text"),
        _string(row, "category"),
        None if verdict is None else whole(verdict, "verdict", low, high),
        None if confidence is None else finite(confidence, "confidence"),
        _string(row, "note") or "",
        data,
        None if row.get("about") is None else _uid(row["about"], "about"),
        None if row.get("supersedes") is None else _uid(row["supersedes"], "supersedes"),
    )
    for name, text, most in (("text", event.text or "", LONGEST_TEXT), ("note", event.note, LONGEST_NOTE)):
        if len(text) > most:
            raise RowError(f"{name} has {len(text):,} characters; {most:,} is the most")
    if event.confidence is not None and not 0 <= event.confidence <= 1:
        raise RowError("confidence must lie between 0 and 1")
    if kind in ("label", "edit", "adjudicate") and not event.text:
        raise RowError(f"{'a' if kind == 'label' else 'an'} {kind} needs a text")
    if kind == "vote" and (event.verdict not in (-1, 1) or event.about is None):
        raise RowError("a vote needs the verdict 1 or -1 and the label it is about")
    if kind in ("edit", "undo") and event.supersedes is None:
        raise RowError(f"an {kind} needs the event it supersedes")
    return event


def _deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, (dict, list)):
        return False
    if levels == 0:
        return True
    parts = value.values() if isinstance(value, dict) else value
    return any(_deeper(part, levels - 1) for part in parts)


def _uid(value: Any, name: str) -> str:
    if not isinstance(value, str) or not _UID.fullmatch(value):
        raise RowError(f"{name} must be 1 to 64 letters, digits, '-' or '_'")
    return value


def _string(row: dict[str, Any], name: str) -> str | None:
    value = row.get(name)
    if value is not None and not isinstance(value, str):
        raise RowError(f"{name} must be a string")
    return None if value is None else clean_text(value)


def _possible(time: Any) -> int:
    # Later events follow the latest one: a time far ahead would push everything after it ahead too.
    if isinstance(time, bool) or not isinstance(time, int):
        raise RowError("time must be a whole number of microseconds")
    if not _EARLIEST <= time <= microseconds() + _AHEAD:
        raise RowError("its time lies in the future, or before all calendars; was the clock set wrong?")
    return time


def _time(value: Any) -> int:
    try:
        time = datetime.fromisoformat(value)
        if time.tzinfo is None:
            raise ValueError
        return (time - _EPOCH) // timedelta(microseconds=1)
    except (TypeError, ValueError, OverflowError):
        why = ""
        if isinstance(value, str) and _SHEET_DATE.fullmatch(value.strip()):
            made = value.strip()[:40]
            why = (
                f", not {made!r}, which a spreadsheet made of it: format the column as text and paste it anew"
            )
        raise RowError(
            f"time must be a date and time with its zone, as 2026-01-31T12:00:00+00:00{why}"
        ) from None
