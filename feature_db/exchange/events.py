"""The whole history of a store's labels, as JSONL or CSV."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from feature_db.exchange.event_files import EVENTS, export_events
from feature_db.exchange.format import Format, Look, Report
from feature_db.exchange.merge import import_events
from feature_db.store import Store

__all__ = ["Events"]


class Events(Format):
    """Every event, and the drafts that stand."""

    name = "events"
    title = "All events (the whole history)"
    endings = ("jsonl", "csv")
    admin = True

    def recognises(self, file: Look) -> bool:
        """By the name of the format in its first line or row, or by its columns where it has no row."""
        return file.says("format") == EVENTS or ("uid" in file.first_row and not file.says("format"))

    def read(
        self, store: Store, path: Path, *, by: str = "", dry_run: bool = False, **options: Any
    ) -> Report:
        """See `import_events`."""
        return import_events(store, path, by, dry_run=dry_run)

    def write(self, store: Store, path: Path, **options: Any) -> Report:
        """See `export_events`."""
        return export_events(store, path)
