"""The labels that stand and what was settled, as JSONL or CSV."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from feature_db.exchange.event_files import LABELS, export_labels
from feature_db.exchange.format import Format, Look, Report
from feature_db.exchange.merge import import_events
from feature_db.store import Store

__all__ = ["StandingLabels"]


class StandingLabels(Format):
    """What stands now."""

    name = "labels"
    title = "Standing labels"
    endings = ("jsonl", "csv")
    admin = True

    def recognises(self, file: Look) -> bool:
        """By the name of the format in its first line or row."""
        return file.says("format") == LABELS

    def read(
        self, store: Store, path: Path, *, by: str = "", dry_run: bool = False, **options: Any
    ) -> Report:
        """See `import_events`."""
        return import_events(store, path, by, dry_run=dry_run)

    def write(self, store: Store, path: Path, **options: Any) -> Report:
        """See `export_labels`."""
        return export_labels(store, path)
